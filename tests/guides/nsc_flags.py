"""Which commands and flags `nsc` has, as its own reference pages of January 2025 list them (nats-io.github.io/nsc).

One table, so that no guide and no command of ours can print a flag that nsc does not know. `authcallout`,
`add operator --sys`, `push -u` and `describe --raw` were also looked up in nsc's sources (cmd/editauthorization.go,
cmd/addoperator.go, cmd/push.go, cmd/describeaccount.go); `delete export`, `generate activation` and what `keys --sessions`
prints were tried with the real one (cd5d9e4).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

TEXT, TEXTS, SWITCH, COUNT = "string", "strings", "", "int[=1]"
"""What a flag takes: one value, values (commas or repeated), nothing, or a number that may be left out."""

_TIMES = {"start": TEXT, "expiry": TEXT}
_GRANTS = {
    "allow-pub": TEXTS,
    "allow-pubsub": TEXTS,
    "allow-sub": TEXTS,
    "deny-pub": TEXTS,
    "deny-pubsub": TEXTS,
    "deny-sub": TEXTS,
    "allow-pub-response": COUNT,
    "response-ttl": TEXT,
}
_NOT_GRANTS = {"rm": TEXTS, "rm-response-perms": SWITCH}
_LIMITS = dict.fromkeys(("conns", "leaf-conns", "data", "exports", "imports", "payload", "subscriptions"), TEXT)
_JETSTREAM = {
    f"js-{name}": TEXT
    for name in ("tier", "mem-storage", "disk-storage", "streams", "consumer", "max-mem-stream", "max-disk-stream")
} | {"js-disable": SWITCH, "js-max-bytes-required": SWITCH, "js-max-ack-pending": TEXT, "rm-js-tier": TEXT}
_DESCRIBE = {"json|J": SWITCH, "raw|R": SWITCH, "field|F": TEXT, "long-ids|W": SWITCH, "output-file|o": TEXT}
_KEYS = {"operator|o": SWITCH, "accounts|a": SWITCH, "users|u": SWITCH, "account": TEXT, "user": TEXT} | {
    "all|A": SWITCH,
    "filter|f": TEXT,
    "not-referenced": SWITCH,
}
_EVERYWHERE = {
    "all-dirs|H": TEXT,
    "config-dir": TEXT,
    "data-dir": TEXT,
    "keystore-dir": TEXT,
    "private-key|K": TEXT,
    "interactive|i": SWITCH,
}

COMMANDS: Mapping[tuple[str, ...], tuple[int, Mapping[str, str]]] = {
    ("add", "operator"): (
        1,
        {"name|n": TEXT, "url|u": TEXT, "generate-signing-key": SWITCH, "sys|s": SWITCH, "force": SWITCH, **_TIMES},
    ),
    ("add", "account"): (1, {"name|n": TEXT, "public-key|k": TEXT, **_TIMES, **_GRANTS}),
    ("add", "user"): (
        1,
        {"account|a": TEXT, "name|n": TEXT, "public-key|k": TEXT, "bearer": SWITCH, "tag": TEXTS}
        | {"source-network": TEXTS, **_TIMES, **_GRANTS},
    ),
    ("add", "export"): (
        0,
        {"account|a": TEXT, "name|n": TEXT, "subject|s": TEXT, "private|p": SWITCH, "service|r": SWITCH}
        | {"response-type": TEXT, "account-token-position": TEXT, "allow-trace": SWITCH},
    ),
    ("add", "import"): (
        0,
        {"account|a": TEXT, "name|n": TEXT, "local-subject|s": TEXT, "remote-subject": TEXT, "src-account": TEXT}
        | {"service": SWITCH, "share": SWITCH, "token|u": TEXT, "allow-trace": SWITCH},
    ),
    ("edit", "operator"): (
        0,
        {"account-jwt-server-url|u": TEXT, "system-account": TEXT, "sk": TEXTS, "rm-sk": TEXTS, "tag": TEXTS}
        | {"service-url|n": TEXTS, "require-signing-keys": SWITCH, "rm-account-jwt-server-url": SWITCH, **_TIMES},
    ),
    ("edit", "account"): (
        1,
        {"name|n": TEXT, "sk": TEXTS, "rm-sk": TEXTS, "tag": TEXTS, "description": TEXT, "disallow-bearer": SWITCH}
        | {**_LIMITS, **_JETSTREAM, **_TIMES, **_GRANTS, **_NOT_GRANTS},
    ),
    ("edit", "user"): (
        1,
        {"account|a": TEXT, "name|n": TEXT, "bearer": SWITCH, "tag": TEXTS, "payload": TEXT, "conn-type": TEXTS}
        | {**_TIMES, **_GRANTS, **_NOT_GRANTS},
    ),
    ("edit", "authcallout"): (
        1,
        {"account|a": TEXT, "auth-user": TEXTS, "allowed-account": TEXTS, "curve|x": TEXT, "disable": SWITCH}
        | {"rm-auth-user": TEXTS, "rm-allowed-account": TEXTS, "rm-curve": SWITCH},
    ),
    ("generate", "creds"): (0, {"account|a": TEXT, "name|n": TEXT, "output-file|o": TEXT}),
    ("generate", "config"): (
        0,
        {"mem-resolver": SWITCH, "nats-resolver": SWITCH, "nats-resolver-cache": SWITCH, "config-file": TEXT}
        | {"force|F": SWITCH, "sys-account": TEXT},
    ),
    ("generate", "nkey"): (
        0,
        {"account|a": SWITCH, "curve|x": SWITCH, "operator|o": SWITCH, "user|u": SWITCH, "store|S": SWITCH},
    ),
    ("describe", "operator"): (1, {"name|n": TEXT, **_DESCRIBE}),
    ("describe", "account"): (1, {"name|n": TEXT, **_DESCRIBE}),
    ("describe", "user"): (1, {"account|a": TEXT, "name|n": TEXT, **_DESCRIBE}),
    ("generate", "activation"): (
        0,
        {
            "account|a": TEXT,
            "subject|s": TEXT,
            "target-account|t": TEXT,
            "output-file|o": TEXT,
            "push": SWITCH,
            **_TIMES,
        },
    ),
    ("delete", "export"): (0, {"account|a": TEXT, "subject|s": TEXT}),
    ("export", "keys"): (
        0,
        {**_KEYS, "curves": SWITCH, "curve": TEXT, "dir|d": TEXT, "force|F": SWITCH, "remove|R": SWITCH}
        | {"include-jwts": SWITCH},
    ),
    ("push",): (
        0,
        {"account|a": TEXT, "account-jwt-server-url|u": TEXT, "all|A": SWITCH, "force|F": SWITCH, "diff|D": SWITCH}
        | {"prune|P": SWITCH, "account-removal|R": TEXT, "system-account": TEXT, "system-user": TEXT, "timeout": TEXT},
    ),
}
"""Each command, how many words it takes beside its flags, and its flags as `long|s`."""


class Refused(Exception):
    """What nsc would say to such a command, before it exits with 1."""


@dataclass(frozen=True, slots=True)
class Call:
    """A command with its flags by their long names."""

    command: tuple[str, ...]
    words: Sequence[str] = ()
    flags: Mapping[str, list[str]] = field(default_factory=dict)

    def has(self, flag: str) -> bool:
        return flag in self.flags

    def one(self, flag: str, default: str = "") -> str:
        return self.flags[flag][-1] if flag in self.flags else default

    def all(self, flag: str) -> list[str]:
        return [part for value in self.flags.get(flag, ()) for part in value.split(",")]

    @property
    def name(self) -> str:
        """The flag --name, or the word that may stand for it."""
        return self.one("name") or (self.words[0] if self.words else "")


def parse(arguments: Sequence[str]) -> Call:
    """Read a command line as nsc does; raise Refused with its words."""
    command = next((known for known in COMMANDS if tuple(arguments[: len(known)]) == known), None)
    if command is None:
        raise Refused(f'unknown command "{" ".join(arguments[:2])}" for "nsc"')
    most, flags = COMMANDS[command]
    by_name, by_letter = _index({**flags, **_EVERYWHERE})
    words: list[str] = []
    given: dict[str, list[str]] = {}
    rest = list(arguments[len(command) :])
    while rest:
        part = rest.pop(0)
        if not part.startswith("-") or part == "-":
            words.append(part)
            continue
        name, equals, value = _flag(part, by_name, by_letter)
        takes = by_name[name]
        if takes in (SWITCH, COUNT):
            value = value or "1"
        elif not value and not equals:
            if not rest:
                raise Refused(f"flag needs an argument: {part}")
            value = rest.pop(0)
        given.setdefault(name, []).append(value)
    if len(words) > most:
        raise Refused(f"accepts at most {most} arg(s), received {len(words)}")
    return Call(command, words, given)


def _flag(part: str, by_name: Mapping[str, str], by_letter: Mapping[str, str]) -> tuple[str, str, str]:
    if part.startswith("--"):
        name, equals, value = part[2:].partition("=")
        if name not in by_name:
            raise Refused(f"unknown flag: --{name}")
        return name, equals, value
    if part[1] not in by_letter:
        raise Refused(f"unknown shorthand flag: {part[1]!r} in {part}")
    return by_letter[part[1]], "", part[2:]


def _index(flags: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    long = {name.partition("|")[0]: takes for name, takes in flags.items()}
    short = {name.partition("|")[2]: name.partition("|")[0] for name in flags if "|" in name}
    return long, short
