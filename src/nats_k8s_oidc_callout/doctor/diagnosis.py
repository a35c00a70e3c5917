"""Finds the cause of what a trial login showed. Pure; measured on nats-server 2.11.17 and 2.15.2.

Where two causes look alike from here, both are named: a guess would send somebody to the wrong file.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from nats_k8s_oidc_callout.core.nats import callout
from nats_k8s_oidc_callout.core.nats.signers import Origin
from nats_k8s_oidc_callout.doctor.observed_login import Trial
from nats_k8s_oidc_callout.doctor.report import Cause, Finding, failed, ok, skipped

# Refused before 60 % of the server's time-out: the server or a responder decided. Later: the time-out did.
_AT_ONCE_SHARE = 0.6
_USUAL_TIMEOUT_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Setup:
    """What a diagnosis has to know beside the trial."""

    operator: bool
    account: str
    signers: Collection[str]
    """Public keys: a server that requires another one cannot be answered."""
    origins: Mapping[str, Origin]
    """Whose key signs the answer to a request that names this one."""
    has_xkey: bool
    clear_allowed: bool
    derived: bool
    """The login's seed signs, in account form."""
    target_derived: bool
    sentinel: bool
    """We present one of our own."""
    auth_required: bool
    timeout: float | None
    """The server's, in seconds, as far as it is known."""
    responder: bool
    """A responder runs on this host."""
    counted: dict[str, float] = field(default_factory=dict)
    """By how much the counters of that responder grew during the trial."""


def at_once(seconds: float, timeout: float | None) -> bool:
    """Say whether a refusal after this time was decided by somebody."""
    return seconds < _AT_ONCE_SHARE * (timeout or _USUAL_TIMEOUT_SECONDS)


def signers(trial: Trial, setup: Setup) -> Finding:
    """Say whether the server's questions are for us: who is to sign, and whether they are sealed as we want them."""
    check = "signers"
    if not setup.auth_required:
        return failed(
            check,
            "the server asks nobody for a login",
            Cause.CALLOUT_NOT_ENABLED,
            fix="give the server an authorization block with auth_callout: the command `keys` prints one",
        )
    if trial.trouble and trial.question is None:
        return skipped(check, f"unknown: {trial.trouble}")
    if trial.unopened and trial.question is None:
        return _sealed(check, setup)
    if trial.question is None:
        if not trial.listened:
            return skipped(check, "unknown: the server does not let us see its requests")
        return _not_asked(check, trial, setup)
    if not trial.question.sealed and setup.has_xkey and not setup.clear_allowed:
        return failed(
            check,
            "the server's requests are not sealed, but NATS_XKEY_MODE is required",
            Cause.XKEY_AT_RESPONDER_ONLY,
            fix="put our public xkey into the server's configuration, or set NATS_XKEY_MODE=optional until it is there",
        )
    if trial.question.wants not in setup.signers:
        return _other_signer(check, trial.question.wants, setup)
    return ok(check, f"the server asks for {trial.question.wants}" + (", sealed" if trial.question.sealed else ""))


def _sealed(check: str, setup: Setup) -> Finding:
    if setup.has_xkey:
        return failed(
            check,
            "the server seals its requests for an xkey that is not in NATS_XKEY_FILE",
            Cause.XKEY_OF_ANOTHER,
            fix="compare xkey in the server's configuration with what `keys --xkey-file` prints",
        )
    return failed(
        check,
        "the server seals its requests, but NATS_XKEY_FILE is not set",
        Cause.XKEY_AT_SERVER_ONLY,
        fix="set NATS_XKEY_FILE to the seed that belongs to the server's xkey, or take xkey out of its configuration",
    )


def _other_signer(check: str, wants: str, setup: Setup) -> Finding:
    if setup.operator:
        return failed(
            check,
            f"the callout account is {wants}, and we answer for another one",
            Cause.CALLOUT_ACCOUNT_MISSPELT,
            fix=f"NATS_AUTH_ACCOUNT={wants}",
        )
    return failed(
        check,
        f"the server needs answers signed by {wants}, but we sign with {', '.join(setup.signers)}",
        Cause.SERVER_ISSUER_WRONG,
        fix=f"issuer: {next(iter(setup.signers), '')} in the server's auth_callout block, then restart it",
    )


def _not_asked(check: str, trial: Trial, setup: Setup) -> Finding:
    """A login came to an end and no question was seen."""
    if trial.landing is not None:
        return failed(
            check,
            f"a client was let in{_where(trial)} although no responder was asked",
            Cause.CALLOUT_NOT_ENABLED,
            fix="nsc edit authcallout --account … --auth-user …, then push" if setup.operator else _ENABLE,
        )
    quick = trial.refusal is not None and at_once(trial.refusal.seconds, setup.timeout)
    if setup.operator:
        return _not_asked_by_operator(check, setup, quick=quick)
    if quick:
        return failed(
            check,
            "clients are refused at once and nobody is asked: no auth_callout, or its account is none of the server's",
            Cause.CALLOUT_NOT_ENABLED,
            Cause.CALLOUT_ACCOUNT_UNKNOWN,
            fix=f"{_ENABLE}; its `account` must be the one our user is in. The server's log tells the two apart: "
            '"No valid account … for auth callout request"',
        )
    return failed(
        check,
        "logins time out and no responder here is asked: the server asks in another account",
        Cause.CALLOUT_ACCOUNT_MISSPELT,
        fix="`account` in the server's auth_callout block must be the one our user is in",
    )


_ENABLE = "give the server an auth_callout block and restart it: the command `keys` prints one"


def _not_asked_by_operator(check: str, setup: Setup, *, quick: bool) -> Finding:
    if not setup.sentinel:
        return failed(
            check,
            "a client with a token alone is refused and nobody is asked: the servers have no default_sentinel",
            Cause.SENTINEL_MISSING,
            fix="set default_sentinel in the servers' configuration, or NATS_SENTINEL_CREDS_FILE here and give clients "
            "the same file",
        )
    if quick:
        return failed(
            check,
            "the server refuses our sentinel, and nobody is asked",
            Cause.SENTINEL_REFUSED,
            fix="is it of this operator's callout account, not revoked, not expired?",
        )
    return failed(
        check,
        "logins with our sentinel time out and no responder here is asked: it is of an account with another callout, or "
        "wants a signature that it did not get",
        Cause.SENTINEL_OF_ANOTHER_ACCOUNT,
        Cause.SENTINEL_NOT_BEARER,
        fix="make the sentinel a bearer user of the callout account: nsc edit user --account … --name … --bearer",
    )


def _where(trial: Trial) -> str:
    return f" to {trial.landing.account}" if trial.landing and trial.landing.account else ""


def round_trip(trial: Trial, setup: Setup) -> Finding:
    """Say whether a client with a good token gets in, into the right account, given that it was ours to answer."""
    check = "round trip"
    if trial.landing is not None:
        return compare_account(
            trial.landing.account, setup, foreign=trial.landing.foreign, seconds=trial.landing.seconds
        )
    if trial.refusal is None:
        return skipped(check, f"unknown: {trial.trouble or 'no login was tried'}")
    words = next((reason for reason in trial.complaints if reason), "")
    if words and callout.REFUSAL not in words:
        return _rejected(check, words, setup)
    if words or (at_once(trial.refusal.seconds, setup.timeout) and not trial.heard):
        return failed(
            check,
            "a responder turned the self-test away",
            Cause.REFUSED,
            fix="its log has the line `denied` with the reason",
        )
    return _nobody(check, trial.refusal.seconds, setup)


def compare_account(account: str, setup: Setup, *, foreign: bool, seconds: float) -> Finding:
    """Say whether a client landed where it should."""
    check = "round trip"
    if foreign or (account and account != setup.account):
        where = f"landed in {account}" if account else "was let in by another kind of responder"
        return failed(
            check,
            f"a client {where}; NATS_ACCOUNT is {setup.account}: another release answers for the same callout account",
            Cause.TWO_RELEASES,
            fix="one callout account has one release, unless each is scoped (K8S_NAMESPACES): stop the other one",
        )
    return ok(check, f"let in{f' to {account}' if account else ', account unknown'}, {seconds * 1000:.0f} ms")


def _rejected(check: str, words: str, setup: Setup) -> Finding:
    """The server told why it did not take the answer."""
    cause, fix = _meaning(words.lower(), setup)
    return failed(check, f"the server rejects our answers: {words[:200]}", cause, fix=fix)


def _meaning(words: str, setup: Setup) -> tuple[Cause, str]:
    if "signing key is unknown" in words and setup.operator:
        return _unknown_key("callout", "NATS_SIGNING_KEY_FILE", derived=setup.derived)
    if "signing key is unknown" in words or "wrong issuer" in words:
        return Cause.SERVER_ISSUER_WRONG, "compare `issuer` in the server's file with what `keys` prints"
    if "user jwt issuer" in words and "is not known" in words:
        return _unknown_key("target", "NATS_ACCOUNT_SIGNING_KEY_FILE", derived=setup.target_derived)
    if "not permitted as valid account option" in words:
        fix = f"nsc edit authcallout --account … --allowed-account {setup.account}, then push"
        return Cause.TARGET_NOT_ALLOWED, fix
    if "no valid account" in words:
        return Cause.TARGET_ACCOUNT_UNKNOWN, "NATS_ACCOUNT must be an account that the servers have"
    if "scoped" in words or "user jwt is not valid" in words:
        fix = "NATS_ACCOUNT_SIGNING_KEY_FILE must be a plain signing key: a scoped one forbids permissions of our own"
        return Cause.SCOPED_SIGNING_KEY, fix
    if "decrypt" in words:
        return Cause.XKEY_OF_ANOTHER, "compare xkey in the server's configuration with what `keys --xkey-file` prints"
    return Cause.ANSWER_REJECTED, "the server's log has the same words; see docs/REFERENCE.md"


def _unknown_key(which: str, variable: str, *, derived: bool) -> tuple[Cause, str]:
    fix = f"nsc edit account --name <the {which} account> --sk <A… as `keys` prints it>, then push"
    if derived:
        return Cause.DERIVED_KEY_NOT_IN_ACCOUNT, f"{fix}; or set {variable} to a key that is there"
    return Cause.SIGNING_KEY_OF_ANOTHER_ACCOUNT, f"{variable} must hold a signing key of the {which} account; or {fix}"


def _nobody(check: str, seconds: float, setup: Setup) -> Finding:
    """The server waited its whole time, or nothing tells that it did not."""
    if setup.counted.get("nats_auth_requests_success", 0) or setup.counted.get("nats_auth_requests_denied", 0):
        return failed(
            check,
            "the responder here answered, but the server did not get it",
            Cause.ANSWERS_NOT_LET_THROUGH,
            fix="the responder's user needs allow_responses, or to publish $SYS._INBOX.>: the command `keys` prints it",
        )
    dropped = [name for name, grown in setup.counted.items() if grown and name.startswith("nats_auth_dropped_total")]
    if dropped:
        return failed(check, f"the responder here gave no answer: {dropped[0]}", Cause.REFUSED, fix="see its log")
    detail = f"nobody answered within {seconds:.1f} s"
    if setup.responder:
        detail += "; the responder here was not asked"
    return failed(
        check,
        detail,
        Cause.NO_RESPONDER,
        fix="is a responder running and ready? Its /readyz?verbose says what it lacks",
    )
