"""The self-test: logs in as a client every minute, with our own token, and checks the account that it lands in.

A responder that is connected and subscribed may still let nobody in: the server may reject its answers, or ask another
responder. Only a login shows that. It has a metric, a log line when it changes, and no part in /readyz: the NATS side is turned
on last, and one that is broken for all replicas would only take them out one after the other.
"""

import asyncio
import os
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from nats_k8s_oidc_callout.adapters.nats import Refused, WorkloadLogin, log_in_as_client
from nats_k8s_oidc_callout.app.facts import grants_of, rule_of
from nats_k8s_oidc_callout.bounded.files import read_file
from nats_k8s_oidc_callout.core import decide
from nats_k8s_oidc_callout.core.grants.policy import Policy
from nats_k8s_oidc_callout.core.identity.own_token import OwnClaims, claims_of
from nats_k8s_oidc_callout.core.nats import subjects, user
from nats_k8s_oidc_callout.core.nats.address import Address
from nats_k8s_oidc_callout.errors import BadKey, Unreachable
from nats_k8s_oidc_callout.settings import Settings, read_sentinel

log = structlog.get_logger("self-test")

INTERVAL_SECONDS = 60.0
# A round with everything hanging; with the interval it stays within the 75 s in which a fault must show.
ROUND_SECONDS = 12.0
STEP_SECONDS = 3.0
# After a failure: it may be over soon, and whoever repairs it is watching.
RETRY_SECONDS = 10.0
# Two releases that share a queue group answer in turn, at random: so many logins miss the other one in 6 of 100 rounds.
LOGINS = 4
# Once somebody else has answered, it takes so many right ones in a row to believe that they are gone.
LOGINS_AFTER_WRONG_ACCOUNT = 12


class Failed(Exception):
    """A self-test that failed: one of few words for the log, and the details without any secret."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Tester:
    """What the self-test presents. No repr of the token."""

    login: WorkloadLogin
    namespace: str
    name: str

    @property
    def inbox(self) -> str:
        """The inbox that only this ServiceAccount may read."""
        return subjects.guide_inbox(self.namespace, self.name)


def tester(settings: Settings) -> Tester:
    """Return what the files hold at this moment; raise Failed when they cannot be used."""
    path = settings.self_test_token_file
    try:
        token = read_file(path).decode("ascii").strip() if path else ""
    except (OSError, UnicodeDecodeError) as error:
        raise Failed("token_unreadable", f"{path}: {type(error).__name__}") from None
    jwt, sign = "", None
    if settings.nats_sentinel_creds_file is not None:
        try:
            sentinel = read_sentinel(read_file(settings.nats_sentinel_creds_file))
        except (OSError, BadKey) as error:
            why = str(error) if isinstance(error, BadKey) else type(error).__name__
            raise Failed("sentinel_unreadable", f"{settings.nats_sentinel_creds_file}: {why}") from None
        # A bearer needs no signature, and a server may take one for a wrong one.
        jwt, sign = sentinel.jwt, sentinel.key.sign if sentinel.key and not sentinel.bearer else None
    # The token is our own, so its claims are not checked.
    claims = (claims_of(token.encode()) or OwnClaims()).kubernetes
    return Tester(
        WorkloadLogin(token, jwt, sign), claims.namespace or "unknown", claims.serviceaccount.name or "unknown"
    )


def exempt(settings: Settings) -> decide.SelfTest | None:
    """Return whom decisions let in without a rule: our own ServiceAccount, as the self-test. None without one."""
    try:
        who = tester(settings) if settings.self_test_token_file is not None else None
    except Failed:
        # The self-test itself tells.
        return None
    if who is None:
        return None
    by_settings = grants_of(settings, Policy([rule_of(settings)]))
    made = by_settings.of(who.namespace, who.name, None, {})
    return None if made is None else decide.SelfTest(f"{who.namespace}/{who.name}", made)


class SelfTest:
    """Logs in again and again. `success` is 1 or 0, None before the first round."""

    def __init__(
        self,
        settings: Settings,
        tls: Callable[[], ssl.SSLContext | None],
        ready: Callable[[], bool],
        lands_in: Callable[[str, str], str],
        *,
        interval_seconds: float = INTERVAL_SECONDS,
    ) -> None:
        """`ready` says that this replica answers: the first round waits for it, but for one interval at most.

        `lands_in` has the account of a ServiceAccount by namespace and name, as servers call it; empty if not known now.
        """
        self._settings = settings
        self._tls = tls
        self._ready = ready
        self._lands_in = lands_in
        self._account = ""
        self._interval = interval_seconds
        self._retry = min(RETRY_SECONDS, interval_seconds)
        self._right_needed = 0
        self._told: str | None = None
        self.success: float | None = None
        self.passed_at: float | None = None
        """When it succeeded last (monotonic seconds); None while it has not, or fails."""

    async def run(self) -> None:
        """Test for ever."""
        await self._wait_for_a_chance()
        while True:
            try:
                failed = await self.round()
            except Exception as error:
                # Supervision boundary: a bug here must not take the responder with it.
                log.exception("self-test failed with an internal error")
                failed = Failed("internal", type(error).__name__)
            self._tell(failed)
            await asyncio.sleep(self._retry if failed else self._interval)

    async def _wait_for_a_chance(self) -> None:
        ends = time.monotonic() + self._interval
        while not self._ready() and time.monotonic() < ends:
            await asyncio.sleep(min(0.1, self._interval))

    async def round(self) -> Failed | None:
        """Log in some times, at every server that is configured; return what was wrong, if anything."""
        try:
            async with asyncio.timeout(ROUND_SECONDS):
                await self._log_in_some_times()
        except Failed as failed:
            return failed
        except TimeoutError:
            return Failed("timed_out", f"not done within {ROUND_SECONDS:g} s")
        return None

    async def _log_in_some_times(self) -> None:
        who = tester(self._settings)
        servers = self._settings.nats_url.servers
        reached = 0
        trouble = ""
        for number in range(max(len(servers), LOGINS, self._right_needed)):
            address = servers[number % len(servers)]
            try:
                await self._log_in(address, who)
                reached += 1
            except Unreachable as error:
                trouble = str(error)
                if number + 1 >= len(servers) and not reached:
                    break
        if not reached:
            # One server that is down is no fault of ours, and its clients are elsewhere.
            raise Failed("nats_unreachable", trouble)
        self._right_needed = 0

    async def _log_in(self, address: Address, who: Tester) -> None:
        """Log in once; raise Failed, or Unreachable when there was no server to decide about it."""
        name = f"{user.SELF_TEST}{os.urandom(8).hex()}"
        try:
            landing = await log_in_as_client(address, self._tls(), who.login, name, who.inbox, STEP_SECONDS)
        except Refused as refused:
            raise Failed("refused", f"{address} after {refused.seconds:.1f} s: {refused}") from None
        self._account = self._lands_in(who.namespace, who.name)
        if landing.foreign:
            self._right_needed = LOGINS_AFTER_WRONG_ACCOUNT
            raise Failed("foreign_answer", f"{address}: let in by something that is no responder of this version")
        if self._account and landing.account not in ("", self._account):
            self._right_needed = LOGINS_AFTER_WRONG_ACCOUNT
            raise Failed("wrong_account", f"{address}: landed in {landing.account[:64]} instead of {self._account}")

    def _tell(self, failed: Failed | None) -> None:
        """Log a change, not each round."""
        self.success = 0.0 if failed else 1.0
        self.passed_at = None if failed else time.monotonic()
        state = failed.reason if failed else ""
        if state == self._told:
            return
        self._told = state
        if failed:
            log.error("self-test login failed", reason=failed.reason, detail=failed.detail)
        else:
            log.info("self-test login succeeded", account=self._account)
