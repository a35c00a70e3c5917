"""Five client libraries with their defaults: what they hear while their sessions end, and for how long they hear nothing.

    python -m tests.clients.stock_world renewals [10]         sessions of a minute, through so many renewals
    python -m tests.clients.stock_world kick|expiry           once each, without session control
    python -m tests.clients.stock_world kick-refused|expiry-refused   and each login is refused for 14 s
    python -m tests.clients.stock_world held|stale|apart      renewals are due, and logins do not work: the self-test fails;
                                                              the keys are too old; the responder's node is cut off

A library more at the end (`… kick go`) leaves out the others.
"""

import asyncio
import contextlib
import itertools
import json
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

from nats.aio.client import Client
from nats.js.api import AckPolicy, ConsumerConfig, StreamConfig

from tests.clients import builds
from tests.clients.stock_heard import Heard
from tests.clients.workloads import NAMESPACE, TokenFolder, Workload
from tests.clients.world import stranger
from tests.e2e.clients import ask
from tests.e2e.session_plans import islands, one_node, stale_keys
from tests.e2e.worlds import BINARIES, World, world_of
from tests.fakes.nats_world import free_port
from tests.fakes.stalls import awake
from tests.fakes.tcp_proxy import tcp_proxy

CROWD, CONNECTIONS = "crowd", 20
PAUSE_SECONDS = 0.05
"""Between two messages."""
ON = {"SESSION_CONTROL": "on", "SESSION_RELEASE": "ours", "SESSION_SUBJECTS": "nko"}
REFUSED_SECONDS = 14.0
# The last renewal of a session of a minute, and then jnats' pull may wait 88 s for its heartbeat alarm (docs/CLIENT_USAGE.md).
LAST_SECONDS = 160.0


def commands(languages: Sequence[str]) -> dict[str, list[str]]:
    """Return what starts each; raise NoToolchain for one that cannot be built here."""
    found = {language: builds.command(language, folder=builds.STOCK) for language in languages}
    return found | ({CROWD: found["python"]} if "python" in found else {})


class Stock:
    """A world with the clients in it, each a ServiceAccount of its own; `crowd` is twenty unnamed connections of one."""

    def __init__(self, world: World, observer: Client, system: Client, clients: Sequence[Workload]) -> None:
        self.world, self.clients = world, clients
        self._observer, self._system = observer, system
        self.sent = 0
        self.lost: dict[str, int] = {}
        """How many numbers of the stream each never got, at the end."""
        self.pending = 0.0
        """How many renewals waited, or found no server, while logins did not work."""
        self.during: Sequence[Heard] = ()
        """What was heard until logins worked again."""
        self.kicked = 0.0
        """How many sessions were ended for a renewal in all."""

    def renewed(self, result: str = "done") -> float:
        """Return how many kicks for a renewal ended so."""
        name = f'nats_auth_session_kicks_total{{reason="renewal",result="{result}"}}'
        return self.world.responder.metrics().get(name, 0.0)

    def heard(self) -> list[Heard]:
        return [Heard.of(client) for client in self.clients]

    @asynccontextmanager
    async def publishing(self) -> AsyncIterator[None]:
        """Count aloud until the block ends, or `hear_all`."""
        self._publishing = asyncio.create_task(self._publish(), name="publisher")
        try:
            yield
        finally:
            self._publishing.cancel()
            await asyncio.gather(self._publishing, return_exceptions=True)

    async def _publish(self) -> None:
        stream = self._observer.jetstream()
        for number in itertools.count(1):
            await self._observer.publish("shop.core", b"%d" % number)
            if number % 2:
                await stream.publish("shop.js", b"%d" % number)
                self.sent = number
            await asyncio.sleep(PAUSE_SECONDS)

    def wanted(self) -> set[int]:
        """Return the numbers that are in the stream."""
        return set(range(1, self.sent + 1, 2))

    async def kick_all(self) -> None:
        """End every session as an administrator does."""
        server = str(self.world.server.monitor("varz")["server_id"])
        for shown in self.world.server.connz():
            if f":{NAMESPACE}:" in shown.get("authorized_user", ""):
                body = json.dumps({"cid": shown["cid"]}).encode()
                await self._system.request(f"$SYS.REQ.SERVER.{server}.KICK", body, timeout=5)

    def allow(self, *, yes: bool = True) -> None:
        """Let the clients log in from now on, or not."""
        for client in self.clients:
            file = self.world.accounts.folder / f"{NAMESPACE}.{client.name}.yaml"
            if yes:
                write(self.world, client.name)
            else:
                file.unlink()

    async def hear_all(self, seconds: float) -> None:
        """Wait so long for what is on its way in the stream, and note what is lost."""
        self._publishing.cancel()
        deadline = time.monotonic() + seconds
        while True:
            heard = [one for one in self.heard() if one.name != CROWD]
            self.lost = {one.name: len(self.wanted() - set(one.numbers("js"))) for one in heard}
            if not any(self.lost.values()) or time.monotonic() > deadline:
                return
            await asyncio.sleep(0.5)


def write(world: World, name: str) -> None:
    """Create the ServiceAccount of a client, which may read the stream. (jnats looks at all of it before it pulls.)"""
    intents = f"consume:STOCK/of-{name},consume:STOCK/push-{name},stream-info:STOCK"
    world.accounts.write(NAMESPACE, name, {"nats.io/jetstream": intents}, uid="uid")


@asynccontextmanager
async def stock(
    world: World, programs: dict[str, list[str]], before: str = "", **variables: str
) -> AsyncIterator[Stock]:
    """Start a responder and the programs, and publish until the block ends; `before` as of a ResponderProcess."""
    awake()
    observer, system = await stranger(world, "platform"), await stranger(world, "system")
    stream = observer.jetstream()
    await stream.add_stream(StreamConfig(name="STOCK", subjects=["shop.js"]))
    with contextlib.ExitStack() as stack:
        clients = []
        for name, command in programs.items():
            write(world, name)
            # What was on its way at a kick comes again after 2 s.
            pull = ConsumerConfig(durable_name=f"of-{name}", ack_policy=AckPolicy.EXPLICIT, ack_wait=2)
            pushed = replace(pull, durable_name=f"push-{name}", deliver_subject=f"_INBOX.push-{name}")
            for config in (pull, pushed):
                await stream.add_consumer("STOCK", config)
            tokens = TokenFolder(world.folder / "tokens" / name)
            tokens.write(world.token(NAMESPACE, name, uid="uid"))
            more = {"CONNECTIONS": str(CONNECTIONS)} if name == CROWD else {}
            clients.append(Workload(name, command, world.client_url, tokens, more))
        await asyncio.to_thread(lambda: world.start_responder(exactly=world.environment() | variables, before=before))
        for client in clients:
            stack.enter_context(client)
        one = Stock(world, observer, system, clients)
        try:
            async with one.publishing():
                await connected(one)
                yield one
        finally:
            await observer.close()
            await system.close()


async def connected(one: Stock) -> None:
    """Return once all connections are there, and each program has got something by its pull."""
    deadline = time.monotonic() + 30
    wanted = {client.name: CONNECTIONS if client.name == CROWD else 1 for client in one.clients}
    while True:
        heard = one.heard()
        reads = all(each.numbers("js") for each in heard if each.name != CROWD)
        if reads and {each.name: each.connections for each in heard} == wanted:
            return
        assert time.monotonic() < deadline, [client.log()[-500:] for client in one.clients]
        await asyncio.sleep(0.2)


async def renewals(
    world: World, programs: dict[str, list[str]], count: int, session_seconds: int, last: float, *, longer: bool = False
) -> Stock:
    """Let every connection be renewed so many times, and give the stream `last` seconds more; return what was heard.

    `longer`: sessions last for an hour after that.
    """
    async with stock(world, programs, SESSION_MAX_SECONDS=str(session_seconds), **ON) as one:
        deadline = time.monotonic() + (count + 1) * session_seconds
        while any(heard.fewest_reconnects < count for heard in one.heard()) and time.monotonic() < deadline:
            await asyncio.sleep(1)
        await asyncio.sleep(3)
        if longer:
            await asyncio.to_thread(world.responder.stop)
            lasting = world.environment() | ON | {"SESSION_MAX_SECONDS": "3600"}
            await asyncio.to_thread(lambda: world.start_responder(exactly=lasting))
        await one.hear_all(last)
    return one


async def ended(world: World, programs: dict[str, list[str]], how: str) -> Stock:
    """End every session once (`kick`, `expiry`, and `…-refused`), without session control."""
    kicked, refused = how.startswith("kick"), how.endswith("-refused")
    variables = {} if kicked else {"SESSION_MAX_SECONDS": "20"}
    async with stock(world, programs, **variables) as one:
        await asyncio.sleep(3)
        if refused:
            one.allow(yes=False)
            await asyncio.sleep(3)
        if kicked:
            await one.kick_all()
        else:
            await asyncio.sleep(18)
        if refused:
            await asyncio.sleep(REFUSED_SECONDS)
            one.allow()
        await asyncio.sleep(12)
        await one.hear_all(1)
    return one


async def held(world: World, programs: dict[str, list[str]], session_seconds: int = 46) -> Stock:
    """Let renewals be due while the self-test says that logins do not work; stop before sessions end by themselves."""
    token = world.folder / "self-test.token"
    token.write_text(world.token("nobody", "nobody"))
    variables = {"SELF_TEST_TOKEN_FILE": str(token), "SESSION_MAX_SECONDS": str(session_seconds), **ON}
    async with stock(world, programs, **variables) as one:
        # A session is up to a tenth shorter.
        await asyncio.sleep(session_seconds * 0.9 - 5)
        one.pending = _pending(world)
        one.during = one.heard()
    return one


def _pending(world: World) -> float:
    return world.responder.metrics()['nats_auth_sessions_pending{reason="renewal"}']


# No setting says how long keys are good: a day.
_SHORT_KEYS = """
from functools import partial
from nats_k8s_oidc_callout.adapters import jwks
from nats_k8s_oidc_callout.app import sources
sources.KeySet = partial(sources.KeySet, staleness_seconds=8.0)
jwks.REFRESH_SECONDS = jwks.MIN_REFRESH_SECONDS = jwks.MAX_BACKOFF_SECONDS = jwks.MAX_BACKOFF_WITHOUT_KEYS_SECONDS = 1.0
"""


async def stale(world: World, programs: dict[str, list[str]], session_seconds: int = 46) -> Stock:
    """Take the key endpoint away until renewals are due, and bring it back before sessions end by themselves."""
    async with stock(world, programs, _SHORT_KEYS, SESSION_MAX_SECONDS=str(session_seconds), **ON) as one:
        ends = time.monotonic() + session_seconds * 0.9 - 5
        world.keys.down()
        while time.monotonic() < ends:
            await asyncio.sleep(0.2)
        assert not world.responder.ready
        one.pending, one.during = _pending(world), one.heard()
        world.keys.up()
        await _renewed(one, session_seconds)
    return one


async def apart(binary: str, programs: dict[str, list[str]], session_seconds: int = 46) -> Stock:
    """Cut the responder's node off from the clients' until renewals are due, and join them again."""
    ports = [free_port() for _ in range(3)]
    async with AsyncExitStack() as proxies:
        lines = [await proxies.enter_async_context(tcp_proxy(port)) for port in ports]
        # What waits for the nodes to find each other must not stop what lies between them.
        world_between = world_of(islands(ports, [line.port for line in lines]), binary)
        world = await asyncio.to_thread(world_between.__enter__)
        try:
            await asyncio.to_thread(_until_jetstream, world)
            async with stock(world, programs, SESSION_MAX_SECONDS=str(session_seconds), **ON) as one:
                await _listed(world, len(programs))
                for line in lines:
                    line.cut()
                assert not (await ask(world, **world.fields(world.token()))).let_in
                while _servers(world) > 2:
                    await asyncio.sleep(0.2)
                one.pending, one.during = one.renewed("no_server"), one.heard()
                for line in lines:
                    line.mend()
                await _renewed(one, session_seconds)
        finally:
            await asyncio.to_thread(world_between.__exit__, None, None, None)
    return one


def _servers(world: World, state: str = "known") -> float:
    return world.responder.metrics()[f'nats_auth_session_servers{{state="{state}"}}']


async def _listed(world: World, sessions: int) -> None:
    """Return once the responder has all of it for 5 s: then no list comes that would find servers gone before a kick does."""
    since = time.monotonic()
    deadline = since + 20
    while time.monotonic() < since + 5:
        known = world.responder.metrics()['nats_auth_sessions{account="APP"}']
        if (found := [_servers(world), _servers(world, "silent"), known]) != [3, 0, sessions]:
            since = time.monotonic()
        assert time.monotonic() < deadline, found
        await asyncio.sleep(0.2)


def _until_jetstream(world: World) -> None:
    deadline = time.monotonic() + 30
    while not world.server.monitor("jsz").get("meta_cluster", {}).get("leader"):
        assert time.monotonic() < deadline, "JetStream has no leader"
        time.sleep(0.1)


async def _renewed(one: Stock, seconds: float) -> None:
    """Return when each client has come back once, at the latest when all sessions have ended by themselves."""
    deadline = time.monotonic() + seconds
    while any(not heard.times("reconnected", 0) for heard in one.heard()) and time.monotonic() < deadline:
        await asyncio.sleep(0.2)
    # Whoever closes for good does so after a login that fails.
    await asyncio.sleep(3)
    one.kicked = one.renewed()


def told(one: Stock) -> str:
    """Return a line for each client."""
    rows = []
    for heard in one.heard():
        gaps = sorted(heard.gaps())
        first = min((line.at for line in heard.lines if line.what == "disconnected"), default=0.0)
        closed = f"closed {min(heard.closed) - first:.1f} s later" if heard.closed else "open"
        spread = f"{gaps[0]:.2f}..{gaps[-1]:.2f} s" if gaps else "none"
        rows.append(
            f"{heard.name:7} ended {heard.fewest_reconnects} times, silent {spread}; {closed}; "
            f"{one.lost.get(heard.name, '-')} of the stream lost"
        )
    return "\n".join(rows) + "\n"


async def _run(world: World, how: str, rest: Sequence[str]) -> str:
    count = int(rest[0]) if rest and rest[0].isdigit() else 10
    languages = [one for one in rest if not one.isdigit()] or list(builds.LANGUAGES)
    programs = commands(languages)
    if how == "apart":
        return told(await apart(str(BINARIES["2.15"]() or ""), programs))
    if how == "stale":
        return told(await stale(world, programs))
    if how == "renewals":
        one = await renewals(world, programs, count, 60, LAST_SECONDS, longer=True)
    elif how == "held":
        one = await held(world, programs)
    else:
        one = await ended(world, programs, how)
    return told(one)


def main() -> int:
    """Do as the arguments say and print what was heard."""
    how, *rest = sys.argv[1:]
    with world_of(stale_keys if how == "stale" else one_node, str(BINARIES["2.15"]() or "")) as world:
        sys.stdout.write(asyncio.run(_run(world, how, rest)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
