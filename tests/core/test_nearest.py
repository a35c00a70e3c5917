"""What came nearest to a workload that no rule matches, and to an entry that no ceiling has."""

from dataclasses import replace

import pytest

from nats_k8s_oidc_callout.core.grants.filter import Side
from nats_k8s_oidc_callout.core.grants.globs import Glob
from nats_k8s_oidc_callout.core.grants.nearest import nearest, nearest_ceiling
from nats_k8s_oidc_callout.core.grants.rules import Match, Rule
from nats_k8s_oidc_callout.core.grants.terms import NO_ANNOTATIONS, Ceilings
from tests.fakes.rules import RULE, TERMS


def globs(texts: str) -> tuple[Glob, ...]:
    return tuple(map(Glob.of, texts.split()))


def rule(name: str, namespaces: str = "", accounts: str = "", **labels: str) -> Rule:
    needed = tuple((key, globs(texts)) for key, texts in labels.items())
    return replace(RULE, name=name, match=Match(globs(namespaces), globs(accounts), needed))


RULES = [
    rule("one", "prod-*"),
    rule("two", "shop-*", "cart api"),
    rule("labels", stage="other"),
    rule("three", "shop-*", "*", stage="prod stage", team="{team}"),
]


@pytest.mark.parametrize(
    ("workload", "labels", "expected"),
    [
        ("shop-eu/web", {}, ("two", "ServiceAccount web matches none of cart, api")),
        ("shop-eu/web", {"stage": "prod"}, ("three", "the namespace has no label team")),
        (
            "shop-eu/web",
            {"stage": "dev", "team": "a"},
            ("three", "label stage of the namespace: dev matches none of prod, stage"),
        ),
        (
            "shop-eu/web",
            {"stage": "prod", "team": ""},
            ("three", "label team of the namespace: without a value matches none of {team}"),
        ),
        ("pay/cart", {}, ("two", "namespace pay matches none of shop-*")),
        ("pay/web", {}, ("one", "namespace pay matches none of prod-*")),
    ],
)
def test_nearest(workload: str, labels: dict[str, str], expected: tuple[str, str]) -> None:
    """One condition fails; of several such rules the one of which the most hold."""
    namespace, _, name = workload.partition("/")

    assert expected == nearest(RULES, namespace, name, labels)


def test_no_rule_is_near() -> None:
    """Where two conditions fail nothing is said."""
    assert None is nearest(RULES[1:2], "pay", "web", {})


TIGHT = replace(
    TERMS, ceilings=Ceilings(("shared.shop.>", "team.shop.>"), ("events.>",), ("kv-read:a_*", "consume:shop_*"))
)


@pytest.mark.parametrize(
    ("entry", "side", "expected"),
    [
        ("team.pay.x", Side.PUBLISH, "team.shop.>"),
        ("shared.*", Side.PUBLISH, "shared.shop.>"),
        ("zoo", Side.PUBLISH, "shared.shop.>"),
        ("eve", Side.SUBSCRIBE, "events.>"),
        ("consume:pay_ORDERS", None, "consume:shop_*"),
        ("consume:", None, ""),
        ("$SYS.x", Side.PUBLISH, ""),
        ("a..b", Side.SUBSCRIBE, ""),
    ],
)
def test_nearest_ceiling(entry: str, side: Side | None, expected: str) -> None:
    """The one that begins most like it, unless something else is wrong with the entry."""
    assert expected == nearest_ceiling(entry, side, TIGHT)


def test_no_ceiling_is_near() -> None:
    """Where annotations may ask for anything, or for nothing."""
    assert ["", ""] == [
        nearest_ceiling("a", Side.PUBLISH, replace(TERMS, ceilings=none)) for none in (None, NO_ANNOTATIONS)
    ]
