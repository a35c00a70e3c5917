"""What patterns of subjects share and cover, against all subjects of a small alphabet."""

import random
from itertools import product

import pytest

from nats_k8s_oidc_callout.core.nats.subjects import Cover, covered, meet, overlaps
from tests.fakes.universe import Universe

# No pattern names `z`: it stands for every token that nobody thought of.
UNIVERSE = Universe("abz", 5)
PATTERNS = [
    ".".join(pattern)
    for size in range(1, 5)
    for pattern in product("ab*>", repeat=size)
    if ">" not in pattern[:-1] and (size < 4 or pattern[-1] == ">")
]


def test_meet_and_overlap_of_every_pair() -> None:
    """Two patterns meet in just the subjects that both match."""
    for one, other in product(PATTERNS, PATTERNS):
        both = meet(one, other)
        expected = UNIVERSE.matched(one) & UNIVERSE.matched(other)

        assert expected == (0 if both is None else UNIVERSE.matched(both)), (one, other, both)
        assert (expected != 0) is overlaps(one, other)


def test_covered_by_a_union() -> None:
    """
    A pattern is covered when each subject that it matches is matched by one of the others, whichever, and meets them when
    some subject is.
    """
    chance = random.Random(37)
    by_several = 0
    for _ in range(60_000):
        pattern, by = chance.choice(PATTERNS), chance.choices(PATTERNS, k=chance.randrange(5))
        expected = not UNIVERSE.matched(pattern) & ~UNIVERSE.union(by)
        some = bool(UNIVERSE.matched(pattern) & UNIVERSE.union(by))

        assert (expected, some) == (covered(pattern, by), Cover(by).meets(pattern)), (pattern, by)
        by_several += expected and not any(covered(pattern, [cover]) for cover in by)

    assert by_several


@pytest.mark.parametrize(
    ("pattern", "by", "expected"),
    [
        ("a.b.c", ["a.*.c"], True),
        ("a.>", ["a.*", "a.*.>"], True),
        (">", ["*", "*.>"], True),
        ("a.*.>", ["a.*.*", "a.*.*.>"], True),
        ("a.>", ["a.b.>", "a.*", "a.*.*.>"], False),
        ("a.*", ["a.b", "a.c"], False),
        ("a", ["a.>"], False),
        ("a.b.c.>", ["a.>"], True),
        ("a.b.c.d.>", ["a.b", ">"], True),
        ("a.b.c.d.>", ["a.b"], False),
        ("foo.>", ["foo.*"], False),
        ("foo.*", ["foo.>"], True),
        ("a", [], False),
        (">", [], False),
    ],
)
def test_covered(pattern: str, by: list[str], expected: bool) -> None:
    """Only a last `>` can be covered by several patterns together: split by length."""
    assert expected is covered(pattern, by)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("a.*", "*.b", "a.b"),
        ("a.>", "*.*.c", "a.*.c"),
        ("*.>", "a.>", "a.>"),
        (">", ">", ">"),
        ("a.>", "a", None),
        ("a", "a.b", None),
        ("a.b", "a.c", None),
    ],
)
def test_meet(one: str, other: str, expected: str | None) -> None:
    """Token by token a literal is narrower than `*`, and anything is narrower than `>`."""
    assert expected == meet(one, other) == meet(other, one)
