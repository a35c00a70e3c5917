"""What a rule gives to whom it matches."""

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from nats_k8s_oidc_callout.core.grants.annotations import compile_grant
from nats_k8s_oidc_callout.core.grants.globs import Glob
from nats_k8s_oidc_callout.core.grants.policy import Policy
from nats_k8s_oidc_callout.core.grants.rules import CeilingTemplates, Turned
from nats_k8s_oidc_callout.core.grants.templates import Template
from nats_k8s_oidc_callout.core.grants.terms import NO_ANNOTATIONS, Ceilings, Terms
from nats_k8s_oidc_callout.core.model import Reason
from tests.fakes.policies import given, rule, texts
from tests.fakes.rules import PREFIX, RULE, TERMS


def test_texts_are_filled() -> None:
    """Captures, namespace, name and root stand in every text of a rule, and dots of a name are no more tokens."""
    found = Policy(
        [
            rule(
                "one",
                "{team}-*",
                "{kind}.svc",
                account=Template.of("APP_{kind}"),
                root=Template.of("ns.{namespace}"),
                publish=given("{root}.x.{name}") + given("audit.{kind}", "role:audits"),
                subscribe=given("{team}.>"),
                jetstream=given("consume:ORDERS/{name}"),
                deny_publish=texts("{root}.no.>"),
                deny_subscribe=texts("{team}.no"),
                ceilings=CeilingTemplates(texts("{team}.>"), texts("{root}.>"), texts("consume:{team}_*")),
            )
        ],
        [Glob.of("APP_*")],
    ).terms_of("shop-eu", "a.b.svc")

    assert isinstance(found, Terms)
    assert ("APP_a_b", "ns.shop-eu") == (found.account, found.root)
    assert [("ns.shop-eu.x.a_b_svc", "rule"), ("audit.a_b", "role:audits")] == list(found.publish[:2])
    assert ("$JS.API.CONSUMER.INFO.ORDERS.a_b_svc", "jetstream:consume:ORDERS/a_b_svc") in found.publish
    assert (("shop.>", "rule"),) == found.subscribe
    assert (("ns.shop-eu.no.>",), ("shop.no",)) == (found.deny_publish, found.deny_subscribe)
    assert Ceilings(("shop.>",), ("ns.shop-eu.>",), ("consume:shop_*",)) == found.ceilings


@pytest.mark.parametrize(
    ("labels", "more"),
    [
        ({"team": "a_b"}, {"ceilings": CeilingTemplates(jetstream=texts("kv-read:{team}_*"))}),
        ({"team": "-"}, {"jetstream": given("consume:S/{team}/a b")}),
        ({"team": "KV_cfg"}, {"jetstream": given("consume:{team}")}),
        ({"team": "OBJ"}, {"ceilings": CeilingTemplates(jetstream=texts("stream-info:{team}_*"))}),
    ],
)
def test_a_value_that_could_reach_others_is_refused(labels: Mapping[str, str], more: dict[str, Any]) -> None:
    """
    Beside a glob no value may hold `_`, an intent must be one with the values in it, and no value makes a stream that of
    a bucket.
    """
    found = Policy([rule("one", labels={"team": "{team}"}, **more)]).terms_of("shop", "cart", labels)

    assert isinstance(found, Turned)
    assert (Reason.BAD_CAPTURE, "one") == (found.reason, found.rule)


@pytest.mark.parametrize(
    ("more", "publish", "subscribe", "denied"),
    [
        ({"root": None}, (), (), ((), ())),
        (
            {"publish": given("a.b shop.>"), "subscribe": given("c.*"), "root": None},
            ("a.b", "shop.>"),
            ("c.*",),
            ((), ()),
        ),
        (
            {"deny_publish": texts("shop.no.> other.>"), "deny_subscribe": texts("shop.*.secret")},
            ("shop.>",),
            ("shop.>",),
            (("shop.no.>",), ("shop.*.secret",)),
        ),
        (
            {"root": None, "subscribe": given("c.*"), "deny_subscribe": texts("c.d.e")},
            (),
            ("c.*",),
            ((), ("c.d.e",)),
        ),
    ],
    ids=["no root", "own", "denials that meet nothing", "a denial that a last * reaches"],
)
def test_grants_of_a_rule(
    more: Mapping[str, Any],
    publish: tuple[str, ...],
    subscribe: tuple[str, ...],
    denied: tuple[tuple[str, ...], tuple[str, ...]],
) -> None:
    """Root and own lists are granted; denials that take nothing away are left out."""
    terms = Policy([rule("one", **more)]).terms_of("shop", "cart")
    assert isinstance(terms, Terms)
    granted = compile_grant("shop", "cart", None, terms, PREFIX).permissions
    inboxes = ("_INBOX_SA.shop.cart.>", "_INBOX_shop_cart.>")

    assert (set(publish), {*subscribe, *inboxes}) == (set(granted.publish), set(granted.subscribe))
    assert denied == (granted.deny_publish, granted.deny_subscribe)


@pytest.mark.parametrize(
    ("ceilings", "publish", "subscribe"),
    [
        (NO_ANNOTATIONS, "", ""),
        (None, "a.b a.* b.> $KV.flags.>", "a.b a.* b.> $KV.flags.>"),
        (Ceilings(("a.*", "a.*.>"), ("a.*",)), "a.b a.*", "a.b"),
        (Ceilings((">",), (">",)), "a.b a.* b.>", "a.b a.* b.>"),
        (Ceilings((">", "$KV.>"), ("a.>",)), "a.b a.* b.> $KV.flags.>", "a.b a.*"),
        (Ceilings(("b.*", "b.*.>")), "b.>", ""),
    ],
)
def test_annotations_stay_below_their_ceilings(ceilings: Ceilings | None, publish: str, subscribe: str) -> None:
    """
    An entry counts when all of it lies in the union of its side's ceilings: to subscribe a last `*` is a `>`, and below `$`
    only ceilings count that name the first token.
    """
    written = "a.b,a.*,b.>,$KV.flags.>,_INBOX.x"
    terms = RULE.terms_for("shop", "cart", {}, {})
    assert isinstance(terms, Terms)
    annotations = {f"{PREFIX}allowed-pub-subjects": written, f"{PREFIX}allowed-sub-subjects": written}
    grant = compile_grant("shop", "cart", annotations, replace(terms, ceilings=ceilings), PREFIX)
    asked = [
        [entry for entry, origin in zip(entries, origins, strict=True) if origin.startswith("annotation:")]
        for entries, origins in (
            (grant.permissions.publish, grant.publish_origins),
            (grant.permissions.subscribe, grant.subscribe_origins),
        )
    ]

    assert [publish.split(), subscribe.split()] == asked
    assert 10 - sum(map(len, asked)) == len(grant.refused)


def test_many_long_denials_take_no_time() -> None:
    """
    A tenant can have a grant made again by each change of an annotation: the most denials and entries that there may be,
    alike in 120 tokens, were seven seconds' work when each was compared with each.
    """
    long = "a." * 120
    denials = tuple(f"{long}z{i}" for i in range(256))
    terms = replace(TERMS, ceilings=None, deny_publish=denials, deny_subscribe=denials)
    asked = ",".join(f"{long}y{i}" for i in range(256))
    annotations = {f"{PREFIX}allowed-pub-subjects": asked, f"{PREFIX}allowed-sub-subjects": asked}
    began = time.process_time()
    granted = compile_grant("shop", "cart", annotations, terms, PREFIX).permissions

    assert ((), ()) == (granted.deny_publish, granted.deny_subscribe)
    assert time.process_time() - began < 1
