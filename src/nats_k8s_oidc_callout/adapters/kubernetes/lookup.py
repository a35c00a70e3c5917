"""One live look at the cluster for a ServiceAccount that the index lacks, since a watch may lag."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import quote
from weakref import WeakValueDictionary

import aiohttp

from nats_k8s_oidc_callout.adapters.kubernetes.api import OBJECT_BYTES_MAX, ApiServer
from nats_k8s_oidc_callout.bounded.bodies import read_body
from nats_k8s_oidc_callout.core.grants.entries import weight_of
from nats_k8s_oidc_callout.core.kubernetes.serviceaccounts import ServiceAccount
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


_Key = tuple[str, str, str]
"""Namespace, name, and the uid that the asking token names."""


class _Kept(NamedTuple):
    until: float
    answer: ServiceAccount | None

    @property
    def weight(self) -> int:
        return _HEADS_BYTES + (0 if self.answer is None else weight_of(self.answer.annotations))


class LiveLookup:
    """GETs of single ServiceAccounts: one a name and uid at a time, few at once, answers kept for a moment.

    The permission it needs is `get` on serviceaccounts.
    """

    def __init__(
        self,
        api: ApiServer,
        read: Callable[[bytes], ServiceAccount | None],
        monotonic: Callable[[], float],
        *,
        flight_seconds: float = FLIGHT_SECONDS,
    ) -> None:
        """`read` turns a GET's body into an entry, None while it is being deleted, or raises Unreachable."""
        self._api = api
        self._read = read
        self._monotonic = monotonic
        self._flight_seconds = flight_seconds
        self._slots = asyncio.Semaphore(AT_ONCE)
        # Each as long as a flight of its namespace is under way.
        self._namespaces: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()
        self._flights: dict[_Key, asyncio.Task[ServiceAccount | Unreachable | None]] = {}
        self._large = asyncio.Semaphore(1)
        # In the order of expiry, since every answer is kept equally long.
        self._kept: OrderedDict[_Key, _Kept] = OrderedDict()
        self._kept_bytes = 0
        self._sweeper: asyncio.TimerHandle | None = None

    async def look_up(
        self, namespace: str, name: str, budget_seconds: float, *, uid: str = ""
    ) -> ServiceAccount | None:
        """Return the ServiceAccount as the server has it (or had it 2 s ago), None when there is none.

        `uid` is the one that the asking token names: an answer is kept for askers of that uid only. Else a pod that
        goes on trying with the token of a deleted ServiceAccount would hide, for 2 s at a time, its successor.
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

    def _start(self, key: _Key) -> asyncio.Task[ServiceAccount | Unreachable | None]:
        if len(self._flights) >= WAITING_MAX:
            raise Unreachable("too many live looks are under way")
        flight = asyncio.create_task(self._fly(key), name="live serviceaccount lookup")
        self._flights[key] = flight
        flight.add_done_callback(lambda _: self._flights.pop(key, None))
        return flight

    async def _fly(self, key: _Key) -> ServiceAccount | Unreachable | None:
        """Give the failure as a value: nobody may be left to hear it raised."""
        namespace = self._namespaces.setdefault(key[0], asyncio.Semaphore(NAMESPACE_AT_ONCE))
        try:
            async with asyncio.timeout(self._flight_seconds), namespace, self._slots:
                answer = await self._ask(*key[:2])
        except Unreachable as error:
            return error
        except (aiohttp.ClientError, OSError) as error:
            # TimeoutError is an OSError.
            return Unreachable(f"the API server did not answer ({type(error).__name__})")
        uid = key[2]
        if answer is not None and uid and answer.uid and answer.uid != uid:
            # The asker is refused for its uid alone; hundreds of old tokens would have us hold the annotations for each.
            answer = ServiceAccount(answer.uid, None)
        self._keep(key, answer)
        return answer

    async def _ask(self, namespace: str, name: str) -> ServiceAccount | None:
        path = f"/api/v1/namespaces/{quote(namespace, safe='')}/serviceaccounts/{quote(name, safe='')}"
        limit = self._flight_seconds
        async with self._api.get(path, {}, total_seconds=limit, silence_seconds=limit) as response:
            if response.status == 404:
                return None
            if response.status == 403:
                raise Unreachable("this identity may not get serviceaccounts (403): check its Role and binding")
            if response.status != 200:
                raise Unreachable(f"the API server answered {response.status}")
            # What is large waits for its turn, and its connection with it.
            body = await read_body(response, OBJECT_BYTES_MAX, large_over=LARGE_BYTES, large_slot=self._large)
            return self._read(body)

    def _keep(self, key: _Key, answer: ServiceAccount | None) -> None:
        self._forget(key)
        kept = self._kept[key] = _Kept(self._monotonic() + KEPT_SECONDS, answer)
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
