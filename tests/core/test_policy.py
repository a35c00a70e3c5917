"""Which terms the platform gives to which workload: the first rule that matches decides everything."""

from collections.abc import Mapping

import pytest

from nats_k8s_oidc_callout.core.grants.globs import Glob
from nats_k8s_oidc_callout.core.grants.policy import Policy
from nats_k8s_oidc_callout.core.grants.rules import Turned
from nats_k8s_oidc_callout.core.grants.templates import Template
from nats_k8s_oidc_callout.core.model import Reason
from tests.fakes.policies import rule

Labels = Mapping[str, str] | None

ORDERED = Policy(
    [
        rule("quarantine", "shop", "checkout", refuse="INC-1"),
        rule("labelled", labels={"team": "{team}"}, account=Template.of("team-{team}"), root=Template.of("{team}")),
        rule("parts", "{team}-{part} web-*", root=Template.of("{team}.{part}")),
        rule("templated", "own-*", account=Template.of("{namespace}")),
        rule("exact", "shop pay"),
        rule("mine", "*-b", "*.v2 api"),
    ],
    accounts=[Glob.of("team-*"), Glob.of("own-*")],
    digest="1",
)


@pytest.mark.parametrize(
    ("workload", "labels", "expected"),
    [
        ("shop/checkout", {}, Reason.REFUSED_BY_RULE),
        ("shop/cart", {}, "exact"),
        ("shop/cart", {"team": "retail"}, "labelled"),
        ("shop/cart", {"team": "a.b"}, Reason.BAD_CAPTURE),
        ("shop/cart", {"team": ""}, "exact"),
        ("shop/cart", {"stage": "prod"}, "exact"),
        ("shop/cart", None, None),
        ("shop/checkout", None, Reason.REFUSED_BY_RULE),
        ("a-b-c/x", {}, "parts"),
        ("web-7/x", {}, "parts"),
        ("own-1/x", {}, "parts"),
        ("ownx/x", {}, Reason.NO_RULE),
        ("shopping/cart", {}, Reason.NO_RULE),
        ("x-b/a.v2", {}, "parts"),
    ],
)
def test_the_first_rule_that_matches_decides(workload: str, labels: Labels, expected: object) -> None:
    """Rules are tried in their order; labels that are not known end the search, since a later rule may be wider."""
    namespace, name = workload.split("/")
    found = ORDERED.terms_of(namespace, name, labels)

    assert expected == (found.reason if isinstance(found, Turned) else found and found.rule)


@pytest.mark.parametrize(
    ("account", "accounts", "expected"),
    [
        ("{namespace}", "shop", "shop"),
        ("{namespace}", "", Reason.NO_ACCOUNT),
        ("{namespace}", "pay-*", Reason.NO_ACCOUNT),
        ("LITERAL", "", "LITERAL"),
        ("{namespace}s", "*", Reason.NO_ACCOUNT),
    ],
)
def test_an_account_that_a_template_makes_is_listed(account: str, accounts: str, expected: object) -> None:
    """What a template makes must match an entry of `accounts`, and is never another rule's own account."""
    rules = [rule("one", "shop", account=Template.of(account)), rule("other", account=Template.of("shops"))]
    found = Policy(rules, [Glob.of(glob) for glob in accounts.split()]).terms_of("shop", "cart")

    assert expected == (found.reason if isinstance(found, Turned) else found and found.account)
