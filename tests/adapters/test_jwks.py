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


NO_RIGHT = "status 403: our ServiceAccount lacks the ClusterRole system:service-account-issuer-discovery"
NO_ANSWER = [
    # Every status but 200 is a failure that names it, a good body notwithstanding.
    *(
        pytest.param(body(GOOD, status), 5.0, f"status {status}", id=str(status))
        for status in (204, 206, 404, 500, 503)
    ),
    pytest.param(body(GOOD, 403), 5.0, NO_RIGHT, id="403"),
    pytest.param(key_server.half(GOOD), 5.0, "the answer ended too early", id="half a body"),
    pytest.param(key_server.disconnect, 5.0, "the answer ended too early", id="hanging up"),
    # The time-out is for the whole answer: neither silence nor a byte now and then gets past it.
    pytest.param(key_server.hang, QUICK, f"no whole answer within {QUICK} s", id="hang"),
    pytest.param(key_server.drip(GOOD, 0.05), QUICK, f"no whole answer within {QUICK} s", id="drip"),
]


@pytest.mark.parametrize(("answer", "timeout", "why"), NO_ANSWER)
async def test_what_is_no_answer(answer: Answer, timeout: float, why: str) -> None:
    """An answer that is none is a failure that says why."""
    assert why == await refusal(answer, timeout)


@pytest.mark.parametrize("target", ["/elsewhere", "http://127.0.0.1:1/", "http://169.254.169.254/latest/"])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirect_is_not_followed(status: int, target: str) -> None:
    """A redirect, to the same host too, is a failure after one request."""
    async with running(body(b"", status, Location=target), body(GOOD)) as server:
        with pytest.raises(Unreachable, match=f"status {status}: redirects are not followed"):
            await JwksEndpoint(server.url, Trust.CLUSTER, plain()).fetch()

        assert 1 == len(server.asked)


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


async def test_refused_connection() -> None:
    """A server that is not there is a failure that says so."""
    async with running(body(GOOD)) as server:
        endpoint = JwksEndpoint(server.url, Trust.CLUSTER, plain())

    with pytest.raises(Unreachable, match=r"cannot connect: .*refused"):
        await endpoint.fetch()


# --- our own token ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("trust", "token", "sent"),
    [
        (Trust.CLUSTER, "our-token", "Bearer our-token"),
        (Trust.PUBLIC, "our-token", None),
        (Trust.CLUSTER, None, None),
        (Trust.CLUSTER, "", None),
    ],
)
async def test_token_goes_to_nobody_else(trust: Trust, token: str | None, sent: str | None) -> None:
    """Our API server is asked with our token; anybody else without one, also where one was handed in by mistake."""
    async with running(body(GOOD)) as server:
        await JwksEndpoint(server.url, trust, plain(token)).fetch()

        assert sent == server.asked[0].headers.get("Authorization")


@pytest.mark.parametrize(
    ("answers", "trust", "why", "times"),
    [
        pytest.param([body(b"", 401)], Trust.PUBLIC, "^status 401$", 1, id="401 of somebody else"),
        pytest.param([body(b"", 403)], Trust.PUBLIC, "^status 403$", 1, id="403 of somebody else"),
        pytest.param([body(b"", 401)], Trust.CLUSTER, "status 401: our own token is not accepted", 2, id="401 twice"),
        pytest.param([body(b"", 401), key_server.hang], Trust.CLUSTER, "no whole answer", 2, id="one time for both"),
    ],
)
async def test_token_that_stays_refused(answers: list[Answer], trust: Trust, why: str, times: int) -> None:
    """A refusal of our own token is tried once more within the same time; anybody else's is not about our token."""
    async with running(*answers) as server:
        with pytest.raises(Unreachable, match=why):
            await JwksEndpoint(server.url, trust, plain(), QUICK).fetch()

        assert times == len(server.asked)


async def test_token_is_read_anew() -> None:
    """Each fetch uses the token of its own time, since the kubelet rotates it, and after a 401 the next one once more."""
    tokens = iter(["first", "second", "third"])
    async with running(body(GOOD), body(b"", 401), body(GOOD)) as server:
        endpoint = JwksEndpoint(server.url, Trust.CLUSTER, lambda: (next(tokens), None))

        assert [GOOD, GOOD] == [(await endpoint.fetch()).body for _ in range(2)]
        assert ["Bearer first", "Bearer second", "Bearer third"] == [
            request.headers["Authorization"] for request in server.asked
        ]


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


@pytest.mark.parametrize(
    ("trusted", "host", "why"),
    [
        pytest.param("stranger", "127.0.0.1", "(certificate|issuer)", id="another CA"),
        pytest.param("", "127.0.0.1", "(certificate|issuer)", id="the system's CA"),
        pytest.param("authority", "127.0.0.2", "mismatch", id="another host"),
    ],
)
async def test_certificate_that_does_not_fit(
    authority: Path, stranger: Path, trusted: str, host: str, why: str
) -> None:
    """A server whose certificate another CA signed, or ours for another host, never sees the request; the failure says why."""
    known = {"authority": trusting(authority), "stranger": trusting(stranger), "": plain()}
    async with running(body(GOOD), tls=serving(authority), host=host) as server:
        with pytest.raises(Unreachable, match=f"TLS: .*{why}"):
            await JwksEndpoint(server.url, Trust.CLUSTER, known[trusted]).fetch()

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


DOWN = Unreachable("status 500")
SLEEPS = [
    # With good keys in hand at most a minute.
    pytest.param([GOOD, DOWN], [3600.0, 1, 2, 4, 8, 16, 32, 60, 60], id="with keys"),
    # Without keys nobody can log in.
    pytest.param([DOWN], [1, 2, 4, 8, 10, 10, 10], id="without keys"),
    # The first good answer after any number of failures ends the back-off.
    pytest.param([DOWN, DOWN, GOOD, DOWN], [1, 2, 3600.0, 1], id="recovery"),
]


@pytest.mark.parametrize(("script", "slept"), SLEEPS)
async def test_back_off(script: list[bytes | Exception], slept: list[float]) -> None:
    """Failures are tried again after 1, 2, 4 … seconds, up to a bound; each is told, and no key is lost."""
    world = World(*script)
    async with world.running():
        for _ in slept[1:]:
            await until(lambda: bool(world.slept))
            await world.pass_by()

    assert slept == world.slept
    assert (GOOD in script) is (world.keys.find(KEY.kid, world.now) is not None)
    assert [str(DOWN)] * (len(slept) - (GOOD in script)) == world.failures


async def test_a_thousand_failures() -> None:
    """An outage of any length keeps the back-off at its bound."""
    world = World(Unreachable("x"))
    for _ in range(1100):
        await world.refresher.refresh()

    assert 10.0 == await world.refresher.refresh()


# What else an endpoint can say is in tests/attack/test_key_sets.py.
BAD_ANSWERS = [
    pytest.param(b"{}", id="no keys"),
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
