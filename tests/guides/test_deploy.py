"""A newcomer's path, from `git clone` to the first publish and beyond, in one cluster: DEPLOY, TROUBLESHOOTING, SHADOW, INCIDENTS.

What TROUBLESHOOTING.md shows broken is broken here, by the commands of BROKEN, before the section is walked.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.guides.blocks import ROOT, blocks
from tests.guides.walk import Walk, WalkError
from tests.node import Node, why_not

pytestmark = pytest.mark.slow

WALKED = ("docs/DEPLOY.md", "docs/TROUBLESHOOTING.md", "docs/SHADOW.md", "docs/INCIDENTS.md")
DEPLOY, TROUBLESHOOTING, SHADOW, INCIDENTS = (ROOT / name for name in WALKED)
CLONE = "nats-k8s-oidc-callout"
LAST = ("A way back", "Multi-Namespace Deployment")
"""Walked at the end, in this order: the one ends the installation, the other begins without one."""

_OURS = "helm upgrade nats-k8s-oidc-callout ./helm/nats-k8s-oidc-callout --namespace nats-auth --reuse-values"
_OURS_READY = (
    "kubectl rollout status -n nats-auth deployment/nats-k8s-oidc-callout"
    # A pod that ends may answer a moment longer, as it was told before.
    " && while kubectl get pods -n nats-auth | grep -q Terminating; do sleep 0.2; done"
)
_NATS = "helm upgrade nats nats/nats --namespace nats-system --values"
_NATS_READY = "kubectl rollout status -n nats-system statefulset/nats"
_UNROLLED = "sed 's/configChecksumAnnotation: true/configChecksumAnnotation: false/' nats-values.yaml > quiet.yaml"

BROKEN: Mapping[str, str] = {
    "Refused at once": (
        "nats --server=nats://nats.nats-system.svc.cluster.local:4222 --token=$(kubectl create token test-client -n default)"
        " pub test.hello world || true"
    ),
    "Permissions Violation": (
        "nats --server=nats://nats.nats-system.svc.cluster.local:4222"
        " --token=$(kubectl create token test-client -n default --audience=nats)"
        " pub other-namespace.forbidden fail || true"
    ),
    "A request gets no reply": f"{_OURS} --set inboxMode=private && {_OURS_READY}",
    "Works, then closes after an hour": (
        "nats --server=nats://nats.nats-system.svc.cluster.local:4222"
        " --token=$(kubectl create token test-client -n default --audience=nats) pub test.hello world; sleep 0.3"
    ),
    "Running but not Ready": (
        "kubectl create namespace broken\n"
        "kubectl create secret generic nats-auth-creds -n broken --from-file=credentials=auth-service.seed\n"
        "helm install broken ./helm/nats-k8s-oidc-callout -n broken --set nats.account=AUTH_ACCOUNT"
        " --set rbac.create=false --set fullnameOverride=broken --set replicaCount=1\n"
        "for try in $(seq 100); do\n"
        '  kubectl logs -n broken deployment/broken | grep -q \'failing":\\["subscription","cache"\\]\' && break\n'
        "  sleep 0.2\n"
        "done"
    ),
    # With the annotation away nothing restarts NATS but the change of the annotation itself, this time.
    "Ready but everybody is refused": (
        f"{_UNROLLED}\n"
        "nats auth nkey gen account > other.seed\n"
        'sed "s/issuer: .*/issuer: $(nats auth nkey show other.seed)/" quiet.yaml > wrong.yaml\n'
        f"{_NATS} wrong.yaml && {_NATS_READY}"
    ),
    "After helm upgrade nothing changed": (
        f"{_UNROLLED}\n{_NATS} quiet.yaml\n"
        "for try in $(seq 100); do\n"
        '  kubectl exec -n nats-system nats-0 -- grep -q "$(nats auth nkey show other.seed)" /etc/nats-config/nats.conf'
        " || break\n"
        "  sleep 0.2\n"
        "done\n"
        "kubectl exec -n nats-system nats-0 -- nats-server --signal reload=/var/run/nats/nats.pid\n"
        "for try in $(seq 50); do kubectl logs -n nats-system nats-0 | grep -q 'Failed to reload' && break; sleep 0.1; done"
    ),
    # The section before has restarted NATS: not each server reaches a responder at once (DEPLOY.md, step 6).
    "nats-box, NACK or exporters are locked out": (
        "for try in $(seq 20); do\n"
        "  kubectl exec -n nats-auth deployment/nats-k8s-oidc-callout -- nats-k8s-oidc-callout doctor > doctor.txt && break\n"
        "  sleep 1\n"
        "done"
    ),
}
MENDED: Mapping[str, str] = {
    "A request gets no reply": f"{_OURS} --set inboxMode=shared && {_OURS_READY}",
    "Running but not Ready": "helm uninstall broken -n broken",
}
# What INCIDENTS.md is about: a token in wrong hands, and somebody who uses it; and a session of a namespace that has to go.
STOLEN = """
kubectl create token test-client -n default --audience=nats > stolen.token
nats --server=nats://nats.nats-system.svc.cluster.local:4222 --token="$(cat stolen.token)" sub 'default.>' > thief.log 2>&1 &
nats --server=nats://nats.nats-system.svc.cluster.local:4222 \\
  --token="$(kubectl create token my-nats-client -n my-app --audience=nats)" sub 'my-app.>' > namespace.log 2>&1 &
sleep 2
"""


@pytest.fixture(scope="module")
def newcomer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Walk]:
    """The newcomer's terminal, in a cluster with nothing in it."""
    reason = why_not()
    if reason:
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("newcomer")
    with Node(folder) as node, Walk(DEPLOY, node, folder / "home", seconds=1200) as walk:
        yield walk


def headings(document: Path) -> list[str]:
    return list(dict.fromkeys(block.heading for block in blocks(document)))


def test_newcomers_path(newcomer: Walk) -> None:
    """Each command of DEPLOY.md, in order, does and prints what the document says."""
    newcomer.run(tuple(heading for heading in headings(DEPLOY) if heading not in LAST))

    assert {"git-clone", "make-image", "nats-chart"} == {row.name for row in newcomer.substituted}


def test_troubleshooting(newcomer: Walk) -> None:
    """Each command of TROUBLESHOOTING.md shows what it says, with broken what the section is about."""
    told = headings(TROUBLESHOOTING)
    assert [] == [heading for heading in (*BROKEN, *MENDED) if heading not in told]

    with Walk(TROUBLESHOOTING, newcomer.world, newcomer.folder / CLONE, seconds=600) as walk:
        for heading in told:
            shell(walk, BROKEN.get(heading, ""))
            walk.run((heading,))
            shell(walk, MENDED.get(heading, ""))


def test_shadow(newcomer: Walk) -> None:
    """A shadow beside the release sees a refusal, and answers nobody, as SHADOW.md says."""
    with Walk(SHADOW, newcomer.world, newcomer.folder / "shadow", seconds=300) as walk:
        shell(walk, f"cd {newcomer.folder / CLONE}")
        walk.run(("Run it",))
        shell(walk, BROKEN["Refused at once"])
        walk.run(("Who would be refused", "Compare the subjects"))
        _, said = walk.command("kubectl logs -n nats-auth deployment/shadow --tail=-1")
        shell(walk, "helm uninstall shadow -n nats-auth")

    denied = [line for line in said.splitlines() if '"event":"denied"' in line]
    assert denied
    assert all('"shadow":true' in line for line in denied)


def test_incidents(newcomer: Walk) -> None:
    """A stolen token is stopped, its session ended, a namespace and at last everybody thrown out, as INCIDENTS.md says."""
    with Walk(INCIDENTS, newcomer.world, newcomer.folder / "incidents", seconds=600) as walk:
        shell(walk, f"cd {newcomer.folder / CLONE}\n{STOLEN}")
        walk.run()
        # The CLI waits longer from try to try, so its next one may come only now.
        _, thief = walk.command(
            "for try in $(seq 100); do [ $(cat thief.log namespace.log | grep -ci 'authorization violation') -ge 2 ]"
            " && break; sleep 0.5; done; cat thief.log namespace.log"
        )

    assert 2 == thief.count("Disconnected due to: EOF")
    assert 2 <= thief.lower().count("authorization violation")


def test_way_back(newcomer: Walk) -> None:
    """NATS is open again after the way back, the service can go, and a release for each namespace can come."""
    for heading in LAST:
        newcomer.run((heading,))


def shell(walk: Walk, text: str) -> None:
    """Run commands that no document shows."""
    failed, printed = walk.command(text) if text else (0, "")
    if failed:
        raise WalkError(f"{text}\n{printed}")
