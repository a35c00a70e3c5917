"""What doctor sees of the cluster: keys, tokens, rights, clocks, each wrong for real at a scripted API server.

No NATS runs: the checks of the cluster are made all the same.
"""

import email.utils
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web

from nats_k8s_oidc_callout.doctor import Report
from tests.e2e import kubernetes_world
from tests.e2e.cluster import Cluster
from tests.e2e.examinations import examine, examined
from tests.fakes import key_server
from tests.fakes.api_server import FakeApiServer, Handler, answers
from tests.fakes.issuer import UID, Issuer
from tests.fakes.key_server import Answer
from tests.fakes.nats_tls import mint_tls
from tests.fakes.nats_world import free_port
from tests.leaks import SECRETS
from tests.settings import whole

pytestmark = pytest.mark.e2e

AUDIENCE = "https://kubernetes.default.svc"
VERBS = ("list", "watch", "get")
SCOPED = {"K8S_NAMESPACES": "team-a,team-b"}


@dataclass(frozen=True)
class Pod:
    """How a pod's surroundings differ from good ones; a variable may name a file in `{folder}`."""

    variables: Mapping[str, str] = field(default_factory=dict)
    faults: Mapping[str, Handler] = field(default_factory=dict)
    keys: Answer | None = None
    token_age: float = 0.0


def dated(seconds: float) -> dict[str, Handler]:
    """Return answers of an API server whose clock is off."""

    async def handle(_: web.Request) -> web.StreamResponse:
        date = email.utils.formatdate(time.time() + seconds, usegmt=True)
        return web.json_response({"items": []}, headers={"Date": date})

    return dict.fromkeys(VERBS, handle)


async def report_of(pod: Pod, folder: Path) -> Report:
    """Examine a pod that has an API server and a key endpoint, both by https."""
    (folder / "other").mkdir()
    issuer, files = Issuer(), mint_tls(folder, "127.0.0.1")
    mint_tls(folder / "other")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(files.path("server.pem"), files.path("server.key"))
    for name, content in {
        "ca.crt": files.path("ca.pem").read_text(),
        "token": SECRETS.register("token", issuer.token(now=time.time(), audience=AUDIENCE)),
        "namespace": "team-a",
        "self-test": SECRETS.register("token", issuer.token(now=time.time() - pod.token_age)),
        "creds": whole.creds().decode(),
    }.items():
        (folder / name).write_text(content)
    (folder / "other" / "ca.crt").write_bytes((folder / "other" / "ca.pem").read_bytes())
    (folder / "other" / "token").write_bytes((folder / "token").read_bytes())
    server = await FakeApiServer(context).start()
    server.put("team-a", "orders", UID)
    server.faults |= pod.faults
    try:
        async with key_server.running(pod.keys or key_server.body(issuer.jwks()), tls=context) as endpoint:
            env = {
                "NATS_URL": f"nats://127.0.0.1:{free_port()}",
                "NATS_ACCOUNT": "APP",
                "NATS_CREDS_FILE": "{folder}/creds",
                "KUBERNETES_SERVICE_HOST": "127.0.0.1",
                "KUBERNETES_SERVICE_PORT": server.base_url.rpartition(":")[2],
                "K8S_CREDENTIALS_DIR": "{folder}",
                "SELF_TEST_TOKEN_FILE": "{folder}/self-test",
                "JWT_ISSUER": issuer.url,
                "JWKS_URL": endpoint.url,
                "JWKS_CA_FILE": "{folder}/ca.crt",
                "PORT": str(free_port()),
                **pod.variables,
            }
            return await examine({name: value.replace("{folder}", str(folder)) for name, value in env.items()})
    finally:
        await server.stop()


CASES = {
    "nothing-is-wrong": (Pod(), "", ""),
    "no-list": (Pod(faults={"list": answers(403)}), "rbac_list_missing", "all namespaces"),
    "no-watch": (Pod(faults={"watch": answers(403)}), "rbac_watch_missing", "all namespaces"),
    "no-get": (Pod(faults={"get": answers(403)}), "rbac_get_missing", "all namespaces"),
    "scoped": (Pod(SCOPED), "", ""),
    "scoped-no-list": (Pod(SCOPED, {"list": answers(403)}), "rbac_list_missing", "in team-a, team-b"),
    "scoped-no-watch": (Pod(SCOPED, {"watch": answers(403)}), "rbac_watch_missing", "in team-a, team-b"),
    "scoped-no-get": (Pod(SCOPED, {"get": answers(403)}), "rbac_get_missing", "in team-a, team-b"),
    "no-rights": (
        Pod(faults=dict.fromkeys(VERBS, answers(403))), "rbac_list_missing rbac_watch_missing rbac_get_missing", ""
    ),
    "clock-ahead": (Pod(faults=dated(300.5)), "clock_off", "s ahead"),
    "clock-behind": (Pod(faults=dated(-300.5)), "clock_off", "s behind"),
    "api-away": (Pod({"KUBERNETES_SERVICE_PORT": "1"}), "api_unreachable", "no answer"),
    "api-of-another-ca": (Pod({"K8S_CREDENTIALS_DIR": "{folder}/other"}), "api_unreachable", "TLS:"),
    "api-broken": (Pod(faults={"watch": answers(500)}), "api_unreachable", "status 500 to a watch"),
    "issuer": (Pod({"JWT_ISSUER": "https://issuer.example"}), "issuer_wrong", "JWT_ISSUER is https://issuer.example"),
    "audience": (Pod({"JWT_AUDIENCE": "nats.example.com"}), "audience_wrong", "its audience is 'nats'"),
    "expired": (Pod(token_age=7200), "token_refused", "would be refused: expired"),
    "keys-away": (Pod({"JWKS_URL": "https://127.0.0.1:1/jwks"}), "jwks_unreachable", ""),
    "keys-of-another-ca": (Pod({"JWKS_CA_FILE": "{folder}/other/ca.pem"}), "jwks_ca_unknown", "TLS:"),
    "keys-forbidden": (Pod(keys=key_server.body(b"{}", 403)), "jwks_forbidden", "status 403"),
    "keys-are-html": (Pod(keys=key_server.body(b"<html>")), "jwks_unusable", ""),
}  # fmt: skip


@pytest.mark.parametrize(("pod", "expected", "words"), CASES.values(), ids=CASES)
async def test_what_is_wrong_is_seen(pod: Pod, expected: str, words: str, tmp_path: Path) -> None:
    """
    A cluster with one fault is told by its cause; one without is told to be good in each of its checks.
    """
    report = await report_of(pod, tmp_path)

    causes = dict.fromkeys(cause.value for finding in report.findings for cause in finding.causes)
    assert ["nats_unreachable", *expected.split()] == [*causes], report
    assert words in str([finding.detail for finding in report.findings if finding.check != "nats"])
    checks = {"jwks", "own token", "self-test token", "rbac", "clock"}
    good = {finding.check for finding in report.findings if finding.status.value == "ok"}
    assert (checks <= good) == (not expected)


def test_a_real_cluster(cluster: Cluster, tmp_path: Path) -> None:
    """
    Beside a responder with the chart's rights in a real cluster every check is made, and every one is good.
    """
    cluster.create_namespace("doctor")
    cluster.create_service_account("doctor", "tester")
    with kubernetes_world.world_in(cluster, tmp_path, PORT=str(free_port())) as world:
        token = tmp_path / "self-test.token"
        token.write_text(world.token("doctor", "tester"))
        report = examined({**world.responder.env, "SELF_TEST_TOKEN_FILE": str(token)})

    assert [("sentinel", "skipped"), ("signing key", "skipped")] == [
        (finding.check, finding.status.value) for finding in report.findings if finding.status.value != "ok"
    ], report
