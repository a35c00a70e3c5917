"""Fetching keys: a real server that answers well or badly, and a refresher whose clock is ours."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from nats_k8s_oidc_callout.adapters import jwks
from nats_k8s_oidc_callout.adapters.jwks import Fetched, JwksEndpoint, KeyRefresher
from nats_k8s_oidc_callout.core.identity.keyset import KeySet, ParsedKeys
from nats_k8s_oidc_callout.core.identity.own_token import Trust
from nats_k8s_oidc_callout.errors import BadKeySet, Unreachable
from tests.fakes import key_server
from tests.fakes.issuer import issuer_key
from tests.fakes.issuer import jwks as jwks_of
from tests.fakes.key_server import Answer, Endless, body, running
from tests.fakes.nats_tls import mint_tls

KEY, OTHER = issuer_key("ES256"), issuer_key("ES256", 1)
GOOD = jwks_of(KEY)
QUICK = 0.3


def plain(token: str | None = "our-token") -> Callable[[], tuple[str | None, ssl.SSLContext | None]]:
    return lambda: (token, None)


async def fetch(answer: Answer, trust: Trust = Trust.CLUSTER, timeout_seconds: float = 5.0) -> Fetched:
    async with running(answer) as server:
        return await JwksEndpoint(server.url, trust, plain(), timeout_seconds).fetch()


async def refusal(answer: Answer, timeout_seconds: float = 5.0) -> str:
    with pytest.raises(Unreachable) as caught:
        await fetch(answer, timeout_seconds=timeout_seconds)
    return str(caught.value)


# --- one fetch --------------------------------------------------------------------------------------------------------


async def test_good_answer() -> None:
    """A 200 gives its bytes as they came and the max-age it had."""
    assert Fetched(GOOD, 3600.0) == await fetch(body(GOOD, Cache_Control="public, max-age=3600"))


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", None),
        ("no-store", None),
        ("max-age=0", 0.0),
        ("public,max-age=60", 60.0),
        ("Max-Age = 60, public", 60.0),
        ('max-age="60"', 60.0),
        ("s-maxage=60", None),
        ("x-max-age=60", None),
        ("max-age=-1", None),
        ("max-age=1e9", None),
        ("max-age=" + "9" * 40, None),
    ],
)
def test_max_age(header: str, expected: float | None) -> None:
    """Only a plain number of seconds counts as max-age."""
    assert expected == jwks.max_age(header)


@pytest.mark.parametrize(
    ("status", "why"),
    [
        (204, "status 204"),
        (206, "status 206"),
        (403, "status 403: our ServiceAccount lacks the ClusterRole system:service-account-issuer-discovery"),
        (404, "status 404"),
        (500, "status 500"),
        (503, "status 503"),
    ],
)
async def test_other_status(status: int, why: str) -> None:
    """Every status but 200 is a failure that names it, a good body notwithstanding."""
    assert why == await refusal(body(GOOD, status))


@pytest.mark.parametrize("target", ["/elsewhere", "http://127.0.0.1:1/", "http://169.254.169.254/latest/"])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirect_is_not_followed(status: int, target: str) -> None:
    """A redirect, to the same host too, is a failure after one request."""
    async with running(body(b"", status, Location=target), body(GOOD)) as server:
        with pytest.raises(Unreachable, match=f"status {status}: redirects are not followed"):
            await JwksEndpoint(server.url, Trust.CLUSTER, plain()).fetch()

        assert 1 == len(server.asked)


async def test_half_a_body() -> None:
    """An answer that ends before the length it promised is a failure."""
    assert "the answer ended too early" == await refusal(key_server.half(GOOD))


async def test_hanging_up() -> None:
    """A server that hangs up without a word is a failure."""
    assert "the answer ended too early" == await refusal(key_server.disconnect)


@pytest.mark.parametrize("announced", [True, False], ids=["with its length", "chunked"])
async def test_hundred_megabytes(announced: bool) -> None:
    """Of a body that is too large no more is taken than the limit and what the sockets hold."""
    flood = Endless(100_000_000, announced)

    assert "the answer is over 1048576 bytes" == await refusal(flood)
    assert flood.sent < 20_000_000


async def test_largest_body() -> None:
    """A body of exactly the limit is taken."""
    assert 1 << 20 == len((await fetch(body(b" " * (1 << 20)))).body)


async def test_packed_answer_is_refused() -> None:
    """A gzip bomb is refused unopened: we asked for plain bytes."""
    assert "compressed" in await refusal(key_server.bomb(5_000_000))


async def test_plain_bytes_are_asked_for() -> None:
    """The request says what we take."""
    async with running(body(GOOD)) as server:
        await JwksEndpoint(server.url, Trust.CLUSTER, plain()).fetch()

        assert "identity" == server.asked[0].headers["Accept-Encoding"]


@pytest.mark.parametrize("answer", [key_server.hang, key_server.drip(GOOD, 0.05)], ids=["hang", "drip"])
async def test_slow_answer(answer: Answer) -> None:
    """The time-out is for the whole answer: neither silence nor a byte now and then gets past it."""
    assert f"no whole answer within {QUICK} s" == await refusal(answer, QUICK)


async def test_refused_connection() -> None:
    """A server that is not there is a failure that says so."""
    async with running(body(GOOD)) as server:
        endpoint = JwksEndpoint(server.url, Trust.CLUSTER, plain())

    with pytest.raises(Unreachable, match=r"cannot connect: .*refused"):
        await endpoint.fetch()


# --- our own token ----------------------------------------------------------------------------------------------------


async def test_token_goes_to_the_cluster() -> None:
    """Our API server is asked with our token."""
    async with running(body(GOOD)) as server:
        await JwksEndpoint(server.url, Trust.CLUSTER, plain()).fetch()

        assert "Bearer our-token" == server.asked[0].headers["Authorization"]


@pytest.mark.parametrize(("trust", "token"), [(Trust.PUBLIC, "our-token"), (Trust.CLUSTER, None), (Trust.CLUSTER, "")])
async def test_token_goes_to_nobody_else(trust: Trust, token: str | None) -> None:
    """Anybody else is asked without a token, also where one was handed in by mistake."""
    async with running(body(GOOD)) as server:
        await JwksEndpoint(server.url, trust, plain(token)).fetch()

        assert "Authorization" not in server.asked[0].headers


async def test_refusal_by_somebody_else() -> None:
    """A 401 or 403 of anybody else is not about our token: one request, and no advice about our own cluster."""
    for status in (401, 403):
        async with running(body(b"", status)) as server:
            with pytest.raises(Unreachable, match=f"^status {status}$"):
                await JwksEndpoint(server.url, Trust.PUBLIC, plain()).fetch()

            assert 1 == len(server.asked)


async def test_token_is_read_anew() -> None:
    """Each fetch uses the token of its own time, since the kubelet rotates it."""
    tokens = iter(["first", "second"])
    async with running(body(GOOD)) as server:
        endpoint = JwksEndpoint(server.url, Trust.CLUSTER, lambda: (next(tokens), None))
        await endpoint.fetch()
        await endpoint.fetch()

        assert ["Bearer first", "Bearer second"] == [request.headers["Authorization"] for request in server.asked]


async def test_refused_token_is_read_anew_once() -> None:
    """After a 401 the token is read and tried once more."""
    tokens = iter(["old", "new"])
    async with running(body(b"", 401), body(GOOD)) as server:
        found = await JwksEndpoint(server.url, Trust.CLUSTER, lambda: (next(tokens), None)).fetch()

        assert GOOD == found.body
        assert ["Bearer old", "Bearer new"] == [request.headers["Authorization"] for request in server.asked]


async def test_token_that_stays_refused() -> None:
    """A second 401 is a failure, after two requests."""
    async with running(body(b"", 401)) as server:
        with pytest.raises(Unreachable, match="status 401: our own token is not accepted"):
            await JwksEndpoint(server.url, Trust.CLUSTER, plain()).fetch()

        assert 2 == len(server.asked)


async def test_both_tries_share_one_time() -> None:
    """The second try does not begin the time-out anew."""
    async with running(body(b"", 401), key_server.hang) as server:
        with pytest.raises(Unreachable, match="no whole answer"):
            await JwksEndpoint(server.url, Trust.CLUSTER, plain(), QUICK).fetch()


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (FileNotFoundError(2, "No such file", "/run/token"), "credentials: /run/token FileNotFoundError"),
        (ValueError("holds our-token"), "credentials: ValueError"),
    ],
    ids=["no file", "not readable"],
)
async def test_credentials_that_cannot_be_read(error: Exception, why: str) -> None:
    """Credentials that cannot be read are a failure that names the place and quotes nothing."""

    def broken() -> tuple[str | None, ssl.SSLContext | None]:
        raise error

    with pytest.raises(Unreachable) as caught:
        await JwksEndpoint("http://127.0.0.1:1/", Trust.CLUSTER, broken).fetch()

    assert why in str(caught.value)
    assert "our-token" not in str(caught.value)


@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY", "all_proxy"])
@pytest.mark.parametrize("trust", list(Trust))
async def test_no_proxy(monkeypatch: pytest.MonkeyPatch, trust: Trust, variable: str) -> None:
    """Neither our API server nor a clear loopback address is asked through a proxy of the environment."""
    async with running(body(GOOD)) as server, running(body(b"", 502)) as proxy:
        monkeypatch.setenv(variable, proxy.url)
        await JwksEndpoint(server.url, trust, plain()).fetch()

        assert ([], 1) == (proxy.asked, len(server.asked))


async def test_proxy_for_a_public_issuer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A public https issuer is asked through the environment's proxy, our own API server never."""
    async with running(body(b"", 502)) as proxy:
        monkeypatch.setenv("https_proxy", proxy.url)
        for trust in Trust:
            with pytest.raises(Unreachable):
                await JwksEndpoint("https://127.0.0.1:1/jwks", trust, plain()).fetch()

        assert ["CONNECT"] == [request.method for request in proxy.asked]
        assert "Authorization" not in proxy.asked[0].headers


# --- TLS --------------------------------------------------------------------------------------------------------------


def serving(directory: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "server.pem", directory / "server.key")
    return context


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return mint_tls(tmp_path_factory.mktemp("authority")).directory


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return mint_tls(tmp_path_factory.mktemp("stranger")).directory


def trusting(directory: Path) -> Callable[[], tuple[str | None, ssl.SSLContext | None]]:
    return lambda: ("our-token", ssl.create_default_context(cafile=directory / "ca.pem"))


async def test_private_authority(authority: Path) -> None:
    """A server whose certificate our CA signed is spoken to."""
    async with running(body(GOOD), tls=serving(authority)) as server:
        assert GOOD == (await JwksEndpoint(server.url, Trust.CLUSTER, trusting(authority)).fetch()).body


@pytest.mark.parametrize("by_system", [False, True], ids=["another CA", "the system's CA"])
async def test_other_authority(authority: Path, stranger: Path, by_system: bool) -> None:
    """A server whose certificate another CA signed never sees the request, and the failure says why."""
    async with running(body(GOOD), tls=serving(authority)) as server:
        credentials = plain() if by_system else trusting(stranger)
        with pytest.raises(Unreachable, match=r"TLS: .*(certificate|issuer)"):
            await JwksEndpoint(server.url, Trust.CLUSTER, credentials).fetch()

        assert [] == server.asked


async def test_other_host(authority: Path) -> None:
    """A certificate for another host is refused, though our CA signed it."""
    async with running(body(GOOD), tls=serving(authority), host="127.0.0.2") as server:
        with pytest.raises(Unreachable, match=r"TLS: .*mismatch"):
            await JwksEndpoint(server.url, Trust.CLUSTER, trusting(authority)).fetch()

        assert [] == server.asked


async def test_clear_answer_on_a_tls_port() -> None:
    """A server that speaks no TLS on its https port is a failure."""
    async with running(body(GOOD)) as server:
        with pytest.raises(Unreachable, match="TLS: "):
            await JwksEndpoint(server.url.replace("http:", "https:"), Trust.CLUSTER, plain()).fetch()


# --- the refresher ----------------------------------------------------------------------------------------------------


class World:
    """A refresher with a scripted fetch, a clock that is set, and sleeps that end when the test says so."""

    def __init__(self, *script: bytes | Exception | Fetched, staleness_seconds: float = 86_400.0) -> None:
        self.script = list(script)
        self.now = 0.0
        self.fetches = 0
        self.keys = KeySet(staleness_seconds)
        self.changes: list[bool] = []
        self.failures: list[str] = []
        self.slept: list[float] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self._wake = asyncio.Event()
        self.refresher = KeyRefresher(
            self.fetch, self.keys, lambda: self.now, self.succeeded, self.failures.append, lambda: 1.0, self.sleep
        )

    async def fetch(self) -> Fetched:
        self.fetches += 1
        await self.gate.wait()
        step = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if isinstance(step, Exception):
            raise step
        return step if isinstance(step, Fetched) else Fetched(step)

    def succeeded(self, parsed: ParsedKeys, changed: bool) -> None:
        self.changes.append(changed)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await self._wake.wait()
        self._wake.clear()
        self.now += seconds

    async def pass_by(self) -> None:
        """End the sleep that is on and wait for the next one."""
        before = len(self.slept)
        self._wake.set()
        await until(lambda: len(self.slept) > before)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.refresher.run(), name="refresher under test")
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


async def until(condition: Callable[[], bool]) -> None:
    """Let other tasks run until the condition holds; no time passes."""
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("did not happen")


async def together(*waiting: Awaitable[None]) -> None:
    await asyncio.gather(*waiting)


async def test_first_fetch_is_at_once() -> None:
    """The first keys are fetched before any sleep, and told of."""
    world = World(GOOD)
    async with world.running():
        await until(lambda: world.slept == [3600.0])

    assert ([True], 1, True) == (world.changes, world.fetches, world.keys.fresh(0.0))


@pytest.mark.parametrize(
    ("max_age", "expected"), [(None, 3600.0), (7200.0, 3600.0), (600.0, 600.0), (5.0, 60.0), (0.0, 60.0)]
)
async def test_next_fetch(max_age: float | None, expected: float) -> None:
    """The next fetch is after max-age, at most an hour and at least a minute later."""
    assert expected == await World(Fetched(GOOD, max_age)).refresher.refresh()


async def test_jitter() -> None:
    """Replicas ask apart, and never later than the answer's own max-age."""
    world = World(GOOD)
    early = KeyRefresher(world.fetch, world.keys, lambda: 0.0, world.succeeded, world.failures.append, lambda: 0.0)

    assert 3240.0 == await early.refresh()


async def test_back_off_with_keys() -> None:
    """
    With good keys in hand, failures are tried again after 1, 2, 4 … seconds, at most a minute, and no key is lost.
    """
    world = World(GOOD, Unreachable("status 500"))
    async with world.running():
        for _ in range(8):
            await until(lambda: bool(world.slept))
            await world.pass_by()

    assert [3600.0, 1, 2, 4, 8, 16, 32, 60, 60] == world.slept
    assert world.keys.find(KEY.kid, world.now) is not None
    assert ["status 500"] * 8 == world.failures


async def test_back_off_without_keys() -> None:
    """Without keys nobody can log in, so it is tried again after at most 10 seconds."""
    world = World(Unreachable("status 500"))
    async with world.running():
        for _ in range(6):
            await until(lambda: bool(world.slept))
            await world.pass_by()

    assert [1, 2, 4, 8, 10, 10, 10] == world.slept


async def test_recovery() -> None:
    """The first good answer after any number of failures ends the back-off."""
    world = World(*[Unreachable("status 500")] * 2, GOOD, Unreachable("status 500"))
    async with world.running():
        for _ in range(3):
            await until(lambda: bool(world.slept))
            await world.pass_by()

    assert [1, 2, 3600.0, 1] == world.slept


async def test_a_thousand_failures() -> None:
    """An outage of any length keeps the back-off at its bound."""
    world = World(Unreachable("x"))
    for _ in range(1100):
        await world.refresher.refresh()

    assert 10.0 == await world.refresher.refresh()


BAD_ANSWERS = [
    pytest.param(b"<html>", id="HTML"),
    pytest.param(b"{}", id="empty object"),
    pytest.param(b'{"keys":[]}', id="no keys"),
    pytest.param(b'{"keys":null}', id="keys null"),
    pytest.param(GOOD[: len(GOOD) // 2], id="half"),
    pytest.param(jwks_of(issuer_key("HS256")), id="only a symmetric key"),
    pytest.param(BadKeySet("x"), id="refused"),
    pytest.param(Unreachable("status 500"), id="unreachable"),
    pytest.param(RuntimeError("our-token"), id="a defect of ours"),
]


@pytest.mark.parametrize("answer", BAD_ANSWERS)
async def test_bad_answer_takes_no_key_away(answer: bytes | Exception) -> None:
    """After any bad answer the keys that worked still work, the failure is told, and nothing is raised."""
    world = World(GOOD, answer)
    await world.refresher.refresh()
    await world.refresher.refresh()

    assert world.keys.find(KEY.kid, 0.0) is not None
    assert (1, 1) == (world.keys.generation, len(world.failures))
    assert "our-token" not in world.failures[0]
    assert isinstance(answer, RuntimeError) is world.failures[0].startswith("unexpected")


async def test_outage_beyond_the_bound() -> None:
    """When nobody vouched for the keys for the staleness bound they are not used, until somebody does again."""
    world = World(GOOD, Unreachable("x"), GOOD, staleness_seconds=100.0)
    await world.refresher.refresh()
    world.now = 100.0
    await world.refresher.refresh()
    assert world.keys.find(KEY.kid, world.now) is None

    await world.refresher.refresh()
    assert world.keys.find(KEY.kid, world.now) is not None


async def test_rotation_and_removal() -> None:
    """A new key comes and an old one goes with the answer that says so."""
    world = World(GOOD, jwks_of(KEY, OTHER), jwks_of(OTHER))
    for _ in range(3):
        await world.refresher.refresh()

    assert world.keys.find(KEY.kid, 0.0) is None
    assert world.keys.find(OTHER.kid, 0.0) is not None
    assert ([True, True, True], 3) == (world.changes, world.keys.generation)


async def test_unknown_kid_fetches() -> None:
    """A request with an unknown kid waits for the fetch it caused, and finds the new key."""
    world = World(GOOD, jwks_of(KEY, OTHER))
    async with world.running():
        await until(lambda: bool(world.slept))
        await world.refresher.refresh_for_unknown_kid(5.0)

    assert world.keys.find(OTHER.kid, 0.0) is not None


async def test_unknown_kids_share_one_fetch() -> None:
    """Requests that come while a fetch is under way wait for that one."""
    world = World(GOOD)
    await together(*(world.refresher.refresh_for_unknown_kid(5.0) for _ in range(10)))

    assert 1 == world.fetches


async def test_unknown_kid_joins_the_regular_fetch() -> None:
    """A request that comes during a regular fetch waits for it, and the cool-down stays unspent."""
    world = World(GOOD)
    world.gate.clear()
    async with world.running():
        await until(lambda: world.fetches == 1)
        waiting = asyncio.create_task(world.refresher.refresh_for_unknown_kid(5.0))
        await asyncio.sleep(0)
        world.gate.set()
        await waiting

    assert 1 == world.fetches
    assert world.keys.may_refresh(0.0)


async def test_regular_fetch_joins_an_unknown_kid() -> None:
    """A regular fetch that is due while another is under way is that one."""
    world = World(GOOD)
    world.gate.clear()
    waiting = asyncio.create_task(world.refresher.refresh_for_unknown_kid(5.0))
    await until(lambda: world.fetches == 1)
    async with world.running():
        await asyncio.sleep(0)
        world.gate.set()
        await until(lambda: bool(world.slept))
        await waiting

    assert 1 == world.fetches


@pytest.mark.parametrize("answer", [GOOD, Unreachable("x")], ids=["success", "failure"])
async def test_cooldown(answer: bytes | Exception) -> None:
    """Unknown kids cause one fetch in 10 seconds, however it ended; the others do not wait."""
    world = World(answer)
    for second in range(25):
        world.now = float(second)
        await world.refresher.refresh_for_unknown_kid(5.0)

    assert 3 == world.fetches


async def test_request_waits_for_its_budget_only() -> None:
    """A fetch that hangs costs a request its own budget, and goes on for the others."""
    world = World(GOOD)
    world.gate.clear()
    patient = asyncio.create_task(world.refresher.refresh_for_unknown_kid(5.0))
    await asyncio.sleep(0)
    async with asyncio.timeout(4):
        await world.refresher.refresh_for_unknown_kid(0.01)
    world.gate.set()
    await patient

    assert (1, True) == (world.fetches, world.keys.fresh(0.0))


async def test_request_without_budget() -> None:
    """A request that has no time left causes no fetch."""
    world = World(GOOD)
    await world.refresher.refresh_for_unknown_kid(0.0)

    assert 0 == world.fetches


async def test_at_most_64_requests_wait() -> None:
    """While 64 requests wait, the next returns at once; when they are done, there is room again."""
    world = World(GOOD)
    world.gate.clear()
    waiting = [asyncio.create_task(world.refresher.refresh_for_unknown_kid(5.0)) for _ in range(64)]
    await until(lambda: world.fetches == 1)
    await asyncio.wait_for(world.refresher.refresh_for_unknown_kid(5.0), 0.5)
    assert not any(task.done() for task in waiting)

    world.gate.set()
    await asyncio.gather(*waiting)
    world.now = 20.0
    await world.refresher.refresh_for_unknown_kid(5.0)
    assert 2 == world.fetches


async def test_cancelled_request_does_not_end_the_fetch() -> None:
    """A request that is cancelled while it waits leaves the fetch, and its place, to the others."""
    world = World(GOOD)
    world.gate.clear()
    first, second = (asyncio.create_task(world.refresher.refresh_for_unknown_kid(5.0)) for _ in range(2))
    await until(lambda: world.fetches == 1)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    world.gate.set()
    await second

    assert (1, True) == (world.fetches, world.keys.fresh(0.0))


async def test_end_takes_the_fetch_along() -> None:
    """When the refresher ends, no fetch of it is left, who waited goes on, and nobody can start another."""
    world = World(GOOD)
    world.gate.clear()
    async with world.running():
        await until(lambda: world.fetches == 1)
        waiting = asyncio.create_task(world.refresher.refresh_for_unknown_kid(5.0))
        await asyncio.sleep(0)
    await waiting
    await world.refresher.refresh_for_unknown_kid(5.0)

    assert not any(task.get_name() == "jwks refresh" for task in asyncio.all_tasks())
    assert 1 == world.fetches


# --- both together ----------------------------------------------------------------------------------------------------


async def test_keys_survive_a_bad_day() -> None:
    """Against a real server: good keys, then everything that can go wrong, then a rotation that is taken up."""
    script = [
        body(GOOD),
        body(b"<html>"),
        body(GOOD, 500),
        key_server.half(GOOD),
        body(b"", 302, Location="/"),
        key_server.hang,
        body(jwks_of(KEY, OTHER)),
    ]
    failures: list[str] = []
    async with running(*script) as server:
        keys = KeySet()
        endpoint = JwksEndpoint(server.url, Trust.CLUSTER, plain(), QUICK)
        refresher = KeyRefresher(endpoint.fetch, keys, lambda: 0.0, lambda parsed, changed: None, failures.append)
        for step in range(len(script)):
            await refresher.refresh()
            assert keys.find(KEY.kid, 0.0) is not None, step

    assert (5, 2) == (len(failures), keys.generation)
    assert keys.find(OTHER.kid, 0.0) is not None
