"""What became of our answers, counted and logged: verdicts as we gave them, and the servers' complaints about them."""

import structlog

from nats_k8s_oidc_callout.adapters.nats import read_complaint
from nats_k8s_oidc_callout.adapters.telemetry import Count, Telemetry
from nats_k8s_oidc_callout.app.keyring import Keyring
from nats_k8s_oidc_callout.core.model import Allow, Request, Verdict
from nats_k8s_oidc_callout.core.nats import callout
from nats_k8s_oidc_callout.errors import Unreadable

log = structlog.get_logger("app")

# What a server says of a login that it never asked us about, such as one of our own user with a wrong password: the
# names of closed connections (monitor.go, `ClosedState`). Anybody can cause them, so they must not raise our alert.
_NOT_ABOUT_US = frozenset(
    (
        "Authentication Failure",
        "Authentication Timeout",
        "Authentication Expired",
        "Proxy Not Trusted",
        "Proxy Required",
    )
)


def complaint(event: bytes) -> str:
    """Return why a server rejects one of our answers ($SYS.ACCOUNT.CLIENT.AUTH.ERR), or nothing when it does not."""
    try:
        reason = read_complaint(event).reason
    except Unreadable:
        return ""
    # Our own refusals come back here, and an empty text is a time-out: both are counted elsewhere.
    return "" if callout.REFUSAL in reason or reason in _NOT_ABOUT_US else reason


class Outcomes:
    """The observers of every verdict, and of every complaint."""

    def __init__(self, telemetry: Telemetry, keyring: Keyring, *, shadow: bool) -> None:
        self._telemetry, self._keyring, self._shadow = telemetry, keyring, shadow
        # A shadow signs nothing.
        signers = () if shadow else (self._count_signer,)
        self.observers = (telemetry.record, *signers, self._warn_of_refused)

    def _count_signer(self, _: Verdict, request: Request | None, __: float) -> None:
        if request is not None:
            self._telemetry.metrics.by_signer[self._keyring.origins[request.subject]] += 1

    def _warn_of_refused(self, verdict: Verdict, _: Request | None, __: float) -> None:
        """Warn of annotation entries that were left out. They are in one verdict a change: when the grant is made."""
        if not isinstance(verdict, Allow) or not verdict.refused:
            return
        workload = str(verdict.workload)
        self._telemetry.metrics.add(Count.FILTERED_SUBJECTS, sum(bool(one.subject) for one in verdict.refused))
        for one in verdict.refused:
            if one.subject:
                told = {"annotation": one.annotation, "subject": one.subject, "why": one.why}
                log.warning("annotation entry left out", workload=workload, **told)
            else:
                log.warning("annotation not supported", workload=workload, annotation=one.annotation, why=one.why)

    def complain(self, event: bytes) -> None:
        """Count and log what a server says, if it complains about one of our answers."""
        # A shadow hears of another responder's answers.
        if not self._shadow and (reason := complaint(event)):
            self._telemetry.metrics.add(Count.ANSWERS_REJECTED)
            reason = reason[:256]
            log.error("nats rejected an answer", reason=reason, accounts=self._keyring.accounts.named_in(reason))
