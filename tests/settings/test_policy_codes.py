"""Each code of `policy check`: a file that triggers it and nothing else, at the line that says `# here`."""

from pathlib import Path

import pytest

from nats_k8s_oidc_callout.settings.policy import Base, Finding, PolicyFile, load
from nats_k8s_oidc_callout.settings.policy.codes import CODES
from nats_k8s_oidc_callout.settings.policy.review import review

FILES = Path(__file__).parent / "policies"
# What E21 finds hangs on the settings, too: tests/cli has it.
ERRORS = [path for path in sorted(FILES.glob("E*.yaml")) if path.stem != "E21"]
WARNINGS = sorted(FILES.glob("W*.yaml"))
NOW = 1_795_600_800.0
BASE = Base(account="APP", callout_account="AUTH")

RULE = "version: 1\naccounts: ['t-*']\nrules:\n- {name: a, match: {%s}, %s}\n"


def here(text: str) -> int:
    """Return the line that a file marks."""
    return next(number for number, line in enumerate(text.splitlines(), 1) if "# here" in line)


def _warned(text: str) -> tuple[Finding, ...]:
    loaded = load(text.encode(), BASE)
    assert isinstance(loaded, PolicyFile), loaded
    return review(loaded, NOW)


def _errors(text: str, base: Base = BASE) -> list[str]:
    loaded = load(text.encode(), base)
    return [] if isinstance(loaded, PolicyFile) else [str(finding) for finding in loaded]


@pytest.mark.parametrize("path", ERRORS, ids=lambda path: path.stem)
def test_each_error_has_a_file(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    loaded = load(text.encode(), BASE)

    assert not isinstance(loaded, PolicyFile)
    assert [(here(text), path.stem)] == [(finding.line, finding.code) for finding in loaded]


@pytest.mark.parametrize("path", WARNINGS, ids=lambda path: path.stem)
def test_each_warning_has_a_file(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    padding = "# longer\n" * 30_000 if path.stem == "W13" else ""

    assert [(here(text), path.stem)] == [(finding.line, finding.code) for finding in _warned(text + padding)]


def test_every_code_has_a_file() -> None:
    assert set(CODES) == {path.stem for path in FILES.glob("*.yaml")}


@pytest.mark.parametrize(
    ("match", "fields", "said"),
    [
        ("", "account: SYS", 'E20 rule a: account "SYS": no client is ever placed there, since it is the system account'),
        ("", "account: $sys", 'E20 rule a: account "$sys": no client is ever placed there, since it is the system account'),
        ("", "account: Auth", 'E20 rule a: account "Auth": no client is ever placed there, since it is the callout account'),
        ("", "account: $G", 'E20 rule a: account "$G": no client is ever placed there, since only NATS_ACCOUNT can choose the global account'),
        ("", "account: 'a b'", 'E20 rule a: account "a b" is no name: it has white space or a wildcard'),
        ("", "account: '{root}'", 'E12 rule a: account "{root}" has {root}, which may have dots'),
        ("", "root: '{root}.x'", 'E10 rule a: root "{root}.x" is made of itself'),
        ("", "root: 'a.>'", 'E14 rule a: root "a.>" has a wildcard, but is a beginning: it grants `<root>.>`'),
        ("", "root: none, publish: ['{root}.x']", "E10 rule a: {root} is not there: root is none, or is made of itself"),
        ("", "publish: ['{a-b}.x']", 'E10 rule a: publish "{a-b}.x" has a brace that is not part of a {variable}'),
        ("", "session: 5s", "E07 rule a: session 5s must be 10s to 24h"),
        ("", "session: 25h", "E07 rule a: session 25h must be 10s to 24h"),
        ("", "replies: {max: 1, ttl: 25h}", "E07 rule a: replies.ttl 25h must be 1s to 24h"),
        ("", "networks: ['10.0.0.1']", 'E07 rule a: networks "10.0.0.1": a CIDR has a / and the bits of its prefix'),
        ("namespaces: ['{namespace}']", "pod: any", 'E08 rule a: match.namespaces "{namespace}" captures {namespace}, which every rule has already'),
        ("namespaces: ['{x}'], service_accounts: ['{x}']", "pod: any", "E08 rule a: match.service_accounts captures {x}, which another field captures"),
        ("", "jetstream: ['{name}:ORDERS']", 'E15 rule a: jetstream "{name}:ORDERS" has a variable for a verb'),
        ("", "jetstream: ['consume:{name}{namespace}']", 'E12 rule a: jetstream "consume:{name}{namespace}" has two variables: the values x-y and z would meet x and y-z'),
        ("", "jetstream: ['consume:S/c/a.{name}x']", 'E11 rule a: jetstream "consume:S/c/a.{name}x" has a variable that is not a whole token: its value could be read on'),
        ("", "jetstream: ['publish:a.{name}x']", 'E11 rule a: jetstream "publish:a.{name}x" has a variable that is not a whole token: its value could be read on'),
        ("", "jetstream: ['consume:S_*']", 'E15 rule a: jetstream "consume:S_*" names no stream or bucket: a name has letters, digits, - and _'),
        ("", "annotations: {jetstream: ['consume:{name}*']}", 'E12 rule a: annotations.jetstream "consume:{name}*" has a variable beside a *, where _ must end its value, and begin it behind a *'),
        ("", "annotations: {jetstream: ['consume*:S']}", 'E15 rule a: annotations.jetstream "consume*:S" has none of the verbs'),
        ("", "annotations: {subscribe: ['*']}", 'E13 rule a: annotations.subscribe "*": a client may subscribe ">" under it; write ">"'),
        ("", "refuse: x, account: A, pod: any", "E06 rule a: refuse excludes account"),
    ],
)  # fmt: skip
def test_what_a_rule_cannot_say(match: str, fields: str, said: str) -> None:
    found = _errors(RULE % (match, fields))

    assert found[0].startswith(f"4: {said}")
    assert (2 if "refuse" in fields else 1) == len(found)


@pytest.mark.parametrize(
    ("fields", "base"),
    [
        ("account: 't-{namespace}'", BASE),
        ("account: $G", Base(account="$G")),
        ("account: $G", Base()),
        ("jetstream: ['consume:{namespace}_S/{name}/a.{name}.>', lookup]", BASE),
        ("annotations: {jetstream: ['consume:{name}_*', 'publish:{name}.*'], publish: ['$KV.a.>'], subscribe: ['*.>']}", BASE),
        ("root: 'a.{name}', publish: ['{root}.x']", BASE),
        ("networks: ['10.0.0.0/8', '::/0'], kinds: [mqtt], session: 10s", BASE),
    ],
)  # fmt: skip
def test_what_a_rule_can_say(fields: str, base: Base) -> None:
    assert [] == _errors(RULE % ("", fields), base)


def test_every_mistake_is_told_at_once() -> None:
    """Those of the form and those of the meaning, and a mistake in `defaults` once, whoever takes it."""
    text = (
        "version: 1\ndefaults: {root: '>', session: 1s}\nroles: {r: {publish: ['a..b', '{team}']}}\nrules:\n"
        "- {name: a, match: {}, publsh: [], account: SYS}\n- {name: b, match: {}, roles: [r, s]}\naccounts: ['{x}']\n"
    )

    assert [line.split(" ", 2)[:2] for line in _errors(text)] == [
        ["2:", "E07"], ["2:", "E14"], ["3:", "E14"], ["5:", "E02"], ["5:", "E20"], ["6:", "E03"], ["6:", "E10"], ["7:", "E08"],
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("entry", "field", "most"),
    [
        # Eleven entries each.
        ("consume:S{}", "jetstream: [%s]", 23),
        ("a.{}", "publish: [%s]", 256),
        ("a.{}", "subscribe: [%s]", 256),
        ("a.{}", "deny: {publish: [%s]}", 256),
        ("a.{}", "deny: {subscribe: [%s]}", 256),
    ],
)
def test_what_the_platform_gives_is_never_cut(entry: str, field: str, most: int) -> None:
    """A grant that would not hold all that its roles give is an error of the file."""

    def told(number: int) -> list[str]:
        listed = [entry.format(i) for i in range(number)]
        roles = "".join(f"  r{i}: {{{field % ','.join(listed[i::2])}}}\n" for i in range(2))
        return _errors(f"version: 1\nroles:\n{roles}rules:\n- {{name: a, match: {{}}, roles: [r0, r1]}}\n")

    assert [] == told(most)
    assert told(most + 1)[0].startswith("6: E14 rule a: roles and intents included, it has 2")


@pytest.mark.parametrize(
    ("code", "rules", "said"),
    [
        ("W01", "- {name: a, match: {}}\n- {name: b, match: {namespaces: [x]}}", ["b"]),
        ("W01", "- {name: a, match: {namespaces: ['*']}}\n- {name: b, match: {}}", []),
        ("W01", "- {name: a, match: {namespaces: [x], service_accounts: [s]}}\n- {name: b, match: {namespaces: [x]}}", []),
        ("W01", "- {name: a, match: {namespace_labels: {k: '*'}}}\n- {name: b, match: {namespace_labels: {k: v, l: w}}}", ["b"]),
        ("W01", "- {name: a, match: {namespace_labels: {k: v}}}\n- {name: b, match: {namespace_labels: {k: '*'}}}", []),
        ("W01", "- {name: a, match: {namespace_labels: {k: '*'}}}\n- {name: b, match: {namespace_labels: {l: v}}}", []),
        ("W01", "- {name: a, match: {namespaces: [x, 'y*']}}\n- {name: b, match: {namespaces: ['y-*', x]}}", ["b"]),
        ("W01", "- {name: a, match: {namespaces: [x]}, refuse: r}\n- {name: b, match: {namespaces: [x]}}", ["b"]),
        ("W02", "- {name: a, match: {}, replies: {max: 2, ttl: 1s}}", ["a"]),
        ("W02", "- {name: a, match: {}, root: r, replies: {max: 2, ttl: 1s}}", []),
        ("W02", "- {name: a, match: {}, root: r, replies: {max: 2, ttl: 1s}, deny: {publish: [r.x]}}", ["a"]),
        ("W02", "- {name: a, match: {}, annotations: {publish: [x]}, deny: {publish: [x]}}", []),
        ("W02", "- {name: a, match: {}, root: r, replies: {max: 2, ttl: 1s}}\n- {name: b, match: {}, root: s}", ["a"]),
        ("W02", "- {name: a, match: {}, root: r, replies: {max: 2, ttl: 1s}}\n- {name: b, match: {}, root: s, account: B}", []),
        ("W02", "- {name: a, match: {}, replies: {max: 2, ttl: 1s}, account: 't-{namespace}'}", []),
        ("W04", "- {name: a, match: {}, publish: [x.y], deny: {publish: ['x.>']}}", ["a"]),
        ("W04", "- {name: a, match: {}, root: r, deny: {publish: ['r.>']}}", ["a"]),
        ("W04", "- {name: a, match: {}, root: none, subscribe: ['x.*'], deny: {subscribe: ['x.*', x.y.z]}}", []),
        ("W04", "- {name: a, match: {}, root: none, publish: [a.x], deny: {publish: ['{namespace}.x', _INBOX.x]}}", []),
        ("W04", "- {name: a, match: {}, deny: {publish: ['{namespace}.x', a.b, _INBOX.x]}}", []),
        ("W04", "- {name: a, match: {}, root: none, annotations: any, deny: {publish: [x]}}", []),
        ("W04", "- {name: a, match: {}, root: none, annotations: {publish: ['x.>']}, deny: {publish: [x.y, y]}}", ["a"]),
        ("W04", "- {name: a, match: {}, root: none, jetstream: [lookup], deny: {publish: [$JS.API.INFO]}}", []),
        ("W04", "- {name: a, match: {}, root: none, annotations: {jetstream: ['kv-read:*']}, deny: {publish: [$JS.API.INFO]}}", []),
        ("W05", "- {name: a, match: {namespaces: ['x-*']}, publish: [events]}\n- {name: b, match: {namespaces: ['y-*']}}", []),
        ("W05", "- {name: a, match: {namespaces: [shop]}, publish: [events]}\n- {name: b, match: {namespaces: [pay, events]}}", []),
        ("W05", "- {name: a, match: {}, publish: [e.x, e.y]}\n- {name: b, match: {}, root: none, subscribe: [e.z]}", ["a"]),
        ("W05", "- {name: a, match: {}, publish: [EVENTS]}\n- {name: b, match: {}}", []),
        ("W05", "- {name: a, match: {}, publish: [events]}\n- {name: b, match: {}, account: B}", []),
        ("W05", "- {name: a, match: {namespaces: [shop]}, publish: [events]}\n- {name: b, match: {namespaces: [pay]}}", []),
        ("W05", "- {name: a, match: {}, publish: [events], root: r}\n- {name: b, match: {}, root: 'ns.{namespace}'}", []),
        ("W05", "- {name: a, match: {}, publish: [events], root: r}\n- {name: b, match: {namespace_labels: {k: '{t}'}}, root: '{t}'}", []),
        ("W05", "- {name: a, match: {}, publish: [events], root: r}\n- {name: b, match: {namespaces: ['x-{t}']}, root: '{t}'}", ["b"]),
        ("W05", "- {name: a, match: {}, publish: [events], root: r}\n- {name: b, match: {}, root: '{name}'}", ["b"]),
        ("W05", "- {name: a, match: {}}\n- {name: b, match: {namespace_labels: {k: '{t}'}}, root: '{t}'}", ["a"]),
        ("W06", "- {name: a, match: {}, jetstream: ['consume:S/c', 'kv-read:B', 'consume:S/c/f.>', lookup]}", []),
        ("W06", "- {name: a, match: {}, root: r, jetstream: ['kv-watch:B']}", []),
        ("W06", "- {name: a, match: {}, root: r, jetstream: ['object-read:B']}\n- {name: b, match: {}, root: s}", ["a"]),
        ("W07", "- {name: a, match: {namespaces: [x]}, publish: ['s.{name}']}", []),
        ("W07", "- {name: a, match: {namespaces: [x, y]}, publish: ['s.{name}']}", ["a"]),
        ("W07", "- {name: a, match: {}, publish: ['s.{namespace}.{name}']}", []),
        ("W07", "- {name: a, match: {}, root: '{namespace}', publish: ['{root}.{name}']}", []),
        ("W07", "- {name: a, match: {}, root: 'x.{name}', account: 't-{namespace}'}", []),
        ("W07", "- {name: a, match: {}, root: 'x.{name}'}", ["a"]),
        ("W11", "- {name: a, match: {}, publish: ['$JS.>']}", ["a"]),
        ("W11", "- {name: a, match: {}, subscribe: ['_INBOX.*']}", ["a"]),
        ("W11", "- {name: a, match: {}, publish: ['$JS.API.INFO', 'x.>']}", []),
        ("W12", "- {name: a, match: {}, annotations: any}", ["a"]),
        ("W14", "- {name: a, match: {namespaces: ['{a}-{b}']}}", []),
        ("W14", "- {name: a, match: {namespaces: ['{a}-x']}, root: '{a}'}", []),
        ("W15", "- {name: a, match: {}, session: 60s}", []),
        ("W14", "- {name: a, match: {service_accounts: ['{a}-{b}']}, annotations: {publish: ['{b}.>']}}", ["a"]),
    ],
)  # fmt: skip
def test_when_a_warning_is_due(code: str, rules: str, said: list[str]) -> None:
    found = _warned(f"version: 1\naccounts: ['*']\nrules:\n{rules}\n")

    assert said == [finding.rule for finding in found if finding.code == code]


def test_a_role_that_nobody_takes() -> None:
    found = _warned("version: 1\nroles:\n  r: {publish: [a]}\nrules: [{name: a, match: {}}]\n")

    assert ["3: W01 no rule takes role r"] == list(map(str, found))
