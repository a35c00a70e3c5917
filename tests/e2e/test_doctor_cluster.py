"""What doctor finds on the cluster's side: keys, tokens, rights, clocks, each wrong for real at a scripted API server."""

import asyncio
import contextlib
import email.utils
import ssl
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import web

from nats_k8s_oidc_callout import doctor, settings
from nats_k8s_oidc_callout.doctor import Report
from tests.e2e import faults, kubernetes_world
from tests.e2e.cluster import Cluster
from tests.e2e.plans import Plan
from tests.e2e.responder import environment
from tests.e2e.worlds import World, world_of
from tests.fakes import key_server
from tests.fakes.api_server import FakeApiServer, answers
from tests.fakes.nats_tls import mint_tls
from tests.fakes.nats_world import free_port
from tests.leaks import SECRETS

pytestmark = pytest.mark.e2e


def impatient(folder: Path) -> Plan:
    """Nobody answers here, and doctor waits for that to be certain: servers that wait for less make it short."""
    plan: Plan = faults.timeout_of(0.7)(folder)
    return replace(plan, variables={**plan.variables, "NATS_AUTH_TIMEOUT_SECONDS": "0.7"})


@contextlib.asynccontextmanager
async def pod(world: World) -> AsyncIterator[tuple[FakeApiServer, dict[str, str]]]:
    """Give an API server by https, and the variables of a pod that has it; no responder runs."""
    mounted = world.folder / "mounted"
    mounted.mkdir()
    files = mint_tls(mounted, "127.0.0.1")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(files.path("server.pem"), files.path("server.key"))
    server = await FakeApiServer(context).start()
    server.put("team-a", "orders", "uid-of-team-a-orders")
    (mounted / "ca.crt").write_bytes(files.path("ca.pem").read_bytes())
    (mounted / "token").write_text(world.token(name="responder", audience="https://kubernetes.default.svc"))
    (mounted / "namespace").write_text("team-a")
    renew(world, world.token())
    env = {name: text for name, text in world.environment().items() if name != "SERVICE_ACCOUNTS_DIR"}
    try:
        yield (
            server,
            {
                **env,
                "KUBERNETES_SERVICE_HOST": "127.0.0.1",
                "KUBERNETES_SERVICE_PORT": server.base_url.rpartition(":")[2],
                "K8S_CREDENTIALS_DIR": str(mounted),
                "SELF_TEST_TOKEN_FILE": str(world.folder / "self-test.token"),
                "PORT": str(free_port()),
            },
        )
    finally:
        await server.stop()


def renew(world: World, token: str) -> None:
    (world.folder / "self-test.token").write_text(token)


async def examined(env: dict[str, str]) -> Report:
    names = {name: value for name, value in environment(env).items() if name not in ("PATH", "PYTHONPATH")}
    report = await doctor.examine(settings.load(names))
    assert [] == SECRETS.scan(str(report).encode())
    return report


def causes(report: Report) -> list[str]:
    """Return what was found, but that nobody answers: no responder runs here."""
    return [cause.value for cause in report.causes if cause is not doctor.Cause.NO_RESPONDER]


def status(report: Report, check: str) -> list[str]:
    return [finding.status.value for finding in report.findings if finding.check == check]


async def test_nothing_is_wrong() -> None:
    """
    With every right, a true clock and good tokens nothing is found on the cluster's side.
    """
    with world_of(impatient) as world:
        async with pod(world) as (_, env):
            report = await examined(env)

    assert [] == causes(report)
    for check in ("jwks", "own token", "self-test token", "rbac", "clock"):
        assert ["ok"] == status(report, check), report


@pytest.mark.parametrize("verb", ["list", "watch", "get"])
@pytest.mark.parametrize("namespaces", ["", "team-a,team-b"])
async def test_missing_right_is_named(verb: str, namespaces: str) -> None:
    """
    Each of the three verbs that is missing is a cause of its own, for a whole cluster and for a scoped release.
    """
    with world_of(impatient) as world:
        async with pod(world) as (server, env):
            server.faults[verb] = answers(403)
            report = await examined({**env, "K8S_NAMESPACES": namespaces})

    assert [f"rbac_{verb}_missing"] == causes(report)


async def test_all_rights_are_missing() -> None:
    """
    Without any binding all three are named at once, a line each.
    """
    with world_of(impatient) as world:
        async with pod(world) as (server, env):
            server.faults |= dict.fromkeys(("list", "watch", "get"), answers(403))
            report = await examined(env)

    assert ["rbac_list_missing", "rbac_watch_missing", "rbac_get_missing"] == causes(report)


def dated(seconds: float) -> Callable[[web.Request], object]:
    async def handle(request: web.Request) -> web.StreamResponse:
        date = email.utils.formatdate(time.time() + seconds, usegmt=True)
        return web.json_response({"items": []}, headers={"Date": date})

    return handle


@pytest.mark.parametrize("seconds", [300, -300])
async def test_clock_that_is_five_minutes_off(seconds: int) -> None:
    """
    An API server five minutes ahead of us, or behind, is seen by the date of its answers.
    """
    with world_of(impatient) as world:
        async with pod(world) as (server, env):
            server.faults |= dict.fromkeys(("list", "watch", "get"), dated(seconds))  # type: ignore[arg-type]  # handlers
            report = await examined(env)

    assert ["clock_off"] == causes(report)
    (detail,) = (finding.detail for finding in report.findings if finding.check == "clock")
    assert f"300 s {'ahead' if seconds > 0 else 'behind'}" in detail.replace("299", "300").replace("301", "300")


async def test_api_server_that_is_away() -> None:
    """
    An API server that nobody reaches is one cause, not three missing rights.
    """
    with world_of(impatient) as world:
        async with pod(world) as (server, env):
            await server.stop()
            report = await examined(env)

    assert ["api_unreachable"] == causes(report)


async def test_api_server_of_another_ca() -> None:
    """
    A ca.crt that is not the API server's is the same cause, in words that name the certificate.
    """
    with world_of(impatient) as world:
        async with pod(world) as (_, env):
            (world.folder / "else").mkdir()
            other = mint_tls(world.folder / "else", "127.0.0.1").path("ca.pem").read_bytes()
            (Path(env["K8S_CREDENTIALS_DIR"]) / "ca.crt").write_bytes(other)
            report = await examined(env)

    assert ["api_unreachable"] == causes(report)
    assert any("TLS:" in finding.detail for finding in report.findings if finding.check == "rbac")


async def test_issuer_is_wrong() -> None:
    """
    JWT_ISSUER that is not what the cluster writes into tokens: both our tokens tell.
    """
    with world_of(impatient) as world:
        async with pod(world) as (_, env):
            report = await examined({**env, "JWT_ISSUER": f"{world.issuer.url}/"})

    assert ["issuer_wrong"] == causes(report)
    assert (["FAIL"], ["FAIL"]) == (status(report, "own token"), status(report, "self-test token"))


async def test_audience_is_wrong() -> None:
    """
    A self-test token that was projected for another audience.
    """
    with world_of(impatient) as world:
        async with pod(world) as (_, env):
            report = await examined({**env, "JWT_AUDIENCE": "nats.example.com"})

    assert ["audience_wrong"] == causes(report)


async def test_token_that_has_run_out() -> None:
    """
    What a responder would refuse the token for is told in its own word.
    """
    with world_of(impatient) as world:
        async with pod(world) as (_, env):
            renew(world, world.token(now=time.time() - 7200))
            report = await examined(env)

    assert ["token_refused"] == causes(report)
    assert any("expired" in finding.detail for finding in report.findings if finding.check == "self-test token")


@contextlib.asynccontextmanager
async def key_endpoint(fault: str, world: World) -> AsyncIterator[dict[str, str]]:
    """Give the variables of a key endpoint that has this fault."""
    if fault == "unreachable":
        yield {"JWKS_URL": f"http://127.0.0.1:{free_port()}/openid/v1/jwks"}
        return
    (world.folder / "keys").mkdir()
    files = mint_tls(world.folder / "keys", "127.0.0.1")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(files.path("server.pem"), files.path("server.key"))
    body = {"forbidden": b"{}", "html": b"<html>"}.get(fault, world.issuer.jwks())
    status_code = 403 if fault == "forbidden" else 200
    async with key_server.running(key_server.body(body, status_code), tls=context) as server:
        ca = {} if fault == "unknown-ca" else {"JWKS_CA_FILE": str(files.path("ca.pem"))}
        yield {"JWKS_URL": server.url, **ca}


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        pytest.param("none", [], id="good"),
        pytest.param("unreachable", ["jwks_unreachable"], id="unreachable"),
        pytest.param("unknown-ca", ["jwks_ca_unknown"], id="ca-unknown"),
        pytest.param("forbidden", ["jwks_forbidden"], id="403"),
        pytest.param("html", ["jwks_unusable"], id="html"),
    ],
)
async def test_key_endpoint(fault: str, expected: list[str]) -> None:
    """
    Keys that cannot be had: away, behind a certificate that we do not trust, not for us, or no keys at all.
    """
    with world_of(impatient) as world:
        async with key_endpoint(fault, world) as keys:
            renew(world, world.token())
            env = {name: text for name, text in world.environment().items() if name != "JWKS_FILE"}
            token = str(world.folder / "self-test.token")
            report = await examined({**env, **keys, "SELF_TEST_TOKEN_FILE": token, "PORT": str(free_port())})

    assert expected == causes(report)


async def test_forbidden_by_the_api_server_itself() -> None:
    """
    The cluster's own key endpoint that does not let our ServiceAccount in is answered with the binding that it lacks.
    """
    with world_of(impatient) as world:
        async with key_server.running(key_server.body(b"{}", 403)) as server:
            env = {name: text for name, text in world.environment().items() if name != "JWKS_FILE"}
            report = await examined({**env, "JWKS_URL": server.url, "PORT": str(free_port())})
    (found,) = (finding for finding in report.findings if finding.check == "jwks")

    assert "system:service-account-issuer-discovery" in found.fix


def test_a_real_cluster(cluster: Cluster, tmp_path: Path) -> None:
    """
    Beside a responder with the chart's rights in a real cluster every check is made, and every one is good.
    """
    cluster.create_namespace("doctor")
    cluster.create_service_account("doctor", "tester")
    with kubernetes_world.world_in(cluster, tmp_path, PORT=str(free_port())) as world:
        token = tmp_path / "self-test.token"
        token.write_text(world.token("doctor", "tester"))
        report = asyncio.run(examined({**world.responder.env, "SELF_TEST_TOKEN_FILE": str(token)}))

    assert [("sentinel", "skipped"), ("signing key", "skipped")] == [
        (finding.check, finding.status.value) for finding in report.findings if finding.status.value != "ok"
    ], report
