"""The variables about sessions that live: who ends and renews them, and how they are known."""

from dataclasses import dataclass
from typing import Annotated, Any

from nats_k8s_oidc_callout.core.identity.own_token import OwnClaims
from nats_k8s_oidc_callout.core.names import PROGRAM
from nats_k8s_oidc_callout.core.sessions.label import digest
from nats_k8s_oidc_callout.settings import keyfiles, values
from nats_k8s_oidc_callout.settings.choices import Mode, SessionControl, SessionRenewal
from nats_k8s_oidc_callout.settings.declaring import KEY_FILE, Group, OptionalPath, ReadBy, Whole, variable
from nats_k8s_oidc_callout.settings.findings import Findings

SHORT_SECONDS = 60
"""Of a shorter session little is left to renew once it has begun."""
_SYSTEM_FILES = "NATS_SYSTEM_CREDS_FILE", "NATS_SYSTEM_NKEY_FILE"
# What YAML makes of an `on` or `off` without quotes.
_CONTROL = values.choice(SessionControl, true=SessionControl.ON, false=SessionControl.OFF)
_RENEWAL = values.choice(SessionRenewal, false=SessionRenewal.OFF)


@dataclass(frozen=True)
class SessionVariables:
    """A part of Settings."""

    session_control: Annotated[SessionControl, ReadBy(_CONTROL)] = variable(
        "SESSION_CONTROL",
        group=Group.SESSIONS,
        default=SessionControl.OFF,
        meaning="`revoke`: a session ends within seconds when its ServiceAccount is deleted, revoked or may do less. `on`: "
        "also shortly before its time is up, so that the client comes back with a newer token. Both need rights in the "
        "system account. `off`: neither, and a session lasts until its time is up.",
    )
    session_renewal: Annotated[SessionRenewal, ReadBy(_RENEWAL)] = variable(
        "SESSION_RENEWAL",
        group=Group.SESSIONS,
        default=SessionRenewal.ALL,
        meaning="With `SESSION_CONTROL=on`: whose sessions are renewed. `python` are those of nats-py, which closes for good "
        "when its session expires.",
    )
    session_kicks_per_second: Whole = variable(
        "SESSION_KICKS_PER_SECOND",
        group=Group.SESSIONS,
        default=50,
        ge=1,
        le=1000,
        meaning="So many sessions a replica ends in a second at the most. Each client that comes back is a login.",
    )
    session_label: Annotated[bool, ReadBy(values.switch)] = variable(
        "SESSION_LABEL",
        group=Group.SESSIONS,
        default=True,
        shown="`on`",
        meaning="Whether the name that the servers show of a session says what it was granted, and until when. `off`: sessions "
        "are ended for what is deleted or revoked by name, and none is renewed.",
    )
    session_release: Annotated[str, ReadBy(values.release)] = variable(
        "SESSION_RELEASE",
        group=Group.SESSIONS,
        default="",
        shown=f"the name of our ServiceAccount, else `{PROGRAM}`",
        meaning="Whose sessions these are: a release leaves the sessions of another one alone. In a pod a dash and 6 hex "
        "digits of the SHA-256 of our ServiceAccount's uid are added, since another cluster may have a release of that name.",
    )
    session_reconcile_seconds: Whole = variable(
        "SESSION_RECONCILE_SECONDS",
        group=Group.SESSIONS,
        default=300,
        ge=10,
        le=3600,
        meaning="The servers are asked for all sessions as often as that, beside listening to what they tell.",
    )
    session_subjects: Annotated[str, ReadBy(values.subject_token)] = variable(
        "SESSION_SUBJECTS",
        group=Group.SESSIONS,
        default="nko",
        meaning="The first token of the subjects under which the callout account imports those of the system account, and "
        "of our own between replicas.",
    )
    nats_system_creds_file: OptionalPath = variable(
        "NATS_SYSTEM_CREDS_FILE",
        group=Group.SESSIONS,
        shown="the responder's own login, by imports",
        changes=KEY_FILE,
        meaning="A login in the system account, for servers without such imports. Operator mode: a creds file. Config mode: "
        "the nkey in it.",
    )
    nats_system_nkey_file: OptionalPath = variable(
        "NATS_SYSTEM_NKEY_FILE",
        group=Group.SESSIONS,
        changes=KEY_FILE,
        meaning="Config mode only: the seed (`SU…`) of such a login, instead of a creds file.",
    )


def settle(
    draft: SessionVariables, mode: Mode, session_max_seconds: int, own: OwnClaims | None, found: Findings
) -> dict[str, Any]:
    """Check the variables against each other, and return the release; `own` is what our mounted token claims."""
    _system_login(draft, mode, found)
    if draft.session_control is SessionControl.OFF:
        for variable_ in (*_DECLARED, *_SYSTEM_FILES):
            if found.is_set(variable_) and found.is_good(variable_, "SESSION_CONTROL"):
                found.warn(variable_, "has no effect without SESSION_CONTROL")
    else:
        _with_control(draft, session_max_seconds, found)
    name, uid = (own.kubernetes.serviceaccount.name, own.kubernetes.serviceaccount.uid) if own else ("", "")
    release = draft.session_release or _as_release(name)
    if uid:
        release = f"{release}-{digest(uid, 6)}"
    elif draft.session_control is not SessionControl.OFF and not found.is_set("SESSION_RELEASE"):
        found.warn(
            "SESSION_RELEASE",
            f"is not set, and no mounted token tells whose sessions these are: another responder called {release} on these "
            "servers would end them",
        )
    return {"session_release": release}


# What means nothing by itself.
_DECLARED = (
    "SESSION_RENEWAL",
    "SESSION_KICKS_PER_SECOND",
    "SESSION_LABEL",
    "SESSION_RELEASE",
    "SESSION_RECONCILE_SECONDS",
    "SESSION_SUBJECTS",
)


def _system_login(draft: SessionVariables, mode: Mode, found: Findings) -> None:
    creds = found.contents("NATS_SYSTEM_CREDS_FILE", draft.nats_system_creds_file, keyfiles.read_creds)
    found.contents("NATS_SYSTEM_NKEY_FILE", draft.nats_system_nkey_file, keyfiles.read_creds)
    if all(map(found.is_set, _SYSTEM_FILES)):
        found.problem("NATS_SYSTEM_CREDS_FILE", "excludes NATS_SYSTEM_NKEY_FILE: one login only")
    if mode is Mode.OPERATOR and creds is not None and not creds.jwt:
        found.problem("NATS_SYSTEM_CREDS_FILE", "operator mode needs a whole creds file; this one holds a seed only")
    if mode is Mode.OPERATOR and found.is_set("NATS_SYSTEM_NKEY_FILE"):
        found.problem("NATS_SYSTEM_NKEY_FILE", "is for config mode: operator mode needs NATS_SYSTEM_CREDS_FILE")


def _with_control(draft: SessionVariables, session_max_seconds: int, found: Findings) -> None:
    renews = draft.session_control is SessionControl.ON and draft.session_renewal is not SessionRenewal.OFF
    if draft.session_control is SessionControl.REVOKE and found.is_set("SESSION_RENEWAL"):
        found.warn("SESSION_RENEWAL", "has no effect with SESSION_CONTROL=revoke")
    if not draft.session_label:
        found.warn(
            "SESSION_LABEL",
            "is off, so a session ends early only when its ServiceAccount is deleted or revoked by name"
            + (", and none is renewed" if renews else ""),
        )
    elif renews and session_max_seconds < SHORT_SECONDS:
        found.warn(
            "SESSION_MAX_SECONDS",
            f"under {SHORT_SECONDS} s sessions end without renewal, and a nats-py closes for good when its session expires",
        )


def _as_release(name: str) -> str:
    """Return a ServiceAccount's name as a release's: it may have dots, and be longer."""
    return name.replace(".", "-")[:73] or PROGRAM
