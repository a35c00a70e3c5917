"""The checks of a NATS server: is it there, do we trust it, does it let us in, may we hear what it asks."""

import asyncio
import os
from dataclasses import dataclass

from nats_k8s_oidc_callout.adapters.nats import Login, NkeyLogin, Probe, Refused, ServerInfo, Untrusted, opened
from nats_k8s_oidc_callout.adapters.nats.addresses import Address
from nats_k8s_oidc_callout.app.doctor.diagnosis import at_once
from nats_k8s_oidc_callout.app.doctor.report import Cause, Finding, failed, ok, skipped
from nats_k8s_oidc_callout.app.doctor.trial import COMPLAINTS, REQUESTS, STEP_SECONDS, Tls
from nats_k8s_oidc_callout.errors import Unreachable

# The servers' own default is 2.0, and the first PING comes between 2.0 and 2.4 s.
LONGEST_SECONDS = 2.0
_WAIT_SECONDS = 2.5
_TOLERANCE_SECONDS = 0.15
# In TLS 1.3 a server refuses our certificate, or the lack of it, only after the handshake.
_SECOND_THOUGHT_SECONDS = 0.3

_KEYS = "the command `keys` prints the user's permissions"


@dataclass(slots=True)
class Server:
    """One server of NATS_URL, and what is known of it so far."""

    address: Address
    tls: Tls
    info: ServerInfo | None = None
    timeout: float | None = None
    """`authorization.timeout` in seconds, measured; None while it is not known, or longer than we waited."""
    waited: bool = False

    async def reach(self) -> Finding:
        """Connect, TLS included."""
        check = "nats"
        try:
            async with opened(self.address, self.tls(), STEP_SECONDS) as probe:
                if probe.tls and await probe.silence(_SECOND_THOUGHT_SECONDS) is not None:
                    raise Untrusted(f"it ends the connection after the TLS handshake {probe.trouble}".strip())
                self.info = probe.info
        except Untrusted as error:
            ca = "not trusted" in str(error)
            return failed(
                check,
                f"{self.address}: {error}",
                Cause.NATS_TLS_CA_WRONG if ca else Cause.NATS_TLS_REFUSED,
                fix="NATS_TLS_CA_FILE must hold the authority that signed the server's certificate, and the name in "
                "NATS_URL must be in that certificate"
                if ca
                else "compare the tls block of the server with NATS_TLS_CA_FILE, NATS_TLS_CERT_FILE and the scheme of "
                "NATS_URL",
            )
        except Unreachable as error:
            return failed(
                check, str(error), Cause.NATS_UNREACHABLE, fix="is NATS_URL right, and does a NetworkPolicy allow it?"
            )
        return ok(check, f"{self.address}, nats-server {self.info.version[:32]}")

    async def measure_timeout(self) -> None:
        """Say nothing: the server ends that after the very time that it gives a callout (server.go, auth timer)."""
        try:
            async with opened(self.address, self.tls(), STEP_SECONDS) as probe:
                waited = await probe.silence(_WAIT_SECONDS)
                self.timeout = waited if probe.words else None
                self.waited = waited is None or bool(probe.words)
        except Unreachable:
            return

    def judge_timeout(self, ours: float) -> Finding:
        """Compare the server's time-out with what clients bear, and with what we count on."""
        check = "authorization.timeout"
        if not self.waited or self.info is None or not self.info.auth_required:
            return skipped(check, "unknown: the server asks for no login, or could not be asked")
        if self.timeout is None or self.timeout > LONGEST_SECONDS + _TOLERANCE_SECONDS:
            shown = "over 2.5 s" if self.timeout is None else f"{self.timeout:.1f} s"
            return failed(
                check,
                f"{shown}: clients take the server's first PING, after 2 s, for the answer to their login",
                Cause.TIMEOUT_OVER_2S,
                fix="authorization { timeout: 1.5 } in the servers' configuration",
            )
        if self.timeout < ours - _TOLERANCE_SECONDS:
            return failed(
                check,
                f"{self.timeout:.1f} s, and NATS_AUTH_TIMEOUT_SECONDS says {ours:g}: we work on what is given up",
                Cause.TIMEOUT_SHORTER_THAN_OURS,
                fix=f"NATS_AUTH_TIMEOUT_SECONDS={self.timeout:.1f}",
            )
        return ok(check, f"{self.timeout:.1f} s")

    async def log_in(self, login: Login) -> Finding:
        """Log in as the responder does."""
        check = "login"
        try:
            async with opened(self.address, self.tls(), STEP_SECONDS) as probe:
                await probe.log_in(login, "nats-k8s-oidc-callout doctor", STEP_SECONDS)
                return ok(check, f"in account {probe.account[:64]}" if probe.account else "accepted")
        except Refused as refused:
            return self._login_refused(check, login, refused)
        except Unreachable as error:
            return skipped(check, f"unknown: {error}")

    def _login_refused(self, check: str, login: Login, refused: Refused) -> Finding:
        words = f"{refused} after {refused.seconds:.1f} s"
        if at_once(refused.seconds, self.timeout):
            return failed(
                check,
                words,
                Cause.LOGIN_REFUSED,
                fix="the server decided at once: compare NATS_CREDS_FILE, NATS_TOKEN or the user in NATS_URL with its "
                "users; creds may be expired, revoked or of another operator",
            )
        who = login.public if isinstance(login, NkeyLogin) else "our user"
        return failed(
            check,
            f"{words}: the server asked the callout about us",
            Cause.AUTH_USERS_WITHOUT_US,
            Cause.LOGIN_UNKNOWN,
            fix=f"auth_users of the callout must name {who}, and the callout account must have that user",
        )

    async def subscribe(self, login: Login, queue_group: str) -> Finding:
        """Try the permission without a subscription: see `_allowed`."""
        check = "subscription"
        try:
            async with opened(self.address, self.tls(), STEP_SECONDS) as probe:
                await probe.log_in(login, "nats-k8s-oidc-callout doctor", STEP_SECONDS)
                allowed, inbox = await _allowed(probe, queue_group)
        except Unreachable as error:
            return skipped(check, f"unknown: {error}")
        if allowed:
            return ok(check, f"{REQUESTS} in the queue group {queue_group}")
        if inbox:
            return failed(
                check,
                f"the server refuses {REQUESTS} and lets us subscribe _INBOX.>: the rights are the wrong way round",
                Cause.PERMISSIONS_REVERSED,
                fix=f"subscribe: [{REQUESTS}, {COMPLAINTS}], and allow_responses instead of publish: {_KEYS}",
            )
        return failed(
            check,
            f"the server refuses {REQUESTS}",
            Cause.SUBSCRIPTION_REFUSED,
            fix=f"let our user subscribe {REQUESTS}: {_KEYS}",
        )


async def _allowed(probe: Probe, queue_group: str) -> tuple[bool, bool]:
    """Say whether we may subscribe to requests in the queue group, and whether to an inbox.

    A SUB whose number is taken is checked for permission and then changes nothing (client.go, processSubEx; measured on
    2.11.17 and 2.15.2). So with any subscription at hand the real one can be tried, queue group and all, and no request
    is ever delivered here.
    """

    async def may(subject: str, number: str) -> bool:
        return not await probe.say(f"SUB {subject} {number}".encode(), timeout=STEP_SECONDS)

    inbox = await may(f"_INBOX.{os.urandom(8).hex()}", "1")
    if inbox or await may(COMPLAINTS, "1"):
        allowed = await may(f"{REQUESTS} {queue_group}", "1")
        return allowed, inbox
    # Nothing else is permitted: a plain subscription for a moment. It gets copies, and takes nothing from the group.
    if not await may(REQUESTS, "1"):
        return False, False
    allowed = await may(f"{REQUESTS} {queue_group}", "1")
    await probe.say(b"UNSUB 1", timeout=STEP_SECONDS)
    return allowed, False


async def measured(server: Server) -> "asyncio.Task[None]":
    """Begin to measure: it takes as long as the time-out itself."""
    return asyncio.create_task(server.measure_timeout(), name="doctor time-out")
