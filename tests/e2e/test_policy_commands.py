"""who-can and explain about ServiceAccounts that kubectl made, and whether the servers say the same."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.cluster import Cluster
from tests.e2e.kubernetes_world import World, world_in
from tools import build

POLICY = """\
version: 1
defaults: {root: none, inbox: private, replies: none}
rules:
  - name: teams
    match: {namespaces: ["ask-{team}"]}
    root: "team.{team}"
    publish: ["audit.{namespace}.{name}"]
    deny: {publish: ["team.*.raw"]}
    annotations: {publish: ["shared.{team}.>"]}
"""
MADE = """\
set -euo pipefail
for namespace in ask-shop ask-pay asked; do
  kubectl create namespace $namespace
  kubectl create serviceaccount web -n $namespace
  kubectl annotate serviceaccount web -n $namespace nats.io/allowed-pub-subjects="shared.shop.news,other.x"
done
"""


@pytest.fixture(scope="module")
def world(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("policy-commands")
    (folder / "policy.yaml").write_text(POLICY)
    kubectl = build.path("kubectl")
    assert kubectl is not None
    environment = {
        "PATH": f"{kubectl.parent}:{os.environ['PATH']}",
        "KUBECONFIG": str(cluster.kubeconfig),
        "KUBECACHEDIR": str(folder / "cache"),
        "HOME": str(folder),
    }
    subprocess.run(["bash", "-c", MADE], env=environment, check=True, capture_output=True, timeout=60)
    with world_in(cluster, folder, POLICY_FILE=str(folder / "policy.yaml")) as whole:
        yield whole


def asked(world: World, *arguments: str) -> tuple[int, list[dict[str, Any]]]:
    """Run a command with the responder's own variables and rights; return its exit code and the JSON that it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "nats_k8s_oidc_callout", *arguments, "--json"],
        env={**world.env, "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "" == done.stderr, done.stderr
    found = json.loads(done.stdout) if arguments[0] == "explain" else list(map(json.loads, done.stdout.splitlines()))
    return done.returncode, found if isinstance(found, list) else [found]


@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        ("shared.shop.news", {"ask-shop/web": ("all", "annotation:nats.io/allowed-pub-subjects")}),
        ("audit.*.web", {"ask-shop/web": ("some", "rule"), "ask-pay/web": ("some", "rule")}),
        ("team.shop.raw", {}),
        ("other.x", {}),
    ],
)
async def test_who_can_is_what_the_servers_say(world: World, subject: str, expected: dict[str, Any]) -> None:
    """Who is listed may publish it, and nobody else of whom the rules let in."""
    code, (*found, last) = asked(world, "who-can", "publish", subject)

    assert expected == {one["workload"]: (one["extent"], one["from"]) for one in found}
    assert (not expected, len(expected)) == (bool(code), last["summary"]["workloads"])
    for namespace in ("ask-shop", "ask-pay"):
        literal = subject.replace("*", namespace)
        may = await world.may_publish(world.token(namespace, "web"), literal)
        assert (f"{namespace}/web" in expected) == may, (namespace, literal)


def test_explain_names_rule_and_ceiling(world: World) -> None:
    """What each entry comes from, what is left out for which ceiling, and the rule that came nearest."""
    code, (shop,) = asked(world, "explain", "ask-shop/web")
    assert (0, "teams") == (code, shop["rule"])
    assert {"subject": "audit.ask-shop.web", "from": "rule"} in shop["publish"]
    assert [("other.x", "shared.shop.>")] == [(entry["subject"], entry["ceiling"]) for entry in shop["refused"]]
    assert ["team.*.raw"] == shop["denied"]["publish"]

    code, (nobody,) = asked(world, "explain", "asked/web")
    assert (1, "no_rule") == (code, nobody["reason"])
    assert {"rule": "teams", "why": "namespace asked matches none of ask-{team}"} == nobody["nearest"]
