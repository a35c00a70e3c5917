"""The story itself: what each client tries, what must happen, and what did."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

import nats
import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from nats_k8s_oidc_callout.client import connect as reconnecting
from nats_k8s_oidc_callout.demo.issuer import Issuer
from nats_k8s_oidc_callout.demo.world import World

_WAIT_SECONDS = 2.0
_SHORT_SECONDS = 3
# Minting and noticing take their time too, most of all on a busy machine.
_SLACK_SECONDS = 0.9
# A changed manifest is noticed within 2 s.
_CHANGE_SECONDS = 8.0
_PUBLISH = "nats.io/allowed-pub-subjects"

DELIVERED = "delivered"
NO_PERMISSION = "no permission"


@dataclass(frozen=True, slots=True)
class Outcome:
    """One row of the table."""

    tried: str
    expected: str
    seen: str
    seconds: float

    @property
    def as_expected(self) -> bool:
        return self.expected == self.seen


@dataclass(frozen=True, slots=True)
class _Step:
    tried: str
    expected: str
    do: Callable[[], Awaitable[str]]


async def _settle(client: Client) -> None:
    """Return once the server has seen all that the client has sent.

    nats-py's PING overtakes what still waits to be written; the second one finds nothing left to overtake.
    """
    await client.flush()
    await client.flush()


class Story:
    """Real clients with real tokens against the world's server."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._token = world.issuer.token
        self._problems: dict[str, list[str]] = {}
        self._forger = Issuer()

    def prepare(self) -> None:
        """Create the ServiceAccounts of the story."""
        self._world.write_account("shop", "web", "uid-web", {_PUBLISH: "audit.shop.>,payroll.>"})
        self._world.write_account("shop", "worker", "uid-worker", {"nats.io/allowed-sub-subjects": "audit.>,billing.>"})
        self._world.write_account("shop", "batch", "uid-batch")
        self._world.write_account("shop", "temp", "uid-temp")
        self._world.write_account("acme", "app", "uid-app")

    def steps(self) -> list[_Step]:
        """Return the story in order. Refusals are told by the reason that the responder counted."""
        return [
            _Step("publish in its own namespace", DELIVERED, lambda: self._publish("shop.orders.new")),
            _Step("request, answered by another pod", "answer", self._request),
            _Step("publish what an annotation allows", DELIVERED, lambda: self._publish("audit.shop.login")),
            _Step("publish what it allows beyond its ceiling", NO_PERMISSION, lambda: self._publish("payroll.run")),
            _Step("publish anywhere else", NO_PERMISSION, lambda: self._publish("billing.invoices")),
            _Step("the same, by answering itself", NO_PERMISSION, self._answer_itself),
            _Step("read another pod's private inbox", NO_PERMISSION, self._read_other_inbox),
            _Step("who the server says it is", "system:serviceaccount:shop:web in APP", self._identity),
            _Step(
                "one whose rule names another account",
                "system:serviceaccount:acme:app in PARTNERS",
                self._placed,
            ),
            _Step("no token", "refused: no_token", lambda: self._refused("")),
            _Step("an expired token", "refused: expired", lambda: self._refused(self._web(seconds=-1))),
            _Step("a token for another audience", "refused: wrong_audience", lambda: self._refused(self._web("vault"))),
            _Step("a forged token", "refused: bad_signature", lambda: self._refused(self._forged())),
            _Step(
                "a ServiceAccount that does not exist",
                "refused: unknown_service_account",
                lambda: self._refused(self._token("shop", "ghost", "uid-ghost")),
            ),
            _Step("a session outliving its token", "ended with the token", self._outlive),
            _Step("a session ended by hand, with a newer token", "back, and lasts longer", self._come_back),
            _Step("a session of a deleted ServiceAccount", "ended, and not let in again", self._after_deletion),
            _Step("publish after an annotation was added", DELIVERED, self._after_annotation),
            _Step("a token of a ServiceAccount made again", "refused: uid_mismatch", self._after_recreation),
        ]

    async def tell(self, told: Callable[[Outcome], None]) -> list[Outcome]:
        """Do every step, each after the last, and report each as it is done."""
        outcomes = []
        for step in self.steps():
            began = time.monotonic()
            try:
                seen = await step.do()
            except (nats.errors.Error, OSError, TimeoutError) as error:
                seen = f"{type(error).__name__}: {error}"
            outcomes.append(Outcome(step.tried, step.expected, seen, time.monotonic() - began))
            told(outcomes[-1])
        return outcomes

    def _web(self, audience: str = "nats", seconds: int = 600) -> str:
        return self._token("shop", "web", "uid-web", audience=audience, seconds=seconds)

    def _forged(self) -> str:
        """Return a token that names the issuer's key and is signed by another."""
        return self._forger.token("shop", "web", "uid-web", kid=self._world.issuer.kid)

    @asynccontextmanager
    async def _client(self, token: str, name: str, inbox: str = "_INBOX") -> AsyncIterator[Client]:
        """Give a connected stock client with nothing but a token."""
        problems = self._problems[name] = []

        async def complain(error: Exception) -> None:
            problems.append(str(error).lower())

        client = await nats.connect(
            self._world.url,
            token=token or None,
            name=name,
            inbox_prefix=inbox,
            allow_reconnect=False,
            connect_timeout=3,
            error_cb=complain,
        )
        try:
            yield client
        finally:
            await client.close()

    def _web_client(self, name: str = "web", inbox: str = "_INBOX") -> AbstractAsyncContextManager[Client]:
        return self._client(self._web(), name, inbox)

    def _worker_client(self) -> AbstractAsyncContextManager[Client]:
        return self._client(self._token("shop", "worker", "uid-worker"), "worker")

    async def _first_of(self, name: str, arrived: Callable[[], bool] = lambda: False) -> str:
        """Return what came first for this client: the message, or the server's complaint."""

        def refused() -> bool:
            return any("permissions violation" in problem for problem in self._problems[name])

        if not await self._first(lambda: arrived() or refused()):
            return "nothing"
        return DELIVERED if arrived() else NO_PERMISSION

    async def _first(self, happened: Callable[[], bool]) -> bool:
        """Say whether it happens while we wait."""
        deadline = time.monotonic() + _WAIT_SECONDS
        while not happened() and time.monotonic() < deadline:
            await asyncio.sleep(0.002)
        return happened()

    async def _publish(self, subject: str) -> str:
        """Publish as shop/web, and say whether shop/worker got it."""
        async with self._worker_client() as worker, self._web_client() as web:
            heard = await worker.subscribe(subject)
            await _settle(worker)
            await web.publish(subject, b"hello")
            await _settle(web)
            return await self._first_of("web", lambda: heard.pending_msgs > 0)

    async def _request(self) -> str:
        async def answer(message: Msg) -> None:
            await message.respond(b"answer")

        async with self._worker_client() as worker, self._web_client(inbox="_INBOX_SA.shop.web") as web:
            await worker.subscribe("shop.echo", cb=answer)
            await _settle(worker)
            return (await web.request("shop.echo", b"", timeout=_WAIT_SECONDS)).data.decode()

    async def _answer_itself(self) -> str:
        """Ask oneself for an answer on a subject that is not granted, and give it: the reply permission would let that by."""
        async with self._web_client() as web:
            heard = await web.subscribe("shop.mirror")
            await web.publish("shop.mirror", b"", reply="billing.invoices")
            await (await heard.next_msg(_WAIT_SECONDS)).respond(b"forged")
            await _settle(web)
            return await self._first_of("web")

    async def _read_other_inbox(self) -> str:
        async with self._web_client() as web:
            await web.subscribe("_INBOX_SA.shop.worker.>")
            await _settle(web)
            return await self._first_of("web")

    async def _identity(self) -> str:
        async with self._web_client("who-am-i"):
            user, account = await self._world.identity_of("who-am-i")
            return f"{user} in {account}"

    async def _placed(self) -> str:
        async with self._client(self._token("acme", "app", "uid-app"), "partner"):
            user, account = await self._world.identity_of("partner")
            return f"{user} in {account}"

    async def _refused(self, token: str) -> str:
        """Try to connect; return the reason that the responder counted for the refusal."""
        before = self._world.denials()
        try:
            async with self._client(token, "stranger"):
                return "let in"
        except nats.errors.Error:
            after = self._world.denials()
            reasons = [reason for reason, count in after.items() if count > before.get(reason, 0)]
            return f"refused: {' '.join(reasons) or 'no reason counted'}"

    async def _outlive(self) -> str:
        token_ends = int(time.time()) + _SHORT_SECONDS
        async with self._client(self._web(seconds=_SHORT_SECONDS), "short") as client:
            while not client.is_closed and time.time() < token_ends + 2:
                await asyncio.sleep(0.02)
            late = time.time() - token_ends
        return "ended with the token" if late < _SLACK_SECONDS else "outlived its token"

    async def _come_back(self) -> str:
        """Be ended by hand, as each session is by itself shortly before its time is up: that would take too long to watch."""
        heard: list[bytes] = []

        async def hear(message: Msg) -> None:
            heard.append(message.data)

        who = "shop", "worker"
        file = self._world.write_token(*who, "uid-worker", seconds=300)
        async with reconnecting(self._world.url, namespace="shop", service_account="worker", token_file=file) as client:
            await client.subscribe("shop.news", cb=hear)
            before = await self._world.sessions_of(*who)
            self._world.write_token(*who, "uid-worker", seconds=600)
            await self._world.kick(*who)
            deadline = time.monotonic() + _WAIT_SECONDS
            while not (after := await self._world.sessions_of(*who)) and time.monotonic() < deadline:
                pass
            await client.publish("shop.news", b"hello", timeout=_WAIT_SECONDS)
            came = await self._first(lambda: bool(heard))
        if not came:
            return "its subscription is gone"
        later = before and after and after[0].label.expires > before[0].label.expires
        return "back, and lasts longer" if later else "no later end"

    async def _after_deletion(self) -> str:
        async with self._client(self._token("shop", "temp", "uid-temp"), "temp") as client:
            self._world.delete_account("shop", "temp")
            deadline = time.monotonic() + _CHANGE_SECONDS
            while not client.is_closed and time.monotonic() < deadline:
                await asyncio.sleep(0.02)
            if not client.is_closed:
                return "still there"
        again = await self._refused(self._token("shop", "temp", "uid-temp"))
        return "ended, and not let in again" if again == "refused: unknown_service_account" else again

    async def _after_annotation(self) -> str:
        self._world.write_account("shop", "web", "uid-web", {_PUBLISH: "audit.shop.>,billing.invoices"})
        return await self._retry(lambda: self._publish("billing.invoices"), DELIVERED)

    async def _after_recreation(self) -> str:
        old = self._token("shop", "batch", "uid-batch")
        self._world.write_account("shop", "batch", "uid-batch-again")
        return await self._retry(lambda: self._refused(old), "refused: uid_mismatch")

    async def _retry(self, attempt: Callable[[], Awaitable[str]], wanted: str) -> str:
        """Try until it goes as wanted, or a change must have been noticed long ago."""
        deadline = time.monotonic() + _CHANGE_SECONDS
        while True:
            try:
                seen = await attempt()
            except (nats.errors.Error, OSError) as error:
                # With the change may come the end of a session that began just before it.
                seen = f"{type(error).__name__}: {error}"
            if seen == wanted or time.monotonic() >= deadline:
                return seen
            await asyncio.sleep(0.2)
