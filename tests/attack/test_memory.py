"""Everything that strangers and tenants can make us hold, at once, within the chart's memory limit."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from nats_k8s_oidc_callout.core.sessions.table import SESSIONS_MAX

ROOT = Path(__file__).parents[2]
MEBIBYTE = 1 << 20


def limit(installation: str) -> str:
    """Return the memory limit of our container in an installation whose values leave it alone."""
    objects = yaml.safe_load_all((ROOT / f"tests/chart/golden/{installation}.yaml").read_text())
    (workload,) = (one for one in objects if one and one["kind"] == "Deployment")
    found: str = workload["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]["memory"]
    return found


@pytest.fixture(scope="module")
def seen() -> dict[str, Any]:
    """What a process of its own tells, with 50,000 ServiceAccounts and every store filled by the heaviest there is."""
    ran = subprocess.run(
        [sys.executable, "-m", "tests.attack.heaviest"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert 0 == ran.returncode, ran.stderr
    found: dict[str, Any] = json.loads(ran.stdout)
    return found


@pytest.mark.parametrize(
    ("then", "installation", "most"),
    [
        pytest.param("full", "quick-start", 256, id="without-session-control"),
        pytest.param("sessions", "sessions", 512, id="with-session-control"),
    ],
)
def test_all_stores_at_once_fit_the_memory_limit(seen: dict[str, Any], then: str, installation: str, most: int) -> None:
    """
    With every store full the process stays below the limit of the chart, at its peak too; and each store was full.
    """
    assert f"{most}Mi" == limit(installation)
    assert seen[then]["VmRSS"] < most
    assert seen[then]["VmHWM"] < most
    least = {"index": 40, "labels": 7, "grants": 15, "tokens": 15, "look-ups": 3, "lanes": 31, "log": 1}
    assert {} == {name: seen[name] for name, mebibytes in least.items() if seen[name] < mebibytes * MEBIBYTE}
    assert seen["serviceaccounts"] > 50_000
    assert seen["ignored"] > 0
    assert (4096, SESSIONS_MAX) == (seen["hosts"], seen["known"])
