"""What a grant reaches, against every subject and every subscription of a small world, one by one."""

import itertools
import random
import re

import pytest

from nats_k8s_oidc_callout.core.grants.filter import Side
from nats_k8s_oidc_callout.core.grants.reach import denied_of, may_all, may_hear_all, may_some, server_takes
from nats_k8s_oidc_callout.core.model import Permissions

# `z` stands for every token that no pattern names; one token more than patterns have, for what `>` takes.
_SUBJECTS = [".".join(s) for n in range(1, 5) for s in itertools.product("abz", repeat=n)]
_SUBSCRIPTIONS = [
    ".".join((*s, last)) for n in range(4) for s in itertools.product("abz*", repeat=n) for last in (*"abz*", ">")
]
_CASES = 400


def granted(publish: str = "", subscribe: str = "", deny: str = "") -> Permissions:
    """Return permissions of these subjects, with the same denials on both sides."""
    denials = tuple(deny.split())
    return Permissions(tuple(publish.split()), tuple(subscribe.split()), 0, 0.0, denials, denials)


def matches(pattern: str, text: str) -> bool:
    """Match the text of a subject, or of a subscription as nats-server does."""
    return re.fullmatch(pattern.replace(".", r"\.").replace("*", r"[^.]+").replace(">", r".+"), text) is not None


def any_of(patterns: tuple[str, ...], text: str) -> bool:
    return any(matches(pattern, text) for pattern in patterns)


def drawn(dice: random.Random) -> str:
    tokens = [dice.choice("ab**") for _ in range(dice.randint(0, 2))]
    return ".".join((*tokens, dice.choice("ab*>>")))


@pytest.mark.parametrize("seed", range(4))
def test_reach_against_every_subject(seed: int) -> None:
    """Random allows and denials: all, some, and by which allow, are what trying each subject brings."""
    dice = random.Random(seed)
    for _ in range(_CASES):
        allows = tuple(drawn(dice) for _ in range(dice.randint(0, 3)))
        denials = tuple(drawn(dice) for _ in range(dice.randint(0, 2)))
        pattern = drawn(dice)
        permissions = Permissions(allows, allows, 0, 0.0, denials, denials)
        asked = [subject for subject in _SUBJECTS if matches(pattern, subject)]
        free = [subject for subject in asked if not any_of(denials, subject)]
        taken = [sub for sub in _SUBSCRIPTIONS if any_of(allows, sub) and not any_of(denials, sub)]

        sent = [subject for subject in free if any_of(allows, subject)]
        assert (len(sent) == len(asked)) == may_all(permissions, Side.PUBLISH, pattern)
        assert [n for n, allow in enumerate(allows) if any(matches(allow, subject) for subject in free)] == may_some(
            permissions, Side.PUBLISH, pattern
        )
        heard = [subject for subject in free if any_of(tuple(taken), subject)]
        assert bool(heard) == bool(may_some(permissions, Side.SUBSCRIBE, pattern)), (allows, denials, pattern)
        assert (len(heard) == len(asked)) == may_hear_all(permissions, pattern), (allows, denials, pattern)
        whole = pattern in taken and len(free) == len(asked)
        assert whole == may_all(permissions, Side.SUBSCRIBE, pattern), (allows, denials, pattern)


@pytest.mark.parametrize(
    ("allow", "taken", "refused"),
    [
        ("a.*", "a.b a.* a.>", "a a.b.c b.> *.b > a.*.>"),
        ("a.>", "a.b a.> a.*.c a.*.>", "a > *.>"),
        ("a.*.c", "a.b.c a.*.c", "a.> a.*.> a.*"),
        ("a", "a", "* > a.>"),
    ],
)
def test_the_server_matches_a_subscriptions_text(allow: str, taken: str, refused: str) -> None:
    """As seen on real servers (NATS_FACTS 3.3): a last `*` takes `>`, and nothing longer."""
    asked = [*taken.split(), *refused.split()]

    assert taken.split() == [sub for sub in asked if server_takes(sub, [allow])]


def test_a_closing_denial_takes_back_what_a_last_star_opens() -> None:
    """Allow `a.*`, deny `a.*.>`: the rest of `SUB a.>` is filtered; deny `a.*` refuses `SUB a.>` altogether."""
    assert [0] == may_some(granted(subscribe="a.*"), Side.SUBSCRIBE, "a.b.c")
    assert [] == may_some(granted(subscribe="a.*", deny="a.*.>"), Side.SUBSCRIBE, "a.b.c")
    assert [] == may_some(granted(subscribe="a.*", deny="*.*"), Side.SUBSCRIBE, "a.b.c")


def test_what_denials_take_away() -> None:
    """The part of each denial that lies in what was asked for."""
    assert ["a.x.raw", "a.y"] == denied_of(granted("a.>", deny="*.x.raw a.y b.>"), Side.PUBLISH, "a.>")
