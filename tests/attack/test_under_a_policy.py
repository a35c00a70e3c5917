"""What a tenant gets under a policy file of what it would have without one: text of a file in, grant out."""

import pytest

from nats_k8s_oidc_callout.core.grants.annotations import Grant
from nats_k8s_oidc_callout.core.grants.filter import Side
from nats_k8s_oidc_callout.core.grants.grants import Grants
from nats_k8s_oidc_callout.core.grants.reach import may_all, may_some
from nats_k8s_oidc_callout.core.grants.terms import ReplyMode
from nats_k8s_oidc_callout.settings.policy import Base, PolicyFile, load
from tests.fakes.rules import PREFIX

CREATE = "$JS.API.CONSUMER.CREATE.ORDERS.>"


def granted(rule: str, base: Base, name: str = "shop/cart", **asked: str) -> Grant:
    """Return what a ServiceAccount gets by a file with one rule; `asked` are annotations."""
    file = load(f"version: 1\nrules: [{{name: one, match: {{}}, {rule}}}]\n".encode(), base)
    assert isinstance(file, PolicyFile), file
    annotations = {f"{PREFIX}{key.replace('_', '-')}": text for key, text in asked.items()}
    namespace, own = name.split("/")
    grant = Grants(file.policy, PREFIX).compile(namespace, own, annotations)
    assert isinstance(grant, Grant)
    return grant


@pytest.mark.parametrize(
    ("rule", "heard", "sent"),
    [
        ("", False, False),
        ("annotations: ignore", False, False),
        ("annotations: any", True, True),
        ("annotations: {publish: ['pay.in.>']}", False, False),
        ("annotations: {publish: ['pay.>']}", False, True),
        ("annotations: {subscribe: ['pay.>']}", True, False),
        ("annotations: {publish: ['{namespace}.>'], subscribe: ['{namespace}.>']}", False, False),
    ],
)
def test_an_annotation_gets_what_its_ceilings_hold(rule: str, heard: bool, sent: bool) -> None:
    """
    C68: of another tenant's subjects nothing, unless the rule says so.
    """
    grant = granted(rule, Base(), allowed_pub_subjects="pay.orders", allowed_sub_subjects="pay.*").permissions

    assert (heard, sent) == (may_all(grant, Side.SUBSCRIBE, "pay.>"), may_all(grant, Side.PUBLISH, "pay.orders"))
    assert heard == bool(may_some(grant, Side.SUBSCRIBE, "pay.orders.eu"))


@pytest.mark.parametrize("mode", ReplyMode)
@pytest.mark.parametrize(
    ("rule", "expected"),
    [("replies: none", (0, False)), ("replies: inbox", (0, True)), ("replies: {max: 3, ttl: 7s}", (3, False))],
)
def test_replies_of_a_rule_beat_the_setting(mode: ReplyMode, rule: str, expected: tuple[int, bool]) -> None:
    """
    X64: the reply permission, which goes past every other, is there when the rule gives it, and only then.
    """
    grant = granted(f"{rule}, publish: [audit]", Base(reply_mode=mode)).permissions

    assert expected == (grant.replies_max, may_all(grant, Side.PUBLISH, "_INBOX.>"))


@pytest.mark.parametrize(
    ("rule", "owned"),
    [("", True), ("root: none", False), ("root: 'ns.{namespace}'", False), ("root: '{namespace}.{name}'", False)],
)
def test_the_name_of_a_namespace_is_no_ones_subject(rule: str, owned: bool) -> None:
    """
    X65: a namespace that is called `pay` has `pay.orders` of others by the usual root only.
    """
    grant = granted(rule, Base(), "pay/cart").permissions

    assert (
        owned
        == bool(may_some(grant, Side.PUBLISH, "pay.orders"))
        == bool(may_some(grant, Side.SUBSCRIBE, "pay.orders"))
    )


@pytest.mark.parametrize(
    ("rule", "made"),
    [
        ("jetstream: ['consume:ORDERS/{name}']", False),
        ("jetstream: ['consume:ORDERS']", True),
        ("annotations: {jetstream: ['consume:ORDERS/{name}']}", False),
        ("annotations: {jetstream: ['consume:ORDERS/other']}", False),
        ("annotations: {jetstream: ['consume:*']}", True),
        ("annotations: {publish: ['>']}", False),
        ("annotations: any", True),
    ],
)
def test_a_named_consumer_is_bound_and_never_made(rule: str, made: bool) -> None:
    """
    X21: without the right to make consumers there is no deliver subject to choose, whatever annotations ask for.
    """
    grant = granted(
        rule, Base(), allowed_pub_subjects=CREATE, jetstream="consume:ORDERS, consume:ORDERS/cart"
    ).permissions
    pulls = bool(may_some(grant, Side.PUBLISH, "$JS.API.CONSUMER.MSG.NEXT.ORDERS.cart"))

    assert made == bool(may_some(grant, Side.PUBLISH, CREATE))
    assert pulls == ("other" not in rule and "publish" not in rule)
