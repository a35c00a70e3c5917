"""Finds the causes in what was observed of NATS. Pure; measured on nats-server 2.11.17 and 2.15.2.

Where two causes look alike from here, both are named: a guess would send somebody to the wrong file.
"""

from nats_k8s_oidc_callout.adapters.nats import Refused, Untrusted
from nats_k8s_oidc_callout.core.nats.names import COMPLAINTS, GLOBAL_ACCOUNT, REQUESTS
from nats_k8s_oidc_callout.core.nats.signers import Origin
from nats_k8s_oidc_callout.doctor.observations import Admission, Rights, Setup, Trial
from nats_k8s_oidc_callout.doctor.report import Cause, Finding, failed, ok, skipped
from nats_k8s_oidc_callout.errors import Unreachable
from nats_k8s_oidc_callout.settings import Sentinel

# Refused before 60 % of the server's time-out: the server or a responder decided. Later: the time-out did.
_AT_ONCE_SHARE = 0.6
_USUAL_TIMEOUT_SECONDS = 2.0
# The servers' own default is 2.0, and the first PING comes between 2.0 and 2.4 s.
_LONGEST_SECONDS = 2.0
_TOLERANCE_SECONDS = 0.15


def at_once(seconds: float, timeout: float | None) -> bool:
    """Say whether a refusal after this time was decided by somebody."""
    return seconds < _AT_ONCE_SHARE * (timeout or _USUAL_TIMEOUT_SECONDS)


def reach(address: str, version: str, error: Unreachable | None) -> Finding:
    """Say whether the server is there, and whether both sides trust each other."""
    check = "nats"
    if isinstance(error, Untrusted):
        ca = "not trusted" in str(error)
        return failed(check, f"{address}: {error}", Cause.NATS_TLS_CA_WRONG if ca else Cause.NATS_TLS_REFUSED)
    if error is not None:
        return failed(check, str(error), Cause.NATS_UNREACHABLE)
    return ok(check, f"{address}, nats-server {version[:32]}")


def login(seen: Admission, setup: Setup) -> Finding:
    """Say whether the server lets us in, into the account that the settings say."""
    check, error = "login", seen.error
    if seen.other_mode is not None:
        return _mode_wrong(check, setup, seen.other_mode)
    if isinstance(error, Refused):
        words = f"{error} after {error.seconds:.1f} s"
        if at_once(error.seconds, setup.timeout):
            return failed(check, words, Cause.LOGIN_REFUSED)
        words += ": the server asked the callout about us"
        return failed(check, words, Cause.AUTH_USERS_WITHOUT_US, Cause.LOGIN_UNKNOWN, user=setup.user)
    if error is not None:
        return skipped(check, f"unknown: {error}")
    account, ours = seen.account, setup.callout_account
    # A server that asks for no login lets everybody into the global account: the check "signers" tells that. Operator
    # mode learns the account from the server's question.
    if account and setup.auth_required and not setup.operator:
        if ours and ours != account:
            return failed(
                check,
                f"our login is in account {account}, NATS_AUTH_ACCOUNT says {ours}: it does not keep clients out of {account}",
                Cause.AUTH_ACCOUNT_WRONG,
                account=account,
            )
        if account == setup.account != GLOBAL_ACCOUNT:
            return failed(
                check,
                f"our login is in account {account}, where NATS_ACCOUNT puts clients: each could read the tokens of others",
                Cause.TARGET_IS_CALLOUT_ACCOUNT,
            )
    return ok(check, f"in account {account}" if account else "accepted")


def _mode_wrong(check: str, setup: Setup, account: str = "") -> Finding:
    if setup.operator:
        return failed(
            check,
            "NATS_ACCOUNT is a public key (operator mode), but the servers are in config mode: they accept the nkey of "
            f"NATS_CREDS_FILE without its JWT{f', in account {account}' if account else ''}",
            Cause.MODE_WRONG,
            account="the name of the account that clients land in, as the servers' configuration has it",
        )
    return failed(
        check,
        "NATS_ACCOUNT is a name (config mode), but the servers are in operator mode: they accept the JWT of "
        "NATS_CREDS_FILE, and not its nkey alone",
        Cause.MODE_WRONG,
        account="the public key (A…) of the account that clients land in: docs/OPERATOR_SETUP.md",
    )


def subscription(rights: Rights, setup: Setup, queue_group: str) -> Finding:
    """Say whether we may hear the requests."""
    check = "subscription"
    if rights.error is not None:
        return skipped(check, f"unknown: {rights.error}")
    if rights.group:
        return ok(check, f"{REQUESTS} in the queue group {queue_group}")
    # nats-server 2.11 in operator mode takes an nkey alone for a login by its default_sentinel, which may do nothing.
    if rights.other_mode:
        return _mode_wrong(check, setup)
    words = f"the server refuses {REQUESTS}"
    if not rights.inbox:
        return failed(check, words, Cause.SUBSCRIPTION_REFUSED, requests=REQUESTS)
    words += " and lets us subscribe _INBOX.>: the permissions are reversed"
    return failed(check, words, Cause.PERMISSIONS_REVERSED, requests=REQUESTS, complaints=COMPLAINTS)


def sentinel(found: Sentinel | None, setup: Setup) -> Finding:
    """Judge the sentinel of our own, if there is one."""
    check = "sentinel"
    if not setup.operator:
        return skipped(check, "config mode knows none")
    if found is None:
        return skipped(check, "NATS_SENTINEL_CREDS_FILE is not set: the servers must have a default_sentinel")
    if found.account != setup.callout_account:
        words = f"it is of the account {found.account}, the callout account is {setup.callout_account}"
        return failed(check, words, Cause.SENTINEL_OF_ANOTHER_ACCOUNT)
    if not found.denies_all:
        words = "it may publish or subscribe: everybody has it, and with it could read what clients send to log in"
        return failed(check, words, Cause.SENTINEL_NOT_DENIED_EVERYTHING)
    if not found.bearer:
        words = "it is no bearer: it cannot be a default_sentinel, and clients would have to hold its seed"
        return failed(check, words, Cause.SENTINEL_NOT_BEARER)
    return ok(check, "a bearer of the callout account that may do nothing")


def signers(trial: Trial, setup: Setup) -> Finding:
    """Say whether the server's questions are for us: who is to sign, and whether they are sealed as we want them."""
    check, question = "signers", trial.question
    if not setup.auth_required:
        fix = "give the server an authorization block with auth_callout: the command `keys` prints one"
        return failed(check, "the server asks nobody for a login", Cause.CALLOUT_NOT_ENABLED, fix=fix)
    if question is None:
        return _unseen(check, trial, setup)
    if not question.sealed and setup.has_xkey and not setup.clear_allowed:
        words = "the server's requests are not sealed, but NATS_XKEY_MODE is required"
        return failed(check, words, Cause.XKEY_AT_RESPONDER_ONLY)
    if question.wants in setup.signers:
        return ok(check, f"the server asks for {question.wants}" + (", sealed" if question.sealed else ""))
    if setup.operator:
        words = f"the callout account is {question.wants}, and we answer for another one"
        return failed(check, words, Cause.CALLOUT_ACCOUNT_MISSPELT, fix=f"NATS_AUTH_ACCOUNT={question.wants}")
    return failed(
        check,
        f"the server needs answers signed by {question.wants}, but we sign with {', '.join(setup.signers)}",
        Cause.SERVER_ISSUER_WRONG,
        fix=f"issuer: {next(iter(setup.signers), '')} in the server's auth_callout block, then restart it",
    )


def _unseen(check: str, trial: Trial, setup: Setup) -> Finding:
    """No question was seen that we could read."""
    if trial.trouble:
        return skipped(check, f"unknown: {trial.trouble}")
    if trial.unopened and setup.has_xkey:
        words = "the server seals its requests for an xkey that is not in NATS_XKEY_FILE"
        return failed(check, words, Cause.XKEY_OF_ANOTHER)
    if trial.unopened:
        return failed(check, "the server seals its requests, but NATS_XKEY_FILE is not set", Cause.XKEY_AT_SERVER_ONLY)
    if not trial.listened:
        return skipped(check, "unknown: the server does not let us see its requests")
    if trial.landing is not None:
        where = f" to {trial.landing.account}" if trial.landing.account else ""
        fix = "nsc edit authcallout --account … --auth-user …, then push" if setup.operator else ""
        words = f"a client was let in{where} although no responder was asked"
        return failed(check, words, Cause.CALLOUT_NOT_ENABLED, fix=fix)
    quick = trial.refusal is not None and at_once(trial.refusal.seconds, setup.timeout)
    if setup.operator:
        return _unseen_by_operator(check, setup, quick=quick)
    if quick:
        return failed(
            check,
            "clients are refused at once and nobody is asked: no auth_callout, or its account is none of the server's",
            Cause.CALLOUT_NOT_ENABLED,
            Cause.CALLOUT_ACCOUNT_UNKNOWN,
            fix=f"{Cause.CALLOUT_NOT_ENABLED.fix}; its `account` must be the one our user is in. The server's log tells "
            'the two apart: "No valid account … for auth callout request"',
        )
    words = "logins time out and no responder here is asked: the server asks in another account"
    return failed(check, words, Cause.CALLOUT_ACCOUNT_MISSPELT)


def _unseen_by_operator(check: str, setup: Setup, *, quick: bool) -> Finding:
    if not setup.sentinel:
        words = "a client with a token alone is refused and nobody is asked: the servers have no default_sentinel"
        return failed(check, words, Cause.SENTINEL_MISSING)
    if quick:
        return failed(check, "the server refuses our sentinel, and nobody is asked", Cause.SENTINEL_REFUSED)
    return failed(
        check,
        "logins with our sentinel time out and no responder here is asked: it is of an account with another callout, or "
        "wants a signature that it did not get",
        Cause.SENTINEL_OF_ANOTHER_ACCOUNT,
        Cause.SENTINEL_NOT_BEARER,
        fix="make the sentinel a bearer user of the callout account: nsc edit user --account … --name … --bearer",
    )


def signing_key(trial: Trial, setup: Setup) -> Finding:
    """Say whether the login's own key still signs: config mode learns it from the question, operator mode chooses it."""
    check = "signing key"
    wants = trial.question.wants if trial.question else ""
    origin = next(iter(setup.origins.values()), None) if setup.operator else setup.origins.get(wants)
    if setup.derived and (setup.target_derived or not setup.operator):
        return skipped(check, "NATS_SIGNING_KEY_FILE is not set: the key of our login signs")
    if origin is None:
        return skipped(check, "unknown: no request of the server was seen that we could answer")
    if origin is not Origin.LOGIN_INSTEAD:
        return ok(check, "an account's own key" if origin is Origin.ACCOUNT else "a key of its own")
    if setup.operator:
        words = "the key of our login still signs for one of the two accounts: whoever holds the login can sign as well"
        return failed(check, words, Cause.LOGIN_STILL_SIGNS)
    separate = next((key for key, whose in setup.origins.items() if whose is Origin.SEPARATE), "")
    return failed(
        check,
        f"the server asks for {wants}, the key of our login, and not for the one in NATS_SIGNING_KEY_FILE: whoever holds "
        "the login can sign as well",
        Cause.LOGIN_STILL_SIGNS,
        fix=f"issuer: {separate} in the server's auth_callout block, then restart it (docs/ROTATION.md)"
        if separate
        else "NATS_SIGNING_KEY_FILE holds the login's own key: make another one",
    )


def too_long(seconds: float) -> bool:
    """Say whether a server's time-out is more than clients bear."""
    return seconds > _LONGEST_SECONDS + _TOLERANCE_SECONDS


def timeout(seconds: float | None, setup: Setup, ours: float, *, waited: bool) -> Finding:
    """Compare the server's time-out with what clients bear, and with what we count on; None is longer than we waited."""
    check = "authorization.timeout"
    if not waited or not setup.auth_required:
        return skipped(check, "unknown: the server asks for no login, or could not be asked")
    if seconds is None or too_long(seconds):
        shown = "over 2.5 s" if seconds is None else f"{seconds:.1f} s"
        words = f"{shown}: clients take the server's first PING, after 2 s, for the answer to their login"
        return failed(check, words, Cause.TIMEOUT_OVER_2S)
    if seconds < ours - _TOLERANCE_SECONDS:
        words = f"{seconds:.1f} s, but NATS_AUTH_TIMEOUT_SECONDS is {ours:g}: we work on requests that the server has given up"
        return failed(check, words, Cause.TIMEOUT_SHORTER_THAN_OURS, timeout=seconds)
    return ok(check, f"{seconds:.1f} s")
