"""Kubernetes' grammar of names: the whole of it here, that each reader asks it in the readers' own tests."""

import pytest

from nats_k8s_oidc_callout.core.names import is_label, is_label_value, is_subdomain

NEITHER = {
    "empty": "",
    "slash": "a/b",
    "star": "*",
    "arrow": ">",
    "dollar": "$SYS",
    "underscore": "a_b",
    "space": "a b",
    "line break after": "a\n",
    "zero byte": "a\0",
    "upper case": "A",
    "hyphen first": "-a",
    "hyphen last": "a-",
    "colon": "a:b",
    "look-alike": "\u0430",
    "Kelvin sign": "\u212a",
    "other digits": "\u0661",
    "percent": "a%2eb",
    "dot first": ".a",
    "dot last": "a.",
    "two dots": "a..b",
    "hyphen after a dot": "a.-b",
    "254 characters": "s" * 254,
    # Refused as fast as any other: no pattern of ours backtracks.
    "longest-near-miss": "a-" * 126,
}


@pytest.mark.parametrize("text", NEITHER.values(), ids=NEITHER)
def test_neither(text: str) -> None:
    """What could mean anything else in a subject, a path or a log is no name of Kubernetes."""
    assert (False, False) == (is_label(text), is_subdomain(text))


@pytest.mark.parametrize(
    ("text", "label"),
    [("a", True), ("7", True), ("a-0", True), ("n" * 63, True), ("n" * 64, False), ("a.b", False), ("s" * 253, False)],
)
def test_names(text: str, label: bool) -> None:
    """Every label is a subdomain; a subdomain may have dots, and 253 characters."""
    assert (label, True) == (is_label(text), is_subdomain(text))


@pytest.mark.parametrize(
    ("text", "is_value"),
    [("", True), ("A", True), ("a_b.c-9", True), ("v" * 63, True), ("v" * 64, False), ("_a", False), ("a.", False),
     ("a b", False), ("a\n", False), ("ä", False), (">", False)],
)  # fmt: skip
def test_label_values(text: str, is_value: bool) -> None:
    """A label's value is empty, or up to 63 letters, digits, `_`, `.` and `-` between a letter or digit at both ends."""
    assert is_value == is_label_value(text)
