"""What a responder needs to look after its sessions, as the configuration of NATS says it (docs/SESSIONS.md).

By `imports` its own login is enough: the system account exports four subjects, and the callout account imports them. By
`login` it has a second login, a user of the system account.
"""

import json
from typing import NamedTuple

IMPORTS, LOGIN = WAYS = ("imports", "login")
KICK_WARNING = "KICK knows no accounts: whoever may publish it can disconnect every client and every leaf node."
_PEOPLE = "Who can list sessions and end them (docs/INCIDENTS.md)."
_NO_PEOPLE = "Nobody can list sessions or end them yet: `keys --system-user U…` adds who can (docs/INCIDENTS.md)."


class Shared(NamedTuple):
    """A subject of the system account, and its name in the callout account."""

    subject: str
    local: str
    name: str
    kind: str = "stream"
    many: bool = False
    """Whether several servers answer."""


SHARED = (
    Shared("$SYS.REQ.ACCOUNT.*.CONNZ", "nko.connz.*", "connz", "service", many=True),
    Shared("$SYS.REQ.SERVER.*.KICK", "nko.kick.*", "kick", "service"),
    Shared("$SYS.ACCOUNT.*.CONNECT", "nko.ev.*.CONNECT", "connect"),
    Shared("$SYS.ACCOUNT.*.DISCONNECT", "nko.ev.*.DISCONNECT", "disconnect"),
)


class Rights(NamedTuple):
    """May publish, may subscribe to."""

    publish: list[str]
    subscribe: list[str]


_INBOX, _CONTROL = "_INBOX_sess.>", "nko.control"
_CALLOUT = ["$SYS.REQ.USER.AUTH", "$SYS.ACCOUNT.CLIENT.AUTH.ERR"]
PEOPLE = Rights(["$SYS.REQ.SERVER.PING", "$SYS.REQ.SERVER.PING.CONNZ", "$SYS.REQ.SERVER.*.KICK"], ["_INBOX.>"])
SESSION_USER = Rights(
    [one.subject for one in SHARED if one.kind == "service"],
    [_INBOX, *(one.subject for one in SHARED if one.kind == "stream")],
)
RESPONDER = {
    "": Rights([], _CALLOUT),
    IMPORTS: Rights(["nko.connz.*", "nko.kick.*", _CONTROL], [*_CALLOUT, _INBOX, "nko.ev.>", _CONTROL]),
    LOGIN: Rights([_CONTROL], [*_CALLOUT, _INBOX, _CONTROL]),
}
"""Of the responder's own login, by the way to the system account; `""` without sessions."""


class Plan(NamedTuple):
    """Which way, and public keys of users of the system account: of people, and of the responder's second login."""

    way: str = ""
    people: str = ""
    session: str = ""

    @property
    def users(self) -> list[tuple[str, str, str, Rights]]:
        """The users of the system account: a word for each, its key, who that is, its rights."""
        found = [
            ("system", self.people, _PEOPLE, PEOPLE),
            ("session", self.session, f"The responder, for sessions (docs/SESSIONS.md). {KICK_WARNING}", SESSION_USER),
        ]
        return [one for one in found if one[1]]

    @property
    def comments(self) -> list[str]:
        """What stands above the system account where it has no user for people."""
        return [] if self.people else [_NO_PEOPLE]

    def exports(self, callout: str, dash: str = "") -> list[str]:
        """Return a line for each export, with `callout` as the language writes that name, behind a dash in YAML."""
        if self.way != IMPORTS:
            return []
        lines = [
            f'{dash}{{{one.kind}: "{one.subject}",{" response_type: stream," if one.many else ""} accounts: [{callout}]}}'
            for one in SHARED
        ]
        return [f"# For sessions (docs/SESSIONS.md). {KICK_WARNING}", *lines]

    def imports(self, dash: str = "") -> list[str]:
        """Return a line for each import of the callout account."""
        if self.way != IMPORTS:
            return []
        return [
            f'{dash}{{{one.kind}: {{account: SYS, subject: "{one.subject}"}}, to: "{one.local}"}}' for one in SHARED
        ]


def listed(subjects: list[str]) -> str:
    """Return a list as both languages of configuration write it."""
    return json.dumps(subjects)


def commands(way: str, callout: str) -> list[str]:
    """Return nsc's commands; what they do stands in comments, so that a shell can run all of it."""
    if not way:
        return []
    rights = RESPONDER[way]
    more = [one for one in rights.subscribe if one not in _CALLOUT]
    user = f"nsc edit user --account {callout} --name auth-service{_allowed(Rights(rights.publish, more))}"
    if way == LOGIN:
        return [
            "# Sessions (docs/SESSIONS.md), by a login in SYS: nsc generate creds --account SYS --name sessions",
            f"# {KICK_WARNING}",
            f"nsc add user --account SYS --name sessions{_allowed(SESSION_USER)}",
            user,
        ]
    target = f'"$(nsc describe account --name {callout} --field sub | tr -d \'"\')"'
    lines = [
        "# Sessions (docs/SESSIONS.md), by imports from SYS. The exports are private: they need an activation.",
        f"# {KICK_WARNING}",
        "# SYS as nsc makes it exports more than two of these, and exports may not overlap: who imports those loses them.",
        "nsc delete export --account SYS --subject '$SYS.REQ.ACCOUNT.*.*'",
        "nsc delete export --account SYS --subject '$SYS.ACCOUNT.*.>'",
    ]
    for one in SHARED:
        activation = f"{one.name}.activation"
        made = f"nsc generate activation --account SYS --subject '{one.subject}' --target-account {target}"
        kind = (" --service" if one.kind == "service" else "") + (" --response-type Stream" if one.many else "")
        lines += [
            f"nsc add export --account SYS --private{kind} --subject '{one.subject}'",
            f"{made} --output-file {activation}",
            f"nsc add import --account {callout} --token {activation} --local-subject '{one.local}'",
        ]
    return [*lines, user]


def _allowed(rights: Rights) -> str:
    return f" --allow-pub '{','.join(rights.publish)}' --allow-sub '{','.join(rights.subscribe)}'"
