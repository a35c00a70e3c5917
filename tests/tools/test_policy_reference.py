"""The fields of a policy file: the schema and the reference say what the loader takes."""

import re
from pathlib import Path

import jsonschema  # type: ignore[import-untyped]
import pytest

from nats_k8s_oidc_callout.settings.policy.codes import CODES
from nats_k8s_oidc_callout.settings.policy.fields import FILE, schema
from nats_k8s_oidc_callout.settings.policy.findings import Findings
from nats_k8s_oidc_callout.settings.policy.shapes import cleaned
from nats_k8s_oidc_callout.settings.policy.strict import Node, read
from tests.settings.test_policy_codes import FILES
from tests.settings.test_policy_yaml import plain
from tools import policy_reference

EXAMPLES = sorted(
    path for path in (policy_reference.ROOT / "examples" / "policies").glob("*.yaml") if ".test." not in path.name
)
SCHEMA = jsonschema.Draft202012Validator(schema())

RULE = "version: 1\nrules:\n- {name: a, match: {}, %s}\n"


def _told(text: str) -> tuple[list[str], bool]:
    """Return the codes and fields that are told, and whether the schema takes it."""
    found = Findings()
    root = read(text.encode(), found)
    cleaned(FILE, root or Node(None, 1), "", found)
    return [str(finding) for finding in found.sorted()], SCHEMA.is_valid(plain(root))


def test_the_schema_and_the_reference_are_up_to_date() -> None:
    """`make docs` brings both up to date."""
    document = policy_reference.DOCUMENT.read_text(encoding="utf-8")

    assert policy_reference.updated(document) == document
    assert policy_reference.SCHEMA.read_text(encoding="utf-8") == policy_reference.schema_text()
    assert set(CODES) == set(re.findall(r"`([EW]\d\d)`", document))
    jsonschema.Draft202012Validator.check_schema(schema())


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_fits(path: Path) -> None:
    assert _told(path.read_text(encoding="utf-8")) == ([], True)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "1: E02 the file must be a policy, not nothing"),
        ("rules: [{name: a, match: {}}]", "1: E01 version is required"),
        ("version: 2\nrules: [{name: a, match: {}}]", "1: E01 version must be 1, not 2"),
        ("version: 1", "1: E04 rules is required"),
        ("version: 1\nrules: []", "2: E04 rules has 0 entries, but may have 1 to 1000"),
        ("version: 1\nrules: [true]", "2: E02 rules[0] must be a rule, not true (quote it if it is a text)"),
        ("version: 1\nrules: [{name: a}]", "2: E02 rule a: match is required"),
        ("version: 1\nrules: [{match: {}}]", "2: E02 rules[0].name is required"),
        (RULE % "publsh: [a]", "3: E02 rule a: publsh is not known here: did you mean 'publish'?"),
        (RULE % "publish: a", "3: E02 rule a: publish must be a list of subjects, not the text 'a'"),
        (RULE % "publish: ['']", "3: E02 rule a: publish[0] is empty, but must be a subject"),
        (RULE % f"publish: [{'a' * 257}]", "3: E14 rule a: publish[0] has more than 256 characters"),
        (RULE % f"subscribe: [{'a,' * 257}]", "3: E14 rule a: subscribe has 257 entries, but may have 0 to 256"),
        (RULE % f"jetstream: [{'lookup,' * 65}]", "3: E15 rule a: jetstream has 65 entries, but may have 0 to 64"),
        (RULE % "inbox: prived", "3: E02 rule a: inbox must be `private` or `shared`, not 'prived': did you mean 'private'?"),
        (RULE % "session: 1d", "3: E07 rule a: session '1d' is not a duration, such as 90s, 15m or 1h"),
        (RULE % "replies: {max: 0, ttl: 1s}", "3: E07 rule a: replies.max must be 1 to 65535, not 0"),
        (RULE % "replies: {max: 1}", "3: E02 rule a: replies.ttl is required"),
        (RULE % "pod: [any]", "3: E02 rule a: pod must be `any` or `required`, not a list"),
        (RULE % "annotations: {pub: [a]}", "3: E02 rule a: annotations.pub is not known here: did you mean 'publish'?"),
        (RULE % "roles: {a: b}", "3: E02 rule a: roles must be a list of roles, not a map"),
        ("version: 1\nrules: [{name: a, match: {namespaces: []}}]", "2: E02 rule a: match.namespaces has 0 entries, but may have 1 to 256"),
        ("version: 1\nrules: [{name: a, match: {namespace_labels: {}}}]", "2: E02 rule a: match.namespace_labels is empty"),
        ("version: 1\nrules: [{name: a, match: {namespace_labels: {'a b': c}}}]", "2: E02 rule a: the key of match.namespace_labels 'a b' is not the key of a label"),
        ("version: 1\nrules: [{name: a, match: {}}]\ndefaults: {publish: [a]}", "3: E02 defaults.publish is not known here"),
        ("version: 1\nrules: [{name: a, match: {}}]\nrevoked: [{reason: x}]", "3: E05 revoked[0] has none of jti, uid, workload"),
        ("version: 1\nrules: [{name: a, match: {}}]\nrevoked: [{jti: x, until: tomorrow}]", "3: E05 revoked[0].until 'tomorrow' is not a time in UTC, such as 2026-11-25T10:00:00Z"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_by_line_and_field(text: str, said: str) -> None:
    """The schema refuses the same file."""
    assert _told(text) == ([said], False)


@pytest.mark.parametrize("path", sorted(FILES.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_schema_refuses_just_what_the_form_forbids(path: Path) -> None:
    """What a text means the schema cannot tell: of our bad files it takes those whose form is good."""
    told, is_valid = _told(path.read_text(encoding="utf-8"))

    assert is_valid == (not told)
    assert is_valid == (path.stem not in ("E01", "E02"))
