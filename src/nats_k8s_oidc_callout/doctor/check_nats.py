"""The checks of a NATS server before any login: is it there, do we trust it, how long does it wait for an answer."""

from dataclasses import dataclass

from nats_k8s_oidc_callout.adapters.nats import ServerInfo, Untrusted, opened
from nats_k8s_oidc_callout.adapters.nats.addresses import Address
from nats_k8s_oidc_callout.doctor.observed_login import STEP_SECONDS, Tls
from nats_k8s_oidc_callout.doctor.report import Cause, Finding, failed, ok, skipped
from nats_k8s_oidc_callout.errors import Unreachable

# The servers' own default is 2.0, and the first PING comes between 2.0 and 2.4 s.
LONGEST_SECONDS = 2.0
_WAIT_SECONDS = 2.5
_TOLERANCE_SECONDS = 0.15
# In TLS 1.3 a server refuses our certificate, or the lack of it, only after the handshake.
_SECOND_THOUGHT_SECONDS = 0.3


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

    def compare_timeout(self, ours: float) -> Finding:
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
                f"{self.timeout:.1f} s, but NATS_AUTH_TIMEOUT_SECONDS is {ours:g}: we work on requests that the server has given up",
                Cause.TIMEOUT_SHORTER_THAN_OURS,
                fix=f"NATS_AUTH_TIMEOUT_SECONDS={self.timeout:.1f}",
            )
        return ok(check, f"{self.timeout:.1f} s")
