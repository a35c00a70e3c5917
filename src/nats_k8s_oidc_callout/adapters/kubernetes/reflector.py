"""List and watch of one kind, in one namespace or in all, into an index: the loop that must never lose a delete nor run hot."""

import asyncio
import random
import time
from collections.abc import Callable, Mapping
from contextlib import aclosing
from typing import NoReturn

import structlog

from nats_k8s_oidc_callout.adapters.kubernetes.api import OBJECT_BYTES_MAX, ApiServer
from nats_k8s_oidc_callout.adapters.kubernetes.failure import Failed, from_error, from_status
from nats_k8s_oidc_callout.adapters.kubernetes.lines import split_lines
from nats_k8s_oidc_callout.adapters.kubernetes.pace import Pace
from nats_k8s_oidc_callout.adapters.kubernetes.pages import pages
from nats_k8s_oidc_callout.adapters.kubernetes.paths import collection
from nats_k8s_oidc_callout.adapters.kubernetes.trouble import Trouble
from nats_k8s_oidc_callout.bounded.bodies import read_body
from nats_k8s_oidc_callout.core.kubernetes.relist import Index
from nats_k8s_oidc_callout.core.kubernetes.versions import is_older
from nats_k8s_oidc_callout.core.kubernetes.wire import EventKind

log = structlog.get_logger("informer")

RELEASE_SECONDS = 60.0
"""Longest time between lists that bring back annotations which count again."""
AGAIN_SECONDS = 5.0
"""Least time from the beginning of a list to that of one that somebody asked for."""
YIELD_EVENTS = 100
VERSION_LOGGED = 24
"""Characters of a version in a log line. One of 64 bits has 20 at most, but a version may have any length."""


class Reflector:
    """Keeps the index's part for one namespace (None: all) equal to the cluster's, for ever, through any outage.

    Callbacks: `on_restart(reason)` for each watch or list that failed (failure.py has the words; `ended` for a watch
    that ended as it should), `on_synced()` after the first whole list.
    """

    def __init__(
        self,
        api: ApiServer,
        index: Index,
        namespace: str | None = None,
        *,
        on_restart: Callable[[str], None],
        on_synced: Callable[[], None],
        pace: Pace | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """`chance` gives a number from 0 to 1 for jitter."""
        self._api = api
        self._index = index
        self._namespace = namespace
        self._pace = pace or Pace()
        self._monotonic = monotonic
        self._chance = chance
        self._on_restart = on_restart
        self._on_synced = on_synced
        self._resource = index.kind.resource
        self._path, self._params = collection(index.kind, namespace)
        self._version = ""
        """Where the next watch goes on, opaque; empty when only a list can tell."""
        self._why_list = "start"
        """For the log: `start`, `annotations`, `asked`, `hourly`, `incomparable`, or the failure behind it."""
        self._verb = "list"
        """What was asked last."""
        self._listed_at = 0.0
        self._whole_due = 0.0
        self._failures = 0
        self._trouble = Trouble(self._resource, namespace, monotonic)
        self.synced = False
        """True once a first whole list is in, and from then on."""
        self.last_contact: float | None = None
        """Monotonic time of the server's last word."""
        self.listed_at = 0.0
        """When the last whole list began (Unix seconds); 0 before the first."""
        self._listed_from = -AGAIN_SECONDS
        self._watches = False
        self._asked = False
        self._patience: asyncio.Timeout | None = None

    @property
    def in_sync(self) -> bool:
        """Say whether the index is what the cluster says now: a watch is on, and its last word is not too old."""
        heard = self.last_contact
        return self._watches and heard is not None and self._monotonic() - heard < 2 * self._pace.silence

    def list_again(self) -> None:
        """Have a whole list begin: at once, or 5 s after the last one began."""
        self._asked = True
        if self._patience is not None and not self._patience.expired():
            self._patience.reschedule(asyncio.get_running_loop().time() + self._until_asked())

    def _until_asked(self) -> float:
        """Return in how many seconds the list that was asked for may begin."""
        return max(0.0, self._listed_from + AGAIN_SECONDS - self._monotonic())

    async def run(self) -> None:
        """Follow the cluster until cancelled."""
        while True:
            seconds = await self.step()
            await asyncio.sleep(seconds)

    async def step(self) -> float:
        """List when needed, watch once, and return how many seconds to wait before the next step."""
        began = self._monotonic()
        try:
            await self.list_and_watch_once()
        except Exception as error:
            # Supervision boundary: whatever it was, the next list repairs it. Cancellation is no Exception.
            failed = from_error(error, self._verb)
            if failed.is_bug:
                log.exception("informer failed with an internal error", resource=self._resource)
            if self._monotonic() - began >= self._pace.healthy:
                self._failures = 0
            return self._back_off(failed)
        self._failures = 0
        self._on_restart("ended")
        return 0.0

    async def list_and_watch_once(self) -> None:
        """List unless the last version still stands, then follow one watch to its regular end.

        Raises Failed, Unreachable, or what the connection raises.
        """
        if self._must_bring_back():
            self._need_list("annotations")
        if self._asked and not self._until_asked():
            self._need_list("asked")
        if self._version:
            await self._look_back()
        if not self._version:
            await self._list()
        await self._watch()

    async def _look_back(self) -> None:
        """Forget our version when only a whole list can tell the truth. Raises Failed when the history went back.

        To watch on from a version that the server never issued is no error there (kube-apiserver 1.37): it keeps
        silent about every change until its own versions are beyond ours. So after etcd was restored from an older
        copy we would let in whom the cluster no longer knows.
        """
        if self._monotonic() >= self._whole_due:
            # The restored cluster may have overtaken our version before we could look.
            self._need_list("hourly")
            return
        # No contact: where looks succeed and watches do not the age must grow, for the alert on it.
        theirs = self._index.kind.read_version(await self._page({"limit": "1"}, OBJECT_BYTES_MAX))
        older = is_older(theirs, self._version)
        if older:
            self._went_back(theirs)
        if older is None and self._monotonic() - self._listed_at >= self._pace.incomparable:
            self._need_list("incomparable")

    def _went_back(self, theirs: str) -> NoReturn:
        raise Failed(
            "history_went_back",
            f"the cluster shows version {theirs[:VERSION_LOGGED]} after {self._version[:VERSION_LOGGED]}: "
            "was its etcd restored from a copy?",
            must_list=True,
        )

    def _need_list(self, why: str) -> None:
        self._version, self._why_list = "", why

    async def _list(self) -> None:
        began, began_at = self._monotonic(), time.time()
        self._listed_from, self._asked = began, False
        # No resourceVersion: the newest state. With "0" the server ignores the limit and sends everything at once.
        relist = self._index.begin(self._namespace)
        version = ""
        async with aclosing(pages(self._page, relist.steps)) as listed:
            async for page, steps in listed:
                self.last_contact = self._monotonic()
                version = page.resource_version
                for _ in steps:
                    await asyncio.sleep(0)
        gone = relist.commit()
        self._listed_at, self.listed_at = self._monotonic(), began_at
        self._version = version
        # From the beginning: what happened since may be of another history already.
        pace = self._pace
        self._whole_due = began + pace.whole_least + (pace.whole_most - pace.whole_least) * self._chance()
        seconds = round(self._monotonic() - began, 3)
        log.info(
            "informer listed", reason=self._why_list, objects=len(self._index), gone=gone, seconds=seconds,
            resource=self._resource, namespace=self._namespace or "",
        )  # fmt: skip
        if not self.synced:
            self.synced = True
            self._on_synced()

    def _must_bring_back(self) -> bool:
        """Say whether annotations that count again are to be listed now: not at each change, which tenants make."""
        return self._index.wants_list(self._namespace) and self._monotonic() - self._listed_at >= RELEASE_SECONDS

    async def _page(self, params: Mapping[str, str], bytes_max: int) -> bytes:
        self._verb = "list"
        seconds = self._pace.page
        async with self._api.get(
            self._path, {**self._params, **params}, total_seconds=seconds, silence_seconds=seconds
        ) as response:
            if response.status != 200:
                raise from_status(response, "list", self._resource)
            return await read_body(response, bytes_max)

    async def _watch(self) -> None:
        self._verb = "watch"
        pace = self._pace
        lasts = pace.watch_least + (pace.watch_most - pace.watch_least) * self._chance()
        params = {
            **self._params,
            "watch": "1",
            "resourceVersion": self._version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(max(1, round(lasts))),
        }
        began, version, news = self._monotonic(), self._version, 0
        # The server ends the watch itself; only one that forgot to is cut off.
        async with self._api.get(
            self._path, params, total_seconds=lasts + 30.0, silence_seconds=pace.silence
        ) as response:
            if response.status != 200:
                raise from_status(response, "watch", self._resource)
            self.last_contact = self._monotonic()
            # A last line without its end is dropped: the next watch begins before it.
            self._watches = True
            patience = asyncio.timeout(self._until_asked() if self._asked else None)
            try:
                async with patience as self._patience, aclosing(split_lines(response.content.iter_any())) as lines:
                    async for line in lines:
                        news += self._hear(line)
                        if self._must_bring_back():
                            return
                        if news % YIELD_EVENTS == 0:
                            await asyncio.sleep(0)
            except TimeoutError:
                if patience.expired():
                    return
                raise Failed("silence", "no byte of the watch in time") from None
            finally:
                self._watches, self._patience = False, None
        seconds = self._monotonic() - began
        # client-go calls it VeryShortWatchError. A bookmark is no news: it moves on whatever happens.
        if seconds < pace.short and (not news or version == self._version):
            raise Failed("short", "the server ended the watch at once")
        log.debug("informer watch ended", seconds=round(seconds, 3), events=news)

    def _hear(self, line: bytes) -> int:
        """Take in one line and return how many changes it told."""
        event = self._index.apply(line)
        self.last_contact = self._monotonic()
        if event.kind is EventKind.ERROR:
            if event.is_gone:
                raise Failed("gone", "the server forgot the version that we know", must_list=True)
            raise Failed("server_error", f"the watch told of an error {event.code}")
        if is_older(event.resource_version, self._version):
            # A watch only ever goes on: another history came into this connection.
            self._went_back(event.resource_version)
        self._version = event.resource_version
        self._trouble.over()
        return int(event.kind is not EventKind.BOOKMARK)

    def _back_off(self, failed: Failed) -> float:
        if self._version and failed.must_list:
            self._need_list(failed.reason)
        self._on_restart(failed.reason)
        most = self._pace.backoff_most
        longest = min(most, self._pace.backoff_first * 2.0 ** min(self._failures, 16))
        self._failures += 1
        delay = max(longest * (0.5 + self._chance() / 2), min(failed.after_seconds, most))
        self._trouble.tell(failed, self._verb, delay)
        return delay
