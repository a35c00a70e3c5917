"""One live look at the cluster for what the index lacks, since a watch may lag."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Generic, NamedTuple, Protocol, TypeVar
from weakref import WeakValueDictionary

import aiohttp

from nats_k8s_oidc_callout.adapters.kubernetes.api import OBJECT_BYTES_MAX, ApiServer
from nats_k8s_oidc_callout.adapters.kubernetes.paths import single
from nats_k8s_oidc_callout.bounded.bodies import read_body
from nats_k8s_oidc_callout.core.kubernetes.wire import Kind
from nats_k8s_oidc_callout.errors import Unreachable

AT_ONCE = 16
NAMESPACE_AT_ONCE = 4
"""Of these, so that nobody waits behind another namespace's hundreds, which may be large."""
WAITING_MAX = 1024
"""Flights under way or queued: a storm of unknown names must not pile up behind a dead API server."""
KEPT_SECONDS = 2.0
KEPT_BYTES_MAX = 4 << 20
"""A ServiceAccount that is not in the index yet can have annotations of 216 KiB, or four times that in memory."""
# What an answer takes beside its annotations: three names, tuples, its place in the table.
_HEADS_BYTES = 900
FLIGHT_SECONDS = 5.0
"""An answer later than this helps nobody; it only holds one of the slots."""
LARGE_BYTES = 512 * 1024
"""A body over this is read further only one at a time: sixteen of the largest would be 160 MiB."""


T = TypeVar("T")

_Key = tuple[str, str, str]
"""Namespace, name, and the uid that the asking token names."""


class Reader(Protocol[T]):
    """What reads the answers: the index of a kind, which stays as it is."""

    @property
    def kind(self) -> Kind[Any]: ...

    def read(self, body: bytes, uid: str, /) -> T | None:
        """Return what a GET answered to an asker of this uid, None when that is as good as gone; raise Unreachable."""

    def weigh(self, answer: T, /) -> int:
        """Return what such an answer takes in memory, in bytes."""


class _Kept(NamedTuple, Generic[T]):
    until: float
    answer: T | None
    weight: int


class LiveLookup(Generic[T]):
    """GETs of single objects of a kind: one a name and uid at a time, few at once, answers kept for a moment.

    The permission it needs is `get` on that kind.
    """

    def __init__(
        self,
        api: ApiServer,
        reader: Reader[T],
        monotonic: Callable[[], float],
        *,
        flight_seconds: float = FLIGHT_SECONDS,
        keeps: bool = True,
    ) -> None:
        """Without `keeps` each answer is newer than its question, so each question is a GET of its own."""
        self._api = api
        self._reader = reader
        self._kind = reader.kind
        self._monotonic = monotonic
        self._flight_seconds = flight_seconds
        self._keeps = keeps
        self._slots = asyncio.Semaphore(AT_ONCE)
        # Each as long as a flight of its namespace is under way.
        self._namespaces: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()
        # By what is asked, where that is asked once for all who wait.
        self._flights: dict[object, asyncio.Task[T | Unreachable | None]] = {}
        self._large = asyncio.Semaphore(1)
        # In the order of expiry, since every answer is kept equally long.
        self._kept: OrderedDict[_Key, _Kept[T]] = OrderedDict()
        self._kept_bytes = 0
        self._sweeper: asyncio.TimerHandle | None = None

    async def look_up(self, namespace: str, name: str, budget_seconds: float, *, uid: str = "") -> T | None:
        """Return what the server has (or had 2 s ago), None when there is none; a Namespace is asked without a `name`.

        `uid` is the one that the asking token names: an answer is kept for askers of that uid only. Else a pod that
        goes on trying with the token of a deleted ServiceAccount would hide, for 2 s at a time, its successor, or the
        labels of the namespace that was made again.
        Raises Unreachable when the server cannot tell, or not within `budget_seconds`.
        """
        key = (namespace, name, uid)
        kept = self._kept.get(key)
        if kept is not None and kept.until > self._monotonic():
            return kept.answer
        flight = self._flights.get(key) or self._start(key)
        # `wait` and not `await flight`: whoever gives up waiting must not take the answer from the others.
        await asyncio.wait({flight}, timeout=budget_seconds)
        if not flight.done() or flight.cancelled():
            raise Unreachable("the API server did not answer within the budget")
        answer = flight.result()
        if isinstance(answer, Unreachable):
            raise Unreachable(str(answer)) from answer
        return answer

    async def close(self) -> None:
        """End every flight; those who wait for one get Unreachable. What was kept is forgotten."""
        if self._sweeper is not None:
            self._sweeper.cancel()
        self._kept.clear()
        self._kept_bytes = 0
        flights = list(self._flights.values())
        for flight in flights:
            flight.cancel()
        await asyncio.gather(*flights, return_exceptions=True)

    def _start(self, key: _Key) -> asyncio.Task[T | Unreachable | None]:
        if len(self._flights) >= WAITING_MAX:
            raise Unreachable("too many live looks are under way")
        flight = asyncio.create_task(self._fly(key), name=f"live look at a {self._kind.name}")
        # Whoever gave up on an older GET and asks again would hear what was true when that one left.
        place = key if self._keeps else object()
        self._flights[place] = flight
        flight.add_done_callback(lambda _: self._flights.pop(place, None))
        return flight

    async def _fly(self, key: _Key) -> T | Unreachable | None:
        """Give the failure as a value: nobody may be left to hear it raised."""
        namespace = self._namespaces.setdefault(key[0], asyncio.Semaphore(NAMESPACE_AT_ONCE))
        try:
            async with asyncio.timeout(self._flight_seconds), namespace, self._slots:
                answer = await self._ask(*key)
        except Unreachable as error:
            return error
        except (aiohttp.ClientError, OSError) as error:
            # TimeoutError is an OSError.
            return Unreachable(f"the API server did not answer ({type(error).__name__})")
        if self._keeps:
            self._keep(key, answer)
        return answer

    async def _ask(self, namespace: str, name: str, uid: str) -> T | None:
        path = single(self._kind, namespace, name)
        # Without a resourceVersion the answer is the newest state, never one that the server has kept for a while.
        limit = self._flight_seconds
        async with self._api.get(path, {}, total_seconds=limit, silence_seconds=limit) as response:
            if response.status == 404:
                return None
            if response.status == 403:
                raise Unreachable(f"this identity may not get {self._kind.resource} (403): check its Role and binding")
            if response.status != 200:
                raise Unreachable(f"the API server answered {response.status}")
            # What is large waits for its turn, and its connection with it.
            body = await read_body(response, OBJECT_BYTES_MAX, large_over=LARGE_BYTES, large_slot=self._large)
            return self._reader.read(body, uid)

    def _keep(self, key: _Key, answer: T | None) -> None:
        self._forget(key)
        weight = _HEADS_BYTES + (0 if answer is None else self._reader.weigh(answer))
        kept = self._kept[key] = _Kept(self._monotonic() + KEPT_SECONDS, answer, weight)
        self._kept_bytes += kept.weight
        while self._kept_bytes > KEPT_BYTES_MAX:
            self._forget(next(iter(self._kept)))
        self._sweep_later()

    def _forget(self, key: _Key) -> None:
        kept = self._kept.pop(key, None)
        if kept is not None:
            self._kept_bytes -= kept.weight

    def _sweep_later(self) -> None:
        if self._sweeper is None and self._kept:
            self._sweeper = asyncio.get_running_loop().call_later(KEPT_SECONDS, self._sweep)

    def _sweep(self) -> None:
        """Forget what is over: also when nobody asks any more, nothing of a storm stays."""
        self._sweeper = None
        now = self._monotonic()
        while self._kept and self._kept[next(iter(self._kept))].until <= now:
            self._forget(next(iter(self._kept)))
        self._sweep_later()
