"""The subject grammar, and what it means for two patterns to share a message."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nats_k8s_oidc_callout.core.nats import subjects
from nats_k8s_oidc_callout.core.nats.subjects import guide_inbox, private_inbox
from tests.core.overlap import overlap

tokens = st.sampled_from(["a", "b", "c", "*"])
patterns = st.builds(
    lambda head, tail: ".".join([*head, *tail]),
    st.lists(tokens, min_size=1, max_size=4),
    st.sampled_from([[], [">"]]),
) | st.just(">")
labels = st.from_regex(r"\A[a-z0-9]([-a-z0-9]{0,8}[a-z0-9])?\Z")
names = st.lists(labels, min_size=1, max_size=3).map(".".join)
messages = st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=5)


def matches(pattern: str, message: list[str]) -> bool:
    """Say whether a server would deliver the message to a subscription of the pattern, token by token."""
    wanted = pattern.split(".")
    if wanted[-1] == ">":
        head = wanted[:-1]
        return len(message) > len(head) and all(w in ("*", m) for w, m in zip(head, message, strict=False))
    return len(wanted) == len(message) and all(w in ("*", m) for w, m in zip(wanted, message, strict=True))


@pytest.mark.parametrize("subject", ["a", "a.b", "a.*.b", "a.>", ">", "*", "$JS.ACK.S.>", "a-b_c.D9", "x" * 256])
def test_well_formed(subject: str) -> None:
    """A subject of NATS passes."""
    assert "" == subjects.problem(subject)


@pytest.mark.parametrize(
    ("subject", "why"),
    [
        ("", "empty"),
        ("foo..bar", "empty token"),
        (".foo", "empty token"),
        ("foo.", "empty token"),
        ("foo.>.bar", "before its last"),
        ("fo*o", "inside a token"),
        ("foo>", "inside a token"),
        ("**", "inside a token"),
        ("a b", "a space"),
        ("a\tb", "not printable"),
        ("a\x00b", "not printable"),
        ("a\nb", "not printable"),
        ("ünï", "not printable"),
        ("a.\u202eb", "not printable"),
        ("x" * 257, "longer"),
    ],
)
def test_ill_formed(subject: str, why: str) -> None:
    """What the server would refuse, or misunderstand, is refused with the reason."""
    assert why in subjects.problem(subject)


@given(st.text(max_size=300))
def test_any_text_has_an_answer(text: str) -> None:
    """Every text is well-formed or has a reason; none is an exception, and none that passes has a space."""
    assert subjects.problem(text) or " " not in text


@given(one=patterns, other=patterns, message=messages)
def test_overlap_misses_no_shared_message(one: str, other: str, message: list[str]) -> None:
    """Two patterns that one message matches overlap."""
    if matches(one, message) and matches(other, message):
        assert overlap(one, other)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [("a.*", "a.>"), ("a.*.*", "a.*.>"), ("a.*.b", "a.*.b"), ("a.>", "a.>"), ("a", "a"), ("*", ">")],
)
def test_subscribed(pattern: str, expected: str) -> None:
    """A server takes the `>` of a subscription for a token that a permission's last `*` matches."""
    assert expected == subjects.subscribed(pattern)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("a.*", "*.b", True),
        ("a.>", "a", False),
        ("a.>", "a.b.c", True),
        ("*.>", "_INBOX.x", True),
        ("a.b", "a.b", True),
        ("a.b", "a.c", False),
        ("a", "a.b", False),
        (">", "$SYS.REQ", True),
    ],
)
def test_overlap_of_known_pairs(one: str, other: str, expected: bool) -> None:
    """Overlap is symmetric and as the server sees it."""
    assert expected == overlap(one, other) == overlap(other, one)


@given(namespaces=st.tuples(labels, labels), accounts=st.tuples(names, names))
def test_inboxes_are_apart(namespaces: tuple[str, str], accounts: tuple[str, str]) -> None:
    """
    No two ServiceAccounts share a message of their private inboxes, of either kind and across the kinds; and no private
    inbox is a part of the shared one.
    """
    one, other = zip(namespaces, accounts, strict=True)
    if one == other:
        return

    for mine in (private_inbox(*one), guide_inbox(*one)):
        for theirs in (private_inbox(*other), guide_inbox(*other), subjects.SHARED_INBOX):
            assert not overlap(mine, theirs)


def test_dotted_names_are_apart() -> None:
    """ServiceAccount `a` reads nothing of the private inbox of `a.b`."""
    for inbox, expected in ((guide_inbox, "_INBOX_team_a_b.>"), (private_inbox, "_INBOX_SA.team.a_b.>")):
        assert expected == inbox("team", "a.b")
        assert not overlap(inbox("team", "a"), expected)
