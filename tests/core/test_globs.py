"""Globs over names: what matches, what is captured, what is refused."""

from itertools import product

import pytest

from nats_k8s_oidc_callout.core.grants.globs import Glob
from nats_k8s_oidc_callout.errors import BadGlob


@pytest.mark.parametrize(
    ("text", "name", "expected"),
    [
        ("shop", "shop", {}),
        ("shop", "shop-eu", None),
        ("s.op", "shop", None),
        ("*", "", {}),
        ("*", "a\nb", {}),
        ("shop-*", "shop-", {}),
        ("shop-*", "eu-shop-a", None),
        ("*-sensor", "a-sensor-sensor", {}),
        ("*a*b*", "xxaxxb", {}),
        ("*a*b*", "xxbxxa", None),
        ("a*a", "a", None),
        ("a**a", "aa", {}),
        ("*ab*ab", "abab", {}),
        ("*ab*ab", "aab", None),
        ("{x}", "", None),
        ("edge-{site}", "edge-eu-1", {"site": "eu-1"}),
        ("edge-{site}", "edge-", None),
        ("{x}-blue-a", "b-blue-a-blue-a", {"x": "b-blue-a"}),
        ("{env}-{team}", "prod-eu-shop", {"env": "prod", "team": "eu-shop"}),
        ("{env}-{team}", "-eu-shop", None),
        ("{env}-{team}", "prod-", None),
        ("{env}-{team}", "prod", None),
        ("ci-{org}-{repo}-x", "ci-a-b-c-x", {"org": "a", "repo": "b-c"}),
        ("{a}-{b}.{c}", "x-y-z.v.w", {"a": "x", "b": "y-z", "c": "v.w"}),
        ("{team}-*", "shop-eu-web", {"team": "shop"}),
        ("{team}-*", "-shop", None),
        ("{team}-x-*", "a-b-x-c-x-d", {"team": "a-b"}),
        ("{a}-{b}-*-end", "x-y-z-end", {"a": "x", "b": "y"}),
        ("{a}-{b}-*-end", "x-y-end", None),
        ("{teamName_2}", "shop.eu", {"teamName_2": "shop.eu"}),
    ],
)
def test_match(text: str, name: str, expected: dict[str, str] | None) -> None:
    """
    A glob is over the whole name; a capture is never empty, and ends at the literal that follows it unless it is the last.
    """
    assert expected == Glob.of(text).match(name)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "is empty"),
        ("a{", "brace"),
        ("a}b", "brace"),
        ("{}", "brace"),
        ("{{a}}", "brace"),
        ("{a b}", "brace"),
        ("{2a}", "brace"),
        ("{namespace}", "captures {namespace}"),
        ("{root}-x", "captures {root}"),
        ("{a}-{a}", "twice"),
        ("{a}{b}", "between {a} and {b}"),
        ("{a}--{b}", "between {a} and {b}"),
        ("*{a}", "a * before {a}"),
        ("*-{a}", "a * before {a}"),
        ("{a}*", "a * right beside {a}"),
        ("x-*-{a}-*", "a * before {a}"),
    ],
)
def test_bad_glob(text: str, why: str) -> None:
    """A glob that leaves open where a capture ends is refused, with the reason."""
    with pytest.raises(BadGlob, match=".") as caught:
        Glob.of(text)

    assert why in str(caught.value)


def matches_naively(glob: str, name: str) -> bool:
    """Say whether a glob with the wildcards `*` and `{x}` matches, trying all ways."""
    if not glob:
        return not name
    if glob[0] == "*":
        return any(matches_naively(glob[1:], name[i:]) for i in range(len(name) + 1))
    if glob.startswith("{x}"):
        return any(matches_naively(glob[3:], name[i:]) for i in range(1, len(name) + 1))
    return name[:1] == glob[0] and matches_naively(glob[1:], name[1:])


NAMES = ["".join(name) for size in range(6) for name in product("ab", repeat=size)]
GLOBS = [
    "".join(glob)
    for size in range(1, 5)
    for glob in product(["a", "b", "*", "{x}"], repeat=size)
    if glob.count("{x}") == 0 or (glob.count("{x}") == 1 and "*" not in glob)
]


def test_every_small_glob_and_name() -> None:
    """What is read once from left to right matches whatever any other reading would match."""
    for text in GLOBS:
        glob = Glob.of(text)
        for name in NAMES:
            assert matches_naively(text, name) is (glob.match(name) is not None), (text, name)
            assert name.startswith(glob.prefix) or glob.match(name) is None


def test_covers_claims_nothing_false() -> None:
    """One glob covers another only if it matches all that the other one does; among small ones it always says so."""
    globs = [Glob.of(text) for text in GLOBS if len(text.replace("{x}", "x")) <= 3]
    matched = {glob.text: {name for name in NAMES if glob.match(name) is not None} for glob in globs}
    for one, other in product(globs, globs):
        assert one.covers(other) is (matched[one.text] >= matched[other.text]), (one.text, other.text)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("{a}-{b}", "{team}-{part}", True),
        ("{a}-{b}", "x-y", True),
        ("{a}-{b}", "x-*", False),
        ("{a}-{b}", "*x-y", False),
        ("*", "{a}-{b}", True),
        ("*-*", "{a}-{b}", True),
        ("{x}", "{a}-{b}", True),
        ("{x}", "*", False),
        ("shop", "shop-*", False),
    ],
)
def test_covers(one: str, other: str, expected: bool) -> None:
    """
    The names of captures do not matter; what several captures match is compared only with names and with its like.
    """
    assert expected is Glob.of(one).covers(Glob.of(other))


@pytest.mark.parametrize("text", ["*a" * 40 + "*b", "{x}" + "a" * 40 + "*b", "{x}a{y}a{z}b"])
def test_no_second_way_is_tried(text: str) -> None:
    """A name made to be tried in many ways is refused in linear time: with those, this would not end."""
    assert Glob.of(text).match("a" * 5000) is None
