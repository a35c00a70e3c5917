"""The YAML of a policy file: what stands for what, and what is refused as a whole."""

import time
from typing import Any

import pytest

from nats_k8s_oidc_callout.settings.policy.findings import MOST, Findings
from nats_k8s_oidc_callout.settings.policy.strict import Node, read


def plain(node: Node | None) -> Any:
    """Return what a node holds, without lines."""
    value = node.value if node else None
    if isinstance(value, list):
        return [plain(item) for item in value]
    return {key: plain(item) for key, item in value.items()} if isinstance(value, dict) else value


def _said(content: bytes) -> tuple[Any, list[str]]:
    found = Findings()
    return plain(read(content, found)), [str(finding) for finding in found.sorted()]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"), ("True", "True"), ("2026-11-25", "2026-11-25"), ("1.5", "1.5"), ("0x10", "0x10"), ("012", "012"),
        ("'1'", "1"), ("'true'", "true"), ("1", 1), ("-3", -3), ("true", True), ("null", None), ("", None),
        ("9" * 16, "9" * 16), ("{no: no, 1: x}", {"no": "no", "1": "x"}), ("{<<: {b: c}}", {"<<": {"b": "c"}}),
    ],
)  # fmt: skip
def test_only_true_false_whole_numbers_and_null_are_no_texts(text: str, value: object) -> None:
    """What YAML 1.1 would make a date, a float or a boolean stays what is written."""
    assert _said(f"a: {text}\n".encode()) == ({"a": value}, [])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a: 1\nb: &x c\n", "2: E02 anchors and aliases are not supported: use a role"),
        (b"a: *x\n", "1: E02 anchors and aliases are not supported: use a role"),
        (b"a: !!str 1\n", "1: E02 tags are not supported"),
        (b"a: 1\n---\nb: 1\n", "2: E02 a second document, but a policy is one"),
        (b"? {a: 1}\n: b\n", "1: E02 a key must be a text"),
        (b"a: 1\nb: [\n", "3: E02 not YAML: did not find expected node content"),
        (b"a: 1\nb: >x\n", "2: E02 not YAML: did not find expected comment or line break"),
        (b"a: 1\nb: \x07\n", "2: E02 not YAML: a control character"),
        (b"a: 1\nb: \xff\n", "2: E02 the file is not UTF-8"),
        (b"#" * (1 << 20) + b"\n", "1: E02 the file is larger than 1 MiB"),
        (b"[" * 200, "1: E02 nested deeper than 100 levels"),
        (b"- a\n" * 250_000, "200000: E02 more than 200000 keys and values"),
    ],
)
def test_what_cannot_be_read_as_a_whole_is_one_finding(content: bytes, said: str) -> None:
    assert _said(content) == (None, [said])


def test_a_repeated_key_is_told_and_the_first_counts() -> None:
    """The rest is still looked at: all is told at once."""
    assert _said(b"a: 1\nb: {c: 1,\n c: 2}\na: 2\n") == (
        {"a": 1, "b": {"c": 1}},
        ["3: E02 'c' is there a second time", "4: E02 'a' is there a second time"],
    )


def test_a_value_has_the_line_of_its_key() -> None:
    root = read(b"a:\n- b\n-\n  c: d\n", Findings())

    assert root == Node({"a": Node([Node("b", 2), Node({"c": Node("d", 4)}, 4)], 1)}, 1)


def test_the_most_mistakes_of_a_file_are_told_soon() -> None:
    """A file of nothing but mistakes costs seconds at the most, and nobody gets a hundred thousand lines."""
    began = time.perf_counter()
    _, said = _said(b"{" + b"a,\n" * 340_000 + b"}")

    assert len(said) == MOST
    assert time.perf_counter() - began < 10
