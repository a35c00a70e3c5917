"""The checks of our own login: does the server let us in, into which account, and may we hear there what it asks."""

import os
from contextlib import suppress
from dataclasses import dataclass

from nats_k8s_oidc_callout.adapters.nats import CredsLogin, Login, NkeyLogin, Probe, Refused, opened
from nats_k8s_oidc_callout.doctor.check_nats import Server
from nats_k8s_oidc_callout.doctor.diagnosis import at_once
from nats_k8s_oidc_callout.doctor.observed_login import COMPLAINTS, REQUESTS, STEP_SECONDS, Rights
from nats_k8s_oidc_callout.doctor.report import Cause, Finding, failed, ok, skipped
from nats_k8s_oidc_callout.errors import Unreachable
from nats_k8s_oidc_callout.settings import Mode, Settings

NAME = "nats-k8s-oidc-callout doctor"
_KEYS = "the command `keys` prints the user's permissions"
_GLOBAL_ACCOUNT = "$G"


@dataclass(frozen=True, slots=True)
class Admission:
    """The result of our login. An accepted one is still a failure if it landed in the wrong account."""

    finding: Finding
    accepted: bool = False


async def log_in(server: Server, login: Login, otherwise: Login | None, settings: Settings) -> Admission:
    """Log in as the responder does; when that is refused, try whether the servers are in the other mode."""
    check = "login"
    try:
        account = await _log_in(server, login)
    except Refused as refused:
        return Admission(await _other_mode(server, otherwise) or _refused(check, server, login, refused))
    except Unreachable as error:
        return Admission(skipped(check, f"unknown: {error}"))
    return Admission(_compare_account(check, account, server, settings), True)


async def _log_in(server: Server, login: Login) -> str:
    async with opened(server.address, server.tls(), STEP_SECONDS) as probe:
        await probe.log_in(login, NAME, STEP_SECONDS)
        return probe.account[:64]


async def _other_mode(server: Server, otherwise: Login | None) -> Finding | None:
    """Say that NATS_ACCOUNT chose the wrong mode, if the servers take the same creds in the other one's way."""
    if otherwise is None:
        return None
    try:
        return _mode_wrong("login", otherwise, await _log_in(server, otherwise))
    except Unreachable:
        return None


def _mode_wrong(check: str, otherwise: Login, account: str = "") -> Finding:
    if isinstance(otherwise, CredsLogin):
        return failed(
            check,
            "NATS_ACCOUNT is a name (config mode), but the servers are in operator mode: they accept the JWT of "
            "NATS_CREDS_FILE, and not its nkey alone",
            Cause.MODE_WRONG,
            fix="NATS_ACCOUNT must be the public key (A…) of the account that clients land in: docs/OPERATOR_SETUP.md",
        )
    return failed(
        check,
        "NATS_ACCOUNT is a public key (operator mode), but the servers are in config mode: they accept the nkey of "
        f"NATS_CREDS_FILE without its JWT{f', in account {account}' if account else ''}",
        Cause.MODE_WRONG,
        fix="NATS_ACCOUNT must be the name of the account that clients land in, as the servers' configuration has it",
    )


def _compare_account(check: str, account: str, server: Server, settings: Settings) -> Finding:
    """Compare the account we are in with what the settings say of it; operator mode learns it from the question."""
    # A server that asks for no login lets everybody into the global account: the check "signers" tells that.
    asks = server.info is not None and server.info.auth_required
    if not account or not asks or settings.mode is Mode.OPERATOR:
        return ok(check, f"in account {account}" if account else "accepted")
    told = settings.nats_auth_account
    if told and told != account:
        return failed(
            check,
            f"our login is in account {account}, NATS_AUTH_ACCOUNT says {told}: it does not keep clients out of {account}",
            Cause.AUTH_ACCOUNT_WRONG,
            fix=f"NATS_AUTH_ACCOUNT={account}",
        )
    if account == settings.nats_account != _GLOBAL_ACCOUNT:
        return failed(
            check,
            f"our login is in account {account}, where NATS_ACCOUNT puts clients: each could read the tokens of others",
            Cause.TARGET_IS_CALLOUT_ACCOUNT,
            fix="clients need an account of their own: set NATS_ACCOUNT to it",
        )
    return ok(check, f"in account {account}")


def _refused(check: str, server: Server, login: Login, refused: Refused) -> Finding:
    words = f"{refused} after {refused.seconds:.1f} s"
    if at_once(refused.seconds, server.timeout):
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


async def subscribe(server: Server, login: Login, otherwise: Login | None, queue_group: str) -> tuple[Finding, Rights]:
    """Try the permission without a subscription: see `_allowed`. Also return what else was learned by that."""
    check = "subscription"
    try:
        allowed, inbox, rights = await _try(server, login, queue_group)
    except Unreachable as error:
        return skipped(check, f"unknown: {error}"), Rights()
    if allowed:
        return ok(check, f"{REQUESTS} in the queue group {queue_group}"), rights
    # nats-server 2.11 in operator mode takes an nkey alone for a login by its default_sentinel, which may do nothing.
    with suppress(Unreachable):
        if otherwise is not None and (await _try(server, otherwise, queue_group))[0]:
            return _mode_wrong(check, otherwise), rights
    return _not_allowed(check, inbox=inbox), rights


def _not_allowed(check: str, *, inbox: bool) -> Finding:
    if inbox:
        return failed(
            check,
            f"the server refuses {REQUESTS} and lets us subscribe _INBOX.>: the permissions are reversed",
            Cause.PERMISSIONS_REVERSED,
            fix=f"subscribe: [{REQUESTS}, {COMPLAINTS}], and allow_responses instead of publish: {_KEYS}",
        )
    return failed(
        check,
        f"the server refuses {REQUESTS}",
        Cause.SUBSCRIPTION_REFUSED,
        fix=f"let our user subscribe {REQUESTS}: {_KEYS}",
    )


async def _try(server: Server, login: Login, queue_group: str) -> tuple[bool, bool, Rights]:
    async with opened(server.address, server.tls(), STEP_SECONDS) as probe:
        await probe.log_in(login, NAME, STEP_SECONDS)
        return await _allowed(probe, queue_group)


async def _allowed(probe: Probe, queue_group: str) -> tuple[bool, bool, Rights]:
    """Say whether we may subscribe to requests in the queue group, whether to an inbox, and what else we learned.

    A SUB whose number is taken is checked for permission and then changes nothing (NATS_FACTS 3.11).
    So with any subscription at hand the real one can be tried, queue group and all, and no request
    of the group is ever delivered here. The one at hand is to requests, outside the group: it gets copies, and takes
    nothing from anybody. Each refusal is an error in the server's log, so others are tried only where that one is
    refused, and an inbox only to tell permissions that are the wrong way round.
    """

    async def may(subject: str) -> bool:
        return not await probe.say(f"SUB {subject} 1".encode(), timeout=STEP_SECONDS)

    requests = await may(REQUESTS)
    complaints = None if requests else await may(COMPLAINTS)
    inbox = not requests and not complaints and await may(f"_INBOX.{os.urandom(8).hex()}")
    allowed = (requests or complaints or inbox) and await may(f"{REQUESTS} {queue_group}")
    if complaints and not allowed:
        inbox = await may(f"_INBOX.{os.urandom(8).hex()}")
    return bool(allowed), inbox, Rights(requests, complaints)
