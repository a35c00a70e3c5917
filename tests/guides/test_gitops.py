"""GITOPS.md is walked on a machine without a cluster: keys, what goes into git, and the Secrets that must not."""

from pathlib import Path

import yaml

from tests.guides.blocks import ROOT
from tests.guides.machine import machine
from tests.guides.walk import Walk
from tools import build

WALKED = ("docs/GITOPS.md",)


def test_git_gets_no_secret(tmp_path: Path) -> None:
    """
    Every command works offline; the seeds are in the two Secrets, and `system.seed` in none of the files that are made.
    """
    world = machine(tmp_path, {"kubectl": build.path("kubectl")}, KUBECONFIG="/nowhere")
    with Walk(ROOT / WALKED[0], world, tmp_path) as walk:
        walk.run()
    secrets = [yaml.safe_load(file.read_text()) for file in sorted(tmp_path.glob("*.secret.yaml"))]
    accounts = yaml.safe_load((tmp_path / "nats-values.yaml").read_text())["config"]["merge"]["accounts"]

    assert [("nats-auth-creds", {"credentials"}), ("nats-auth-signing", {"signing-key"})] == [
        (one["metadata"]["name"], set(one["data"])) for one in secrets
    ]
    assert accounts["SYS"]["users"][0]["nkey"] in (tmp_path / "keys.txt").read_text()
    seed = (tmp_path / "system.seed").read_text().strip()
    assert not [
        file for file in tmp_path.glob("*.*") if file.is_file() and file.suffix != ".seed" and seed in file.read_text()
    ]
