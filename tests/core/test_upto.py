"""What a rule could give to somebody: never less than it gives to anybody."""

from dataclasses import replace

import pytest

from nats_k8s_oidc_callout.core.grants.annotations import compile_grant
from nats_k8s_oidc_callout.core.grants.filter import JetStreamGrants, Side
from nats_k8s_oidc_callout.core.grants.globs import Glob
from nats_k8s_oidc_callout.core.grants.holders import hold
from nats_k8s_oidc_callout.core.grants.rules import CeilingTemplates, Given, Match, Rule
from nats_k8s_oidc_callout.core.grants.templates import Template
from nats_k8s_oidc_callout.core.grants.terms import InboxMode, ReplyMode, Terms
from nats_k8s_oidc_callout.core.grants.upto import might_aim, might_have
from tests.fakes.rules import PREFIX, RULE


def texts(*subjects: str) -> tuple[Template, ...]:
    return tuple(map(Template.of, subjects))


def given(*subjects: str) -> tuple[Given, ...]:
    return tuple(Given(text, "rule") for text in texts(*subjects))


TEAMS = replace(
    RULE,
    name="teams",
    root=Template.of("team.{team}"),
    inbox_mode=InboxMode.PRIVATE,
    reply_mode=ReplyMode.NONE,
    publish=given("events.{team}.>", "{root}.out"),
    subscribe=given("prices.*"),
    jetstream=given("consume:{team}_ORDERS/web/{team}.x", "lookup"),
    deny_publish=texts("team.*.raw", "{team}.x"),
    ceilings=CeilingTemplates(
        texts("shared.{team}.>", ">"), texts("shared.>"), texts("kv-write:{team}_*", "publish:up.*")
    ),
)
NONE = CeilingTemplates()
ANY = replace(TEAMS, ceilings=None, jetstream=())


@pytest.mark.parametrize(
    ("side", "pattern", "some", "whole"),
    [
        (Side.PUBLISH, "team.a.b", ["team.{team}.>", ">"], True),
        (Side.PUBLISH, "events.>", ["events.{team}.>", ">"], True),
        (Side.PUBLISH, "team.a.raw", [], False),
        (Side.PUBLISH, "$JS.API.STREAM.PURGE.ORDERS", [], False),
        (Side.PUBLISH, "$JS.API.STREAM.NAMES", ["$JS.API.STREAM.NAMES"], True),
        (Side.PUBLISH, "$JS.API.CONSUMER.MSG.NEXT.a_ORDERS.web", ["$JS.API.CONSUMER.MSG.NEXT.*.web"], True),
        (Side.PUBLISH, "$JS.API.CONSUMER.CREATE.S.web.a.x", ["$JS.API.CONSUMER.CREATE.*.web.*.x"], True),
        (Side.PUBLISH, "$KV.flags.a", ["$KV.*.>"], True),
        (Side.PUBLISH, "_INBOX.x", [], False),
        (Side.SUBSCRIBE, "prices.a.b", ["prices.*"], True),
        (Side.SUBSCRIBE, "shared.*", ["shared.>"], True),
        (Side.SUBSCRIBE, "*.a", ["_INBOX_{namespace}_{name}.>", "prices.*", "shared.>"], False),
        (Side.SUBSCRIBE, "_INBOX_shop_web.a", ["_INBOX_{namespace}_{name}.>"], True),
        (Side.SUBSCRIBE, "_INBOX_SA.shop.web.a", ["_INBOX_SA.{namespace}.{name}.>"], True),
        (Side.SUBSCRIBE, "_INBOX.a", [], False),
    ],
)
def test_might_have(side: Side, pattern: str, some: list[str], whole: bool) -> None:
    """By which entries, as the rule spells them, and whether that could be all of it."""
    found = [entry.subject for entry in might_have(TEAMS, side, pattern, whole=False)]

    assert some == found
    assert whole == bool(might_have(TEAMS, side, pattern, whole=True))


@pytest.mark.parametrize(
    ("side", "pattern", "grants", "expected"),
    [
        (Side.PUBLISH, "pay.x", JetStreamGrants.DATA, True),
        (Side.PUBLISH, "*.x", JetStreamGrants.DATA, True),
        (Side.PUBLISH, "_INBOX.x", JetStreamGrants.DATA, False),
        (Side.PUBLISH, "$SYS.>", JetStreamGrants.ADMIN, False),
        (Side.PUBLISH, "$JS.API.STREAM.DELETE.S", JetStreamGrants.DATA, False),
        (Side.PUBLISH, "$JS.API.STREAM.DELETE.S", JetStreamGrants.ADMIN, True),
        (Side.PUBLISH, "$JS.API.STREAM.INFO.S", JetStreamGrants.DATA, True),
        (Side.SUBSCRIBE, "$SRV.PING", JetStreamGrants.DATA, True),
        (Side.SUBSCRIBE, "$JS.API.>", JetStreamGrants.ADMIN, False),
    ],
)
def test_annotations_without_a_ceiling(side: Side, pattern: str, grants: JetStreamGrants, expected: bool) -> None:
    """With `annotations: any` a tenant may ask for whatever the filter lets through."""
    found = might_have(replace(ANY, jetstream_grants=grants), side, pattern, whole=True)

    assert expected == ("annotation" in [entry.origin for entry in found])


def test_everybody_may_answer_into_inboxes() -> None:
    """With `replies: inbox` the publish side has them, with `inbox: shared` the other."""
    rule = replace(RULE, root=None)

    assert ["_INBOX.>"] == [entry.subject for entry in might_have(rule, Side.PUBLISH, "_INBOX.a", whole=True)]
    assert ["_INBOX.>"] == [entry.subject for entry in might_have(rule, Side.SUBSCRIBE, "_INBOX.a", whole=True)]


def test_might_aim() -> None:
    """As `may_aim` of whoever has the most."""
    assert [True, True, False] == [
        might_aim(rule) for rule in (TEAMS, ANY, replace(TEAMS, jetstream=(), ceilings=NONE))
    ]


@pytest.mark.parametrize(
    ("side", "pattern", "expected"),
    [
        (Side.SUBSCRIBE, "_INBOX.x", []),
        (Side.PUBLISH, "$SYS.x", []),
        (Side.PUBLISH, "$JS.API.STREAM.DELETE.>", []),
        (Side.PUBLISH, "shop.x", ["{namespace}.>"]),
        (Side.PUBLISH, "Shop.x", []),
        (Side.PUBLISH, "Up.Shop_1", ["Up.{team}"]),
        (Side.PUBLISH, "Up.$", []),
    ],
)
def test_what_a_variable_can_be(side: Side, pattern: str, expected: list[str]) -> None:
    """A namespace is a DNS label, and no value holds a `$`: no root reaches inboxes or the system."""
    rule = replace(TEAMS, root=Template.of("{namespace}"), publish=given("Up.{team}"), ceilings=NONE, jetstream=())

    assert expected == [entry.subject for entry in might_have(rule, side, pattern, whole=False)]


def test_a_rule_that_refuses_gives_nothing() -> None:
    """Whatever its silent fields would give."""
    assert [] == might_have(replace(ANY, refuse="no"), Side.PUBLISH, ">", whole=False)


PATTERNS = (
    *("shop-web.x", "pay.x", "*.x", ">", "team.a.>", "audit.*.app", "shared.a.x", "shared.>", "prices.*", "prices.a.b"),
    *("$JS.API.>", "$JS.API.CONSUMER.MSG.NEXT.a_ORDERS.web", "$KV.*.x", "_INBOX.>", "_INBOX_SA.>", "*.a", "$SRV.PING"),
)
WRITTEN = "shared.a.x, pay.x, $KV.flags.>, $JS.API.STREAM.INFO.S, *.x, prices.*, $SRV.PING"
OPEN = replace(
    RULE,
    match=Match(namespaces=(Glob.of("{team}-web"), Glob.of("{team}"))),
    publish=given("audit.{namespace}.{name}"),
    deny_publish=texts("pay.>"),
    ceilings=None,
)


@pytest.mark.parametrize("rule", [TEAMS, ANY, OPEN, RULE], ids=["ceilings", "any", "open", "settings"])
@pytest.mark.parametrize("side", Side)
def test_never_less_than_anybody_has(rule: Rule, side: Side) -> None:
    """What a workload of a rule holds, the rule might give."""
    had = set()
    for namespace, name in (("shop-web", "app"), ("pay", "a.b"), ("a", "app")):
        terms = rule.terms_for(namespace, name, {"team": namespace.removesuffix("-web")}, {})
        assert isinstance(terms, Terms)
        annotations = {f"{PREFIX}allowed-{word}-subjects": WRITTEN for word in ("pub", "sub")}
        grant = compile_grant(namespace, name, annotations, terms, PREFIX)
        for pattern in PATTERNS:
            if found := hold(grant, side, pattern):
                had.add(pattern)
                assert might_have(rule, side, pattern, whole=found.whole), (pattern, found)
    assert len(had) > 4
