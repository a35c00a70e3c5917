"""Whether one grant gives nothing that another does not give, against every subject and subscription of a small world."""

import itertools
import random
import time
from functools import cache

import pytest

from nats_k8s_oidc_callout.core.grants.contained import contained
from nats_k8s_oidc_callout.core.grants.grants import Made, digest_of
from nats_k8s_oidc_callout.core.grants.policy import NO_RULE
from nats_k8s_oidc_callout.core.model import Permissions
from nats_k8s_oidc_callout.core.nats.user import encode
from tests.fakes.universe import Universe

# `z` is in no pattern; one token more than patterns have, for what `>` takes.
_UNIVERSE = Universe("abz", 4)
_SUBSCRIPTIONS = [
    ".".join((*s, last)) for n in range(4) for s in itertools.product("abz*", repeat=n) for last in (*"abz*", ">")
]


def made(permissions: Permissions, account: str = "APP") -> Made:
    encoded = encode(permissions)
    return Made(encoded, digest_of(encoded), account, NO_RULE)


def grant(publish: str = "", subscribe: str = "", deny_publish: str = "", deny_subscribe: str = "") -> Made:
    sides = (tuple(side.split()) for side in (publish, subscribe, deny_publish, deny_subscribe))
    first, second, third, fourth = sides
    return made(Permissions(first, second, 0, 0.0, third, fourth))


@cache
def takes(pattern: str, subscription: str) -> bool:
    """Match a subscription as nats-server does: its wildcards are words like any other."""
    mine, theirs = pattern.split("."), subscription.split(".")
    for place, token in enumerate(mine):
        if token == ">":
            return len(theirs) > place
        if place == len(theirs) or token not in ("*", theirs[place]):
            return False
    return len(mine) == len(theirs)


def hears(permissions: Permissions) -> dict[str, int]:
    """Return what each subscription that is taken brings."""
    denied = permissions.deny_subscribe
    free = ~_UNIVERSE.union(denied)
    return {
        text: _UNIVERSE.matched(text) & free
        for text in _SUBSCRIPTIONS
        if any(takes(allow, text) for allow in permissions.subscribe) and not any(takes(deny, text) for deny in denied)
    }


def sends(permissions: Permissions) -> int:
    return _UNIVERSE.union(permissions.publish) & ~_UNIVERSE.union(permissions.deny_publish)


def drawn(dice: random.Random, most: int) -> tuple[str, ...]:
    return tuple(
        ".".join((*(dice.choice("ab**") for _ in range(dice.randint(0, 2))), dice.choice("ab**>")))
        for _ in range(dice.randint(0, most))
    )


@pytest.mark.parametrize("seed", range(4))
def test_contained_is_what_trying_everything_finds(seed: int) -> None:
    """
    Random grants, the second often a change of the first: contained just when each subject and subscription says so.
    """
    dice = random.Random(seed)
    found = {True: 0, False: 0}
    for _ in range(600):
        sides = [drawn(dice, 3), drawn(dice, 3), drawn(dice, 2), drawn(dice, 2)]
        one = Permissions(sides[0], sides[1], 0, 0.0, sides[2], sides[3])
        for place, most in enumerate((3, 3, 2, 2)):
            change = dice.random()
            if change < 0.3:
                sides[place] = (*sides[place], *drawn(dice, 1))
            elif change < 0.5:
                sides[place] = drawn(dice, most)
        other = Permissions(sides[0], sides[1], 0, 0.0, sides[2], sides[3])
        mine, theirs = hears(one), hears(other)
        expected = not sends(one) & ~sends(other) and all(
            not messages & ~theirs.get(text, 0) for text, messages in mine.items()
        )
        found[expected] += 1

        assert contained(made(one), made(other)) == expected, (one, other)
    assert min(found.values()) > 60, found


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (grant("a.b", "a.b"), grant("a.>", "a.>"), True),
        (grant("a.>", "a.>"), grant("a.b", "a.b"), False),
        (grant("a.b"), grant("b.a a.b"), True),
        (grant("a.b"), grant("a.b", deny_publish="*.b"), False),
        (grant("a.b", deny_publish="a.>"), grant("b", deny_publish=">"), True),
        (grant("a.*"), grant("a.b"), False),
        (grant("a.>"), grant("a.* a.*.>"), True),
        # Who may subscribe a.* hears all of a.>.
        (grant(subscribe="a.*"), grant(subscribe="a.*", deny_subscribe="a.b.c"), False),
        (grant("a.*"), grant("a.*", deny_publish="a.b.c"), True),
        (grant(), grant("a"), True),
        (grant("a"), grant(), False),
        (grant(), grant(), True),
    ],
)
def test_what_is_contained(one: Made, other: Made, expected: bool) -> None:
    """Allowed by one, and not by the other for want of an entry or for a denial: not contained."""
    assert expected == contained(one, other)
    assert not contained(one, other._replace(account="BPP"))


@pytest.mark.parametrize(
    ("mine", "theirs", "expected"),
    [
        ((0, 0.0), (1, 9.0), True),
        ((1, 9.0), (0, 0.0), False),
        ((1, 9.0), (2, 9.0), True),
        ((2, 9.0), (1, 9.0), False),
        ((1, 9.0), (1, 9.5), True),
        ((1, 9.0), (1, 8.5), False),
    ],
)
def test_replies_are_rights(mine: tuple[int, float], theirs: tuple[int, float], expected: bool) -> None:
    """More answers, or for longer, are more."""
    assert expected == contained(made(Permissions(("a",), (), *mine)), made(Permissions(("a", "b"), (), *theirs)))


def test_what_takes_too_long_is_not_contained() -> None:
    """A tenant's entries that are slow to compare do not stop the others; equal ones are not compared."""
    slow = [".".join(one) for one in itertools.product("x*", repeat=11)]
    one, other = grant(" ".join(slow[:1000])), grant(" ".join(slow))
    assert contained(one, other)
    literal = [entry.replace("*", "y") for entry in slow]
    began = time.process_time()
    assert not contained(grant(" ".join(literal[:200])), other)
    assert contained(grant(" ".join(literal[:9])), other)
    assert time.process_time() - began < 0.5
