"""What SESSION_CONTROL needs of NATS: each permission is used once, in a way that ends nobody's session."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from nats_k8s_oidc_callout.adapters.nats import open_probe
from nats_k8s_oidc_callout.adapters.nats.conversation import INBOX
from nats_k8s_oidc_callout.app.keyring import Keyring
from nats_k8s_oidc_callout.app.sessions.connecting import connect
from nats_k8s_oidc_callout.app.sessions.hold import HOLD, STATE
from nats_k8s_oidc_callout.app.sessions.today import take_census
from nats_k8s_oidc_callout.core.names import PROGRAM
from nats_k8s_oidc_callout.doctor.report import Cause, Finding, failed, ok, skipped
from nats_k8s_oidc_callout.doctor.server import STEP_SECONDS
from nats_k8s_oidc_callout.errors import Unreachable
from nats_k8s_oidc_callout.settings import Settings

CHECK = "sessions"
_NO_SUBJECT = "cannot stand in a subject"
_FIRST_ONLY = "live servers do not list"
_SHOWN = 5
_ANSWER_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Seen:
    """What came of it."""

    prefix: str = "nko"
    by_login: bool = False
    """Whether a user of the system account does it, instead of imports."""
    accounts: int = 1
    trouble: str = ""
    """Why the system side could not be had at all."""
    missing: Sequence[str] = ()
    """What it lacks, a sentence each."""
    control: str = ""
    """What the server said against telling other replicas."""
    held: bool = False
    """Whether a replica holds all kicks."""


async def observe(settings: Settings, keyring: Keyring) -> Seen:
    """Try all of it: list each account, end a client that does not exist, hear events, and ask who holds."""
    by_login = keyring.system_login() is not None
    census = await take_census(settings)
    missing: Sequence[str] = ()
    trouble = control = ""
    held = False
    try:
        async with connect(settings, events=True) as system:
            missing = await system.check(census.accounts)
    except Unreachable as error:
        trouble = str(error)
    try:
        control, held = await _talk(settings, keyring)
    except Unreachable as error:
        control = str(error)
    return Seen(settings.session_subjects, by_login, len(census.accounts), trouble, missing, control, held)


async def _talk(settings: Settings, keyring: Keyring) -> tuple[str, bool]:
    """Ask the replicas for their state; return what the server says against that, and whether one of them holds."""
    subject, said = f"{settings.session_subjects}.control", list[bytes]()
    async with open_probe(settings.nats_url.servers[0], keyring.tls(), STEP_SECONDS) as probe:
        await probe.log_in(keyring.login(), f"{PROGRAM} doctor", STEP_SECONDS)
        refused = await probe.subscribe(subject, lambda message: said.append(message.payload), STEP_SECONDS)
        refused += " ".join(await probe.say(f"PUB {subject} {len(STATE)}".encode(), STATE, timeout=STEP_SECONDS))
        if not refused:
            await asyncio.sleep(_ANSWER_SECONDS)
    return refused, HOLD in said


def judge(seen: Seen) -> list[Finding]:
    """Say what is missing, and what each lack costs."""
    found = [] if not seen.trouble else [_failed(seen, Cause.SESSIONS_UNREACHABLE, seen.trouble)]
    for sentence in seen.missing:
        if _NO_SUBJECT in sentence:
            found.append(skipped(CHECK, f"{sentence}: its sessions end when their time is up"))
        else:
            found.append(_failed(seen, _cause(sentence), sentence))
    if seen.control:
        found.append(
            _failed(seen, Cause.SESSIONS_NOT_TOLD, f"replicas cannot tell each other of a hold: {seen.control}")
        )
    found = [*found[:_SHOWN], *([skipped(CHECK, f"and {len(found) - _SHOWN} more")] if len(found) > _SHOWN else [])]
    if not any(finding.causes for finding in found):
        accounts = f"{seen.accounts} account" + ("s" if seen.accounts != 1 else "")
        what = f"list, hear and end those of {accounts}; that right reaches any client of any account"
        held = "; but all is held, and no session is ended until `sessions resume`" if seen.held else ""
        found.insert(0, ok(CHECK, what + held))
    return found


def _cause(sentence: str) -> Cause:
    if sentence.startswith(("connections of account", _FIRST_ONLY)):
        return Cause.SESSIONS_NOT_LISTED
    if sentence.startswith("clients cannot be ended"):
        return Cause.SESSIONS_NOT_ENDED
    if INBOX in sentence:
        return Cause.SESSIONS_NOT_ANSWERED
    return Cause.SESSIONS_NOT_HEARD if sentence.startswith("the server refused") else Cause.SESSIONS_UNREACHABLE


def _failed(seen: Seen, cause: Cause, detail: str) -> Finding:
    names = {
        Cause.SESSIONS_NOT_LISTED: ("$SYS.REQ.ACCOUNT.*.CONNZ", f"{seen.prefix}.connz.*", "publish"),
        Cause.SESSIONS_NOT_ENDED: ("$SYS.REQ.SERVER.*.KICK", f"{seen.prefix}.kick.*", "publish"),
        Cause.SESSIONS_NOT_HEARD: (
            "$SYS.ACCOUNT.*.CONNECT and $SYS.ACCOUNT.*.DISCONNECT",
            f"{seen.prefix}.ev.>",
            "subscribe",
        ),
    }
    if cause not in names:
        return failed(CHECK, detail, cause, prefix=seen.prefix)
    theirs, local, verb = names[cause]
    if detail.startswith(_FIRST_ONLY):
        fix = f"the export of {theirs} needs `response_type: stream`: with the default one answer comes, of whoever is first"
    elif seen.by_login:
        fix = f"let the user in SYS {verb} {theirs}: `keys --sessions U…` prints its permissions"
    else:
        fix = f"import {theirs} from SYS, and let our user {verb} {local}: `keys --sessions imports` prints both"
    return failed(CHECK, detail, cause, fix=fix)
