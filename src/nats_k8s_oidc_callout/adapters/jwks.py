"""Fetch an issuer's keys over HTTP, and keep a KeySet fresh. What a key set may hold is core.keyset's rule."""

import asyncio
import os
import random
import re
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import aiohttp
import structlog

from nats_k8s_oidc_callout.bounded.bodies import read_body
from nats_k8s_oidc_callout.bounded.trust import system_cas
from nats_k8s_oidc_callout.core.identity.keyset import MAX_BYTES, KeySet, ParsedKeys, parse_jwks
from nats_k8s_oidc_callout.core.identity.own_token import Trust
from nats_k8s_oidc_callout.errors import BadKeySet, Unreachable

log = structlog.get_logger("jwks")

Credentials = Callable[[], tuple[str | None, ssl.SSLContext | None]]
"""Our own token (None: no token) and the CA to trust (None: the system's), read again at each call."""

FETCH_SECONDS = 5.0
REFRESH_SECONDS = 3600.0
# A max-age of 0 is real (kube-apiserver counts down to its signer's next refresh) and must not become a hot loop.
MIN_REFRESH_SECONDS = 60.0
MAX_BACKOFF_SECONDS = 60.0
# Without keys nobody can log in: recovery then must not wait for a minute.
MAX_BACKOFF_WITHOUT_KEYS_SECONDS = 10.0
MAX_WAITERS = 64

_HEADERS = {
    "Accept": "application/jwk-set+json, application/json;q=0.9",
    # Whatever is packed can unpack to gigabytes; keys are small as they are.
    "Accept-Encoding": "identity",
}
_MAX_AGE = re.compile(r"(?:^|[\s,])max-age\s*=\s*\"?([0-9]{1,9})\"?\s*(?:,|$)", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Fetched:
    """A key endpoint's answer, and for how many seconds it says it holds (None: it does not say)."""

    body: bytes
    max_age: float | None = None


class JwksEndpoint:
    """One key endpoint. Our token is sent only where `trust` is CLUSTER, whatever `credentials` returns."""

    def __init__(
        self,
        url: str,
        trust: Trust,
        credentials: Credentials,
        timeout_seconds: float = FETCH_SECONDS,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self.url = url
        self._trust = trust
        self._credentials = credentials
        self._timeout_seconds = timeout_seconds
        self._max_bytes = max_bytes

    async def fetch(self) -> Fetched:
        """Return the body of a 200 of bounded size, within the time-out as a whole; raise Unreachable for all else."""
        try:
            async with asyncio.timeout(self._timeout_seconds):
                try:
                    return await self._get()
                except _Unauthorized:
                    # The kubelet may have rotated our token between our reading and its use.
                    return await self._get()
        except _Unauthorized:
            raise Unreachable("status 401: our own token is not accepted") from None
        except TimeoutError:
            raise Unreachable(f"no whole answer within {self._timeout_seconds:g} s") from None
        except aiohttp.ClientError as error:
            raise Unreachable(_explain(error)) from None

    async def _get(self) -> Fetched:
        try:
            token, trusted = self._credentials()
        except (OSError, ValueError) as error:
            # Only the kind and place: a message of ValueError may quote what was read.
            place = f" {error.filename}" if isinstance(error, OSError) and error.filename else ""
            raise Unreachable(f"cannot read our own credentials:{place} {type(error).__name__}") from None
        headers = dict(_HEADERS)
        if self._trust is Trust.CLUSTER and token:
            headers["Authorization"] = f"Bearer {token}"
        # A session for each fetch: one an hour, and a CA that changed on disk counts at once.
        async with (
            aiohttp.ClientSession(
                # A proxy would see the token's destination, and netrc would add a credential of somebody else.
                trust_env=self._trust is Trust.PUBLIC and self.url.lower().startswith("https:"),
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None),
            ) as session,
            session.get(self.url, headers=headers, allow_redirects=False, ssl=trusted or system_cas()) as answer,
        ):
            if answer.status == 401 and "Authorization" in headers:
                raise _Unauthorized
            if answer.status != 200:
                raise Unreachable(_explain_status(answer.status, self._trust))
            packing = answer.headers.get("Content-Encoding", "identity").strip().lower()
            if packing not in ("", "identity"):
                raise Unreachable("the answer is compressed although we asked for it plain")
            return Fetched(await read_body(answer, self._max_bytes), max_age(answer.headers.get("Cache-Control", "")))


class _Unauthorized(Exception):
    """A 401; never leaves `fetch`."""


def max_age(cache_control: str) -> float | None:
    """Return the max-age of a Cache-Control header in seconds (RFC 9111, 5.2.2.1), or None."""
    found = _MAX_AGE.search(cache_control)
    return float(found[1]) if found else None


def _explain_status(status: int, trust: Trust) -> str:
    if 300 <= status < 400:
        return f"status {status}: redirects are not followed"
    if status == 403 and trust is Trust.CLUSTER:
        return "status 403: our ServiceAccount lacks the ClusterRole system:service-account-issuer-discovery"
    return f"status {status}"


def _explain(error: aiohttp.ClientError) -> str:
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientConnectorSSLError):
        # The certificate error's own words name the check that failed (wrong CA, wrong host, expired).
        cause = getattr(error, "certificate_error", None) or error
        return f"TLS: {getattr(cause, 'verify_message', '') or getattr(cause, 'reason', '') or type(cause).__name__}"
    if isinstance(error, aiohttp.ClientConnectorError):
        # asyncio's own text is the address once more; the number says what happened. Name look-ups count below zero.
        number = error.os_error.errno or 0
        return f"cannot connect: {os.strerror(number) if number > 0 else error.os_error.strerror or 'no address'}"
    if isinstance(error, aiohttp.ClientPayloadError | aiohttp.ServerDisconnectedError):
        return "the answer ended too early"
    return type(error).__name__


class KeyRefresher:
    """Keeps `keys` fresh from `fetch`; a failure never takes a key away. `run` owns every fetch that is under way."""

    def __init__(
        self,
        fetch: Callable[[], Awaitable[Fetched]],
        keys: KeySet,
        monotonic: Callable[[], float],
        on_success: Callable[[ParsedKeys, bool], None],
        on_failure: Callable[[str], None],
        rng: Callable[[], float] = random.random,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`on_success` gets what was read and whether it changed anything, `on_failure` a short reason without secrets.

        `rng` gives 0 ≤ x < 1, for the jitter that keeps replicas from asking at one moment.
        """
        self._fetch = fetch
        self._keys = keys
        self._monotonic = monotonic
        self._on_success = on_success
        self._on_failure = on_failure
        self._rng = rng
        self._sleep = sleep
        self._failures = 0
        self._waiters = 0
        self._flight: asyncio.Task[float] | None = None
        self._closed = False

    async def run(self) -> None:
        """Fetch at once, then for ever; ends only by cancellation, and takes a fetch under way with it."""
        try:
            while True:
                await self._sleep(await asyncio.shield(self._join() or self._start()))
        finally:
            self._closed = True
            if self._flight is not None:
                self._flight.cancel()
                await asyncio.gather(self._flight, return_exceptions=True)

    def may_bring_keys(self) -> bool:
        """Say whether `refresh_for_unknown_kid` would wait for anything now."""
        if self._closed or self._waiters >= MAX_WAITERS:
            return False
        return self._join() is not None or self._keys.refresh_is_due(self._monotonic())

    async def refresh_for_unknown_kid(self, budget_seconds: float) -> None:
        """Wait for one fetch of the keys, at most this long; return at once when none is due. Never raises.

        All who wait share one fetch. At most MAX_WAITERS wait: names of keys are free to invent.
        """
        if self._closed or budget_seconds <= 0 or self._waiters >= MAX_WAITERS:
            return
        flight = self._join()
        if flight is None:
            if not self._keys.may_refresh(self._monotonic()):
                return
            flight = self._start()
        self._waiters += 1
        try:
            # Unlike wait_for, this leaves the flight alone when the waiter gives up or is cancelled.
            await asyncio.wait([flight], timeout=budget_seconds)
        finally:
            self._waiters -= 1

    def _join(self) -> asyncio.Task[float] | None:
        return None if self._flight is None or self._flight.done() else self._flight

    def _start(self) -> asyncio.Task[float]:
        self._flight = asyncio.create_task(self.refresh(), name="jwks refresh")
        return self._flight

    async def refresh(self) -> float:
        """Fetch once; return after how many seconds the next regular fetch is due."""
        try:
            fetched = await self._fetch()
            parsed = parse_jwks(fetched.body)
        except (Unreachable, BadKeySet) as error:
            return self._failed(str(error))
        except Exception as error:  # noqa: BLE001 - supervision boundary: without keys nobody logs in, so go on trying
            return self._failed(f"unexpected {type(error).__name__}")
        changed = self._keys.replace(parsed.keys, self._monotonic())
        self._failures = 0
        self._on_success(parsed, changed)
        period = REFRESH_SECONDS if fetched.max_age is None else min(fetched.max_age, REFRESH_SECONDS)
        return max(period, MIN_REFRESH_SECONDS) * (0.9 + 0.1 * self._rng())

    def _failed(self, reason: str) -> float:
        self._failures += 1
        now = self._monotonic()
        cap = MAX_BACKOFF_SECONDS if self._keys.fresh(now) else MAX_BACKOFF_WITHOUT_KEYS_SECONDS
        delay = min(2.0 ** min(self._failures - 1, 16), cap) * (0.5 + 0.5 * self._rng())
        log.warning(
            "issuer key refresh failed",
            reason=reason,
            failures=self._failures,
            keys=len(self._keys),
            keys_age_seconds=self._keys.age(now),
            next_try_seconds=round(delay, 1),
        )
        self._on_failure(reason)
        return delay
