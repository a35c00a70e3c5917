"""Finds the causes in what became of our answers: did a client get in, and where. Pure, as diagnosis is."""

from collections.abc import Sequence

from nats_k8s_oidc_callout.adapters.nats import Landing, Refused
from nats_k8s_oidc_callout.core.nats import callout
from nats_k8s_oidc_callout.doctor.diagnosis import at_once
from nats_k8s_oidc_callout.doctor.observations import Setup, Trial
from nats_k8s_oidc_callout.doctor.report import Cause, Finding, failed, ok, skipped
from nats_k8s_oidc_callout.errors import Unreachable

_CHECK = "round trip"
# Two releases in one queue group are asked at random: so many logins miss the other one in 1 of 4,000 examinations.
LOGINS = 12
# What the server says of an answer that it rejects, in small letters; the first that fits counts.
_REJECTIONS = (
    ("signing key is unknown", Cause.SERVER_ISSUER_WRONG),
    ("wrong issuer", Cause.SERVER_ISSUER_WRONG),
    ("not permitted as valid account option", Cause.TARGET_NOT_ALLOWED),
    ("no valid account", Cause.TARGET_ACCOUNT_UNKNOWN),
    ("scoped", Cause.SCOPED_SIGNING_KEY),
    ("user jwt is not valid", Cause.SCOPED_SIGNING_KEY),
    ("decrypt", Cause.XKEY_OF_ANOTHER),
    ("", Cause.ANSWER_REJECTED),
)


def first_login(trial: Trial, setup: Setup) -> Finding:
    """Say whether a client with a good token gets in, into the right account, given that it was ours to answer."""
    if trial.landing is not None:
        return _compare_account(trial.landing, setup)
    if trial.refusal is None:
        return skipped(_CHECK, f"unknown: {trial.trouble or 'no login was tried'}")
    words = next((reason for reason in trial.complaints if reason), "")
    if words and callout.REFUSAL not in words:
        return _rejected(words, setup)
    if words or (at_once(trial.refusal.seconds, setup.timeout) and not trial.heard):
        return failed(_CHECK, "a responder turned the self-test away", Cause.REFUSED)
    return _nobody(trial.refusal.seconds, setup)


def more_logins(first: Landing, landings: Sequence[Landing], setup: Setup, error: Unreachable | None) -> Finding:
    """Judge the logins after a good one: of two releases each answers some. `error` ended them early."""
    for landing in landings:
        if (found := _compare_account(landing, setup)).causes:
            return found
    if isinstance(error, Refused):
        return failed(
            _CHECK,
            f"login {len(landings) + 2} of {LOGINS + 1} was refused after {error.seconds:.1f} s, others were let in",
            Cause.REFUSED,
            fix="one of the replicas does not answer: compare their /readyz?verbose and logs",
        )
    if error is not None:
        return skipped(_CHECK, f"let in once, then: {error}")
    times = sorted(landing.seconds * 1000 for landing in landings)
    where = f"into {first.account}" if first.account else "account unknown"
    middle = times[len(times) // 2]
    return ok(_CHECK, f"{len(times) + 1} logins {where}, median {middle:.0f} ms, longest {times[-1]:.0f} ms")


def _compare_account(landing: Landing, setup: Setup) -> Finding:
    account = landing.account
    if landing.foreign or (account and setup.lands_in not in ("", account)):
        where = f"landed in {account}" if account else "was let in by another kind of responder"
        words = f"a client {where} instead of {setup.lands_in}: another release answers for the same callout account"
        return failed(_CHECK, words, Cause.TWO_RELEASES)
    return ok(_CHECK)


def _rejected(words: str, setup: Setup) -> Finding:
    """The server told why it did not take the answer."""
    detail, lower = f"the server rejects our answers: {words[:200]}", words.lower()
    if "signing key is unknown" in lower and setup.operator:
        return _unknown_key(detail, "callout", "NATS_SIGNING_KEY_FILE", derived=setup.derived)
    if "user jwt issuer" in lower and "is not known" in lower:
        return _unknown_key(detail, "target", "NATS_ACCOUNT_SIGNING_KEY_FILE", derived=setup.target_derived)
    cause = next(cause for part, cause in _REJECTIONS if part in lower)
    return failed(_CHECK, detail, cause, account=setup.lands_in or setup.account)


def _unknown_key(detail: str, which: str, variable: str, *, derived: bool) -> Finding:
    cause = Cause.DERIVED_KEY_NOT_IN_ACCOUNT if derived else Cause.SIGNING_KEY_OF_ANOTHER_ACCOUNT
    return failed(_CHECK, detail, cause, which=which, variable=variable)


def _nobody(seconds: float, setup: Setup) -> Finding:
    """The server waited its whole time, or nothing tells that it did not."""
    if setup.counted.get("nats_auth_requests_success", 0) or setup.counted.get("nats_auth_requests_denied", 0):
        words = "the responder here answered, but the server did not get it"
        return failed(_CHECK, words, Cause.ANSWERS_NOT_LET_THROUGH)
    dropped = [name for name, grown in setup.counted.items() if grown and name.startswith("nats_auth_dropped_total")]
    if dropped:
        return failed(_CHECK, f"the responder here gave no answer: {dropped[0]}", Cause.REFUSED, fix="see its log")
    also = "; the responder here was not asked" if setup.responder else ""
    return failed(_CHECK, f"nobody answered within {seconds:.1f} s{also}", Cause.NO_RESPONDER)
