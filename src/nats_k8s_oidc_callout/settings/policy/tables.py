"""The test table of a policy: what workloads should come to, case by case. As strict as the policy file itself."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from nats_k8s_oidc_callout.core.grants.cases import REFUSALS, Case, Expect, Replies
from nats_k8s_oidc_callout.core.grants.terms import ReplyMode
from nats_k8s_oidc_callout.core.model import ConnectionKind, Workload
from nats_k8s_oidc_callout.core.nats import subjects
from nats_k8s_oidc_callout.settings.policy import fields
from nats_k8s_oidc_callout.settings.policy.findings import Findings
from nats_k8s_oidc_callout.settings.policy.shapes import (
    Choice,
    Either,
    Field,
    ListOf,
    Map,
    MapOf,
    Number,
    Schema,
    Text,
    cleaned,
)
from nats_k8s_oidc_callout.settings.policy.strict import Node, Value, read
from nats_k8s_oidc_callout.settings.policy.values import entries, items, moment, seconds

CASES_MAX = 10_000
SETTINGS = (
    *("NATS_ACCOUNT", "INBOX_MODE", "REPLY_MODE", "ALLOW_RESPONSES_MAX", "ALLOW_RESPONSES_TTL_SECONDS"),
    *("SESSION_MAX_SECONDS", "JETSTREAM_GRANTS", "REQUIRE_POD_BOUND", "SA_ANNOTATION_PREFIX"),
)
"""The settings that silent fields of a policy take their value from."""
DEFAULTS: Mapping[str, str] = {"NATS_ACCOUNT": "APP"}


class Table(NamedTuple):
    """A table that can be run."""

    settings: Mapping[str, str]
    """By their variables, those of SETTINGS that it sets."""
    now: float | None
    """Unix seconds; None is whenever it runs."""
    cases: tuple[Case, ...]
    lines: tuple[int, ...]
    """Of the cases."""


@dataclass(frozen=True, slots=True)
class _Flag:
    words: str = "true or false"

    def takes(self, value: Value) -> bool:
        return isinstance(value, bool)

    def clean(self, node: Node, where: str, found: Findings) -> Node | None:  # noqa: ARG002  # as every shape
        return node

    def schema(self) -> Schema:
        return {"type": "boolean"}


@dataclass(frozen=True, slots=True)
class _Anything:
    """A text that may be empty."""

    words: str = "a text"

    def takes(self, value: Value) -> bool:
        return isinstance(value, str)

    def clean(self, node: Node, where: str, found: Findings) -> Node | None:  # noqa: ARG002  # as every shape
        return node

    def schema(self) -> Schema:
        return {"type": "string"}


@dataclass(frozen=True, slots=True)
class _Pattern(Text):
    """A subject that NATS could grant."""

    def clean(self, node: Node, where: str, found: Findings) -> Node | None:
        problem = subjects.problem(str(node.value))
        if not problem:
            return node
        found.add(node.line, self.code, f"{where} {str(node.value)[:80]!r} {problem}")
        return None


_TEXT = Text("a text", most=1024)
_WORKLOAD = Text(fields.WORKLOAD.words, fields.WORKLOAD.pattern)
_VALUE = Either(Either(_TEXT, Number(0, 10**12, "E07")), _Flag())
_PATTERNS = ListOf(_Pattern("a subject", code="E14"), "a list of subjects", fields.ENTRIES_MAX)
_EXPECT = Map(
    "a map of expectations",
    (
        Field("rule", fields.NAME, "This rule decides."),
        Field("account", Text("an account's name", most=128), "Its clients land in this account."),
        Field("session", fields.DURATION, "A session lasts so long at the most."),
        Field("replies", Either(Choice(("inbox", "none")), fields.REPLIES), "How it may answer requests."),
        Field("refused", Choice(REFUSALS), "It is refused for this reason. Excludes the rest but `rule`."),
        Field("publish", _PATTERNS, "All of each may be published: the allows cover it, and no denial meets it."),
        Field("no_publish", _PATTERNS, "Nothing of each may be published."),
        Field("subscribe", _PATTERNS, "The server takes this subscription, and nothing of it is denied."),
        Field("no_subscribe", _PATTERNS, "No message on it can be received, whatever is subscribed."),
        Field("left_out", ListOf(_TEXT, "a list of entries", fields.ENTRIES_MAX), "Just these entries do not count."),
    ),
    some_of=(
        *("rule", "account", "session", "replies", "refused"),
        *("publish", "no_publish", "subscribe", "no_subscribe", "left_out"),
    ),
)
_CONNECTION = Map(
    "a map of kind, pod and host",
    (
        Field("kind", Choice(tuple(ConnectionKind)), "How the client connects.", "`nats`"),
        Field("pod", _Flag(), "Whether a pod holds its token.", "`true`"),
        Field("host", Text("an address", most=64), "Where it connects from, as the server sees it."),
    ),
)
_CASE = Map(
    "a case",
    (
        Field("workload", _WORKLOAD, "`namespace/name`.", missing="E02"),
        Field("labels", MapOf("a map of labels", fields.KEY, _Anything()), "Of its namespace.", "none"),
        Field("annotations", MapOf("a map of annotations", _TEXT, _Anything()), "Of the ServiceAccount.", "none"),
        Field("connection", _CONNECTION, "How it connects.", "`{kind: nats, pod: true}`"),
        Field("uid", _TEXT, "Of the ServiceAccount, for `revoked`."),
        Field("jti", _TEXT, "Of its token, for `revoked`."),
        Field("issued", fields.TIME, "When its token was, for `revoked`.", "now"),
        Field("expect", _EXPECT, "What must hold.", missing="E02"),
    ),
)
TABLE = Map(
    "a table",
    (
        Field("settings", MapOf("a map of settings", _TEXT, _VALUE), "What silent fields take.", "`NATS_ACCOUNT: APP`"),
        Field("now", fields.TIME, "When all of it happens, for `until`.", "now"),
        Field("cases", ListOf(_CASE, "a list of cases", CASES_MAX, least=1), "In any order.", missing="E02"),
    ),
)
HEADINGS = (
    ("A table", TABLE),
    ("A case", _CASE),
    ("`connection`", _CONNECTION),
    ("`expect`", _EXPECT),
)
"""The maps, in the order of the reference."""


def read_table(content: bytes, found: Findings) -> Table | None:
    """Return the table that a file holds; None when there is a problem, and all are noted."""
    root = read(content, found)
    whole = None if root is None else cleaned(TABLE, root, "", found)
    if whole is None:
        return None
    table = entries(whole)
    settings = {**DEFAULTS, **{name: _word(node) for name, node in entries(table.get("settings")).items()}}
    for name, node in entries(table.get("settings")).items():
        if name not in SETTINGS:
            found.add(node.line, "E02", f"settings.{name} is none of {', '.join(SETTINGS)}")
    nodes = items(table.get("cases"))
    cases = tuple(_case(node, f"cases[{at}]", found) for at, node in enumerate(nodes))
    now = moment(table.get("now"), "now", found)
    if found.sorted():
        return None
    return Table(settings, now, cases, tuple(node.line for node in nodes))


def _refusal_alone(expect: Mapping[str, Node], found: Findings) -> None:
    others = [name for name in expect if name not in ("refused", "rule")]
    if "refused" in expect and others:
        found.add(expect["refused"].line, "E02", f"refused excludes {', '.join(others)}: who is refused has none of it")


def _case(node: Node, where: str, found: Findings) -> Case:
    """Return what is right of a case; what is not is noted, by whoever cleaned it or here."""
    case = entries(node)
    connection, expect = entries(case.get("connection")), entries(case.get("expect"))
    _refusal_alone(expect, found)
    namespace, _, name = _text(case.get("workload")).partition("/")
    has_pod = "pod" not in connection or connection["pod"].value is True
    workload = Workload(namespace, name, _text(case.get("uid")), "pod" if has_pod else "", _text(case.get("jti")))
    return Case(
        workload=workload,
        labels=_texts(case.get("labels")),
        annotations=_texts(case.get("annotations")),
        kind=ConnectionKind(_text(connection.get("kind")) or ConnectionKind.NATS),
        host=_text(connection.get("host")),
        issued=moment(case.get("issued"), f"{where}.issued", found),
        expect=_expect(expect, f"{where}.expect", found),
    )


def _expect(expect: Mapping[str, Node], where: str, found: Findings) -> Expect:
    session = expect.get("session")
    return Expect(
        rule=_text(expect.get("rule")) or None,
        account=_text(expect.get("account")) or None,
        refused=_text(expect.get("refused")) or None,
        publish=_patterns(expect, "publish"),
        no_publish=_patterns(expect, "no_publish"),
        subscribe=_patterns(expect, "subscribe"),
        no_subscribe=_patterns(expect, "no_subscribe"),
        session=None if session is None else seconds(session, f"{where}.session", fields.SESSION_SECONDS, found),
        replies=_replies(expect.get("replies"), f"{where}.replies.ttl", found),
        left_out=tuple(map(_text, items(expect["left_out"]))) if "left_out" in expect else None,
    )


def _replies(node: Node | None, where: str, found: Findings) -> Replies | None:
    if node is None:
        return None
    if isinstance(node.value, str):
        return ReplyMode(node.value)
    most, ttl = (entries(node).get(name) for name in ("max", "ttl"))
    if most is None or ttl is None:
        # Noted already.
        return None
    return int(_word(most)), float(seconds(ttl, where, fields.TTL_SECONDS, found) or 0)


def _patterns(expect: Mapping[str, Node], side: str) -> tuple[str, ...]:
    return tuple(map(_text, items(expect.get(side))))


def _texts(node: Node | None) -> dict[str, str]:
    return {key: _text(value) for key, value in entries(node).items()}


def _text(node: Node | None) -> str:
    return "" if node is None else str(node.value)


def _word(node: Node) -> str:
    """Return a value as a variable of the environment has it."""
    return str(node.value).lower() if isinstance(node.value, bool) else str(node.value)
