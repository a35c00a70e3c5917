"""OPERATOR_SETUP.md is walked in a cluster in each mode; then UPGRADING.md and MIGRATING.md, while clients log in."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.guides.blocks import ROOT
from tests.guides.walk import Walk
from tests.node.node import Node, why_not

pytestmark = pytest.mark.slow

SETUP, UPGRADING, MIGRATING = (ROOT / "docs" / f"{name}.md" for name in ("OPERATOR_SETUP", "UPGRADING", "MIGRATING"))
DOCTOR = ROOT / "docs" / "DOCTOR.md"
WALKED = ("docs/OPERATOR_SETUP.md", "docs/UPGRADING.md", "docs/MIGRATING.md", "docs/DOCTOR.md")
CONFIG = tuple(f"Config mode: {part}" for part in ("keys", "server configuration", "into the cluster"))
OPERATOR = tuple(
    f"Operator mode: {part}"
    for part in ("operator and accounts", "keys and callout", "server configuration", "into the cluster")
)
CHECK = "Check it"
# The Go service as far as NATS can tell: another queue group, its own names of Secrets. It is not to be had here.
OLD_SERVICE = """
kubectl create secret generic nats-callout-user --namespace nats-auth --from-file=user.creds=auth-service.seed
kubectl create secret generic nats-callout-signing --namespace nats-auth --from-file=signing.key=signing.seed
helm install nats-auth-callout ./helm/nats-k8s-oidc-callout --namespace nats-auth --wait \\
  --set fullnameOverride=nats-auth-callout --set nats.queueGroup=q --set replicaCount=1 \\
  --set nats.account=AUTH_ACCOUNT --set nats.credentials.existingSecret=nats-callout-user \\
  --set nats.credentials.existingSecretKey=user.creds --set nats.signingKey.existingSecret=nats-callout-signing \\
  --set nats.signingKey.existingSecretKey=signing.key
helm uninstall nats-k8s-oidc-callout --namespace nats-auth --wait
"""
# DOCTOR.md shows what doctor finds when the callout account may not place clients in the target account.
NOT_ALLOWED = """
nsc edit authcallout --account AUTH_SERVICE --rm-allowed-account $(key AUTH_ACCOUNT)
nsc push -A -u nats://nats.nats-system.svc.cluster.local:4222
"""
UPGRADE = """
helm upgrade nats-k8s-oidc-callout ./helm/nats-k8s-oidc-callout --namespace nats-auth --wait --values values.yaml"""
LOGINS = """
while [ ! -e stop ]; do
  if nats --server=nats://nats.nats-system.svc.cluster.local:4222 --token="$(cat client.token)" pub default.hello x
  then echo in >> tries; else echo refused >> tries; fi
  sleep 0.2
done
"""


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    reason = why_not()
    if reason:
        pytest.skip(reason)
    with Node(tmp_path_factory.mktemp("node")) as running:
        yield running


@pytest.fixture
def checkout(node: Node, tmp_path: Path) -> Iterator[Path]:
    """A folder with what a reader finds in the checkout; the cluster is empty again afterwards."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    (tmp_path / "helm").symlink_to(ROOT / "helm")
    yield tmp_path
    for release, namespace in (("nats-k8s-oidc-callout", "nats-auth"), ("nats", "nats-system")):
        node.helm("uninstall", release, "--namespace", namespace, "--wait", "--ignore-not-found")
    node.kubectl("delete", "namespace", "nats-auth", "nats-system", "--wait", "--ignore-not-found")
    node.kubectl("delete", "serviceaccount", "test-client", "--namespace", "default", "--ignore-not-found")


@contextmanager
def clients_that_log_in(node: Node, folder: Path) -> Iterator[None]:
    """Log in again and again until the block ends; fail when one was refused."""
    thread = threading.Thread(target=node.shell, args=(LOGINS, folder, 300.0))
    thread.start()
    try:
        yield
    finally:
        (folder / "stop").touch()
        thread.join()
        (folder / "stop").unlink()
    tries = (folder / "tries").read_text().split()
    (folder / "tries").unlink()
    assert len(tries) > 20
    assert 0 == tries.count("refused"), f"{tries.count('refused')} of {len(tries)} logins refused"


def test_config_mode_then_an_upgrade_then_a_switch(node: Node, checkout: Path) -> None:
    """
    Config mode ends with a client let in; logins go on while a release is upgraded, rolled back, replaced.
    """
    with Walk(SETUP, node, checkout) as walk:
        walk.run((*CONFIG, CHECK))
    with clients_that_log_in(node, checkout), Walk(UPGRADING, node, checkout / "upgrade") as walk:
        walk.command(f"cd {checkout}")
        walk.run(("Upgrade",))
        code, said = walk.command(f"{UPGRADE} --set logLevel=debug")
        assert 0 == code, said
        walk.run(("Roll back",))
    with clients_that_log_in(node, checkout), Walk(MIGRATING, node, checkout / "migrate") as walk:
        code, said = walk.command(f"cd {checkout}\n{OLD_SERVICE}")
        assert 0 == code, said
        walk.run()


def test_operator_mode(node: Node, checkout: Path) -> None:
    """
    Operator mode ends with a client let in, after the servers were told of a further account by a push.

    Then the account is taken away from the callout, and doctor says what DOCTOR.md shows.
    """
    with Walk(SETUP, node, checkout) as walk:
        walk.run((*OPERATOR, CHECK))
        code, said = walk.command(NOT_ALLOWED)
        assert 0 == code, said
    with Walk(DOCTOR, node, checkout / "doctor") as walk:
        walk.run()
