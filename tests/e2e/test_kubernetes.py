"""The whole product on a real cluster: a real API server with our exact RBAC, a real nats-server, kubectl and the nats CLI.

Nothing here has an administrator's credential but the test itself: the responder runs as the ServiceAccount of the
chart, with the token, the CA and the two variables that the kubelet gives a pod.
"""

import asyncio
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.cluster import Cluster
from tests.e2e.kubernetes_world import World, eventually, world_in
from tests.leaks import SECRETS
from tools import build

REFUSED_WITHIN_SECONDS = 0.1
# The guide's own words; only the URL is ours.
GUIDE = """
set -euo pipefail
# 1. Create test ServiceAccount with permissions
kubectl create serviceaccount test-client -n default
kubectl annotate serviceaccount test-client -n default \\
  nats.io/allowed-pub-subjects="test.>" \\
  nats.io/allowed-sub-subjects="test.>"

# 2. Create token
TOKEN=$(kubectl create token test-client -n default --audience=nats)

# 3. Test publish (should succeed)
nats --server={url} \\
  --token=$TOKEN \\
  pub test.hello "world"

# 4. Test unauthorized subject (should fail)
nats --server={url} \\
  --token=$TOKEN \\
  pub other-namespace.forbidden "fail" || echo "exit code $?"
# Expected: Permission Denied
"""


@pytest.fixture(scope="module")
def world(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world_in(cluster, tmp_path_factory.mktemp("kubernetes-world")) as whole:
        yield whole


def shell(world: World, script: str, folder: Path) -> str:
    """Run a script as a person would, with kubectl and nats on the PATH; return all it prints."""
    tools = {str(path.parent) for path in map(build.path, ("kubectl", "nats")) if path is not None}
    done = subprocess.run(
        ["bash", "-c", script],
        env={
            "PATH": ":".join([*tools, os.environ["PATH"]]),
            "HOME": str(folder),
            "KUBECONFIG": str(world.cluster.kubeconfig),
            "KUBECACHEDIR": str(folder / "cache"),
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert 0 == done.returncode, done.stdout + done.stderr
    return done.stdout + done.stderr


async def test_the_guide_end_to_end(world: World, tmp_path: Path) -> None:
    """
    The guide's section "Test End-to-End" does what it says, word for word but for the URL.
    """
    printed = await asyncio.to_thread(shell, world, GUIDE.format(url=world.server.url), tmp_path)

    assert "serviceaccount/test-client annotated" in printed
    assert 'Published 5 bytes to "test.hello"' in printed
    assert "permissions violation" in printed.lower()

    async def logged() -> bool:
        return bool(world.responder.decisions(event="allowed", namespace="default", serviceaccount="test-client"))

    await eventually(logged)


def test_the_issuer_is_read_from_our_own_token(world: World) -> None:
    """
    Without JWT_ISSUER the responder takes the issuer of its own mounted token.
    """
    (started,) = world.responder.events("started")

    assert world.cluster.issuer == started["issuers"]


async def test_a_new_service_account_logs_in_at_once(world: World) -> None:
    """
    A ServiceAccount that was made a moment ago is let in, whether the watch has brought it or not.
    """
    for number in range(5):
        world.cluster.create_service_account("fresh", f"pod-{number}")
        assert await world.let_in(world.token("fresh", f"pod-{number}"))


async def test_an_edited_annotation_counts_at_the_next_connect(world: World) -> None:
    """
    What an annotation adds is there at the next connect, and gone after it is removed.
    """
    world.cluster.create_service_account("edit", "web")
    token = world.token("edit", "web")
    assert not await world.may_publish(token, "billing.new")
    world.cluster.annotate("edit", "web", {"nats.io/allowed-pub-subjects": "billing.>"})
    await eventually(lambda: world.may_publish(token, "billing.new"))
    world.cluster.annotate("edit", "web", {"nats.io/allowed-pub-subjects": None})

    async def taken_back() -> bool:
        return not await world.may_publish(token, "billing.new")

    await eventually(taken_back)


async def test_a_recreated_service_account_is_another(world: World) -> None:
    """
    A token of a deleted ServiceAccount is worth nothing for the one that was made again under its name.
    """
    world.cluster.create_service_account("again", "web")
    old = world.token("again", "web")
    assert await world.let_in(old)
    world.cluster.delete_service_account("again", "web")

    async def deleted() -> bool:
        return not await world.let_in(old)

    await eventually(deleted)
    world.cluster.create_service_account("again", "web")
    new = world.token("again", "web")

    assert await world.let_in(new)
    assert "uid_mismatch" == (await world.refused(old))[0]


async def test_a_pods_token_names_the_pod(world: World) -> None:
    """
    A token that a pod holds is let in, and the log says which pod.
    """
    world.cluster.create_service_account("pods", "web")
    uid = world.cluster.create_pod("pods", "web-0", "web")

    assert await world.let_in(world.token("pods", "web", pod=("web-0", uid)))

    async def logged() -> bool:
        return bool(world.responder.decisions(event="allowed", namespace="pods", pod="web-0"))

    await eventually(logged)


def refusals(world: World) -> dict[str, tuple[str, str]]:
    """Return every flawed token by what is wrong with it, with the reason it must be refused for."""
    world.cluster.create_service_account("flaws", "web")
    now = int(time.time())
    good = world.cluster.claims("flaws", "web")
    forger = type(world.cluster.signing_keys[0])()
    kid = world.cluster.signing_keys[0].kid
    sign = world.cluster.sign_token
    legacy = {
        "iss": "kubernetes/serviceaccount",
        "kubernetes.io/serviceaccount/namespace": "flaws",
        "kubernetes.io/serviceaccount/service-account.name": "web",
        "sub": "system:serviceaccount:flaws:web",
    }
    account = {"namespace": "flaws", "serviceaccount": {"name": "web", "uid": "another"}}
    found = {
        "expired": ("expired", world.signed("flaws", "web", exp=now - 1, iat=now - 600, nbf=now - 600)),
        "not yet valid": ("not_yet_valid", world.signed("flaws", "web", nbf=now + 120)),
        "wrong audience": ("wrong_audience", world.token("flaws", "web", audience="vault")),
        "the API server's audience": ("wrong_audience", world.token("flaws", "web", audience=None)),
        "wrong issuer": ("wrong_issuer", world.signed("flaws", "web", iss="https://elsewhere")),
        "unknown kid": ("unknown_key", sign(good, key=forger)),
        "bad signature": ("bad_signature", sign(good, {"alg": "RS256", "kid": kid}, forger)),
        "alg none": ("unsupported_algorithm", sign(good, {"alg": "none", "kid": kid})),
        "alg HS256": ("unsupported_algorithm", sign(good, {"alg": "HS256", "kid": kid})),
        "not the key's own alg": ("unsupported_algorithm", sign(good, {"alg": "ES256", "kid": kid})),
        "crit": ("unsupported_algorithm", sign(good, {"alg": "RS256", "kid": kid, "crit": ["b64"], "b64": False})),
        "legacy": ("wrong_issuer", sign(legacy)),
        "no exp": ("bad_claims", world.signed("flaws", "web", exp=None)),
        "no aud": ("wrong_audience", world.signed("flaws", "web", aud=None)),
        "sub that disagrees": ("bad_claims", world.signed("flaws", "web", sub="system:serviceaccount:flaws:admin")),
        "uid that disagrees": ("uid_mismatch", sign({**good, "kubernetes.io": account})),
        "unknown ServiceAccount": (
            "unknown_service_account",
            sign(
                {
                    **good,
                    "sub": "system:serviceaccount:flaws:ghost",
                    "kubernetes.io": {"namespace": "flaws", "serviceaccount": {"name": "ghost", "uid": "u"}},
                }
            ),
        ),
        "a year long": ("lifetime_too_long", world.signed("flaws", "web", exp=now + 365 * 86400)),
        "no token": ("no_token", ""),
        "20 KiB": ("token_too_large", "x" * 20 * 1024),
    }
    for _, token in found.values():
        if token.count(".") == 2:
            SECRETS.register("token", token)
    return found


async def test_every_flaw_is_refused_for_its_own_reason_and_at_once(world: World) -> None:
    """
    Each flawed token is refused within 0.1 s, for its reason, and a good client gets in after each.

    The machine is shared, so that the best of three attempts counts; an answer that waits for a time-out never is.
    """
    good = world.token("flaws", "web") if world.cluster.create_service_account("flaws", "web") else ""
    for flaw, (reason, token) in refusals(world).items():
        attempts = [await world.refused(token) for _ in range(3)]
        assert {reason} == {seen for seen, _ in attempts}, flaw
        assert min(took for _, took in attempts) < REFUSED_WITHIN_SECONDS, flaw
        assert await world.let_in(good), flaw


async def test_keys_roll_over(world: World) -> None:
    """
    A token by a key that was just added is let in; one by a key that was taken back is not, once that is known.
    """
    world.cluster.create_service_account("roll", "web")
    old = world.token("roll", "web")
    try:
        world.cluster.use_keys(published=[0, 1], signing=1)
        new = world.token("roll", "web")
        # An unknown key is asked for at most every 10 s: whoever asked before us may have used that up.
        await eventually(lambda: world.let_in(new), seconds=15)
        assert await world.let_in(old)
    finally:
        world.cluster.use_keys(published=[0], signing=0)


@pytest.mark.parametrize("outage", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "paused"])
async def test_logins_go_on_without_the_api_server(world: World, outage: signal.Signals) -> None:
    """
    While the API server is away whoever is known gets in; afterwards what happened meanwhile is caught up with.
    """
    name = outage.name.lower()
    world.cluster.create_service_account("outage", name)
    token = world.token("outage", name)
    assert await world.let_in(token)
    pid = world.responder.pid
    if outage is signal.SIGKILL:
        world.cluster.kill()
    else:
        world.cluster.pause()
    try:
        assert all([await world.let_in(token) for _ in range(5)])
        assert world.responder.ready
    finally:
        if outage is signal.SIGKILL:
            world.cluster.restart()
        else:
            world.cluster.resume()
    world.cluster.annotate("outage", name, {"nats.io/allowed-pub-subjects": "late.>"})
    await eventually(lambda: world.may_publish(token, "late.news"), seconds=20)
    assert pid == world.responder.pid


def test_our_identity_may_do_nothing_else(world: World) -> None:
    """
    The ServiceAccount that all of this ran as can read ServiceAccounts and the key set, and nothing more.
    """
    token = world.cluster.token(world.cluster.namespace, world.cluster.service_account, audience=None)
    SECRETS.register("token", token)

    assert 200 == world.cluster.request("GET", "/api/v1/serviceaccounts?limit=1", token=token)[0]
    for path in ("/api/v1/pods", "/api/v1/secrets", "/api/v1/namespaces", "/apis/rbac.authorization.k8s.io/v1/roles"):
        assert 403 == world.cluster.request("GET", path, token=token)[0], path


async def test_the_audit_policy_names_who_changed_a_workload(world: World) -> None:
    """
    With the policy of docs/SECURITY_MODEL.md the API server logs who wrote which annotation, who asked for a token, and
    neither a token nor anything else.
    """
    cluster = world.cluster
    cluster.create_namespace("audited")
    cluster.create_service_account("audited", "orders")
    cluster.annotate("audited", "orders", {"nats.io/allowed-pub-subjects": "billing.>"})
    token = world.token("audited", "orders")
    cluster.delete_service_account("audited", "orders")

    def found() -> list[dict[str, Any]]:
        events = map(json.loads, cluster.audit_log.read_text().splitlines())
        return [event for event in events if event["objectRef"].get("namespace") == "audited"]

    async def complete() -> bool:
        return len(found()) >= 4

    await eventually(complete)
    told = [(event["verb"], event["objectRef"].get("subresource", ""), event["level"]) for event in found()]
    changed = found()[1]

    assert [
        ("create", "", "Request"),
        ("patch", "", "Request"),
        ("create", "token", "Metadata"),
        ("delete", "", "Request"),
    ] == told
    assert "admin" == changed["user"]["username"]
    assert {"nats.io/allowed-pub-subjects": "billing.>"} == changed["requestObject"]["metadata"]["annotations"]
    assert {"serviceaccounts"} == {
        json.loads(line)["objectRef"]["resource"] for line in cluster.audit_log.read_text().splitlines()
    }
    assert token not in cluster.audit_log.read_text()
