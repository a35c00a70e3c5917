"""Cases of a policy's test table: what holds is quiet, and what does not is told with rule and origin."""

from dataclasses import replace
from ipaddress import ip_network

import pytest

from nats_k8s_oidc_callout.core.grants.cases import ANSWERS_ITSELF, Case, Expect, Result, run
from nats_k8s_oidc_callout.core.grants.globs import Glob
from nats_k8s_oidc_callout.core.grants.policy import Policy
from nats_k8s_oidc_callout.core.grants.revoked import Revocation, Revoked
from nats_k8s_oidc_callout.core.grants.rules import CeilingTemplates, Given, Match
from nats_k8s_oidc_callout.core.grants.templates import Template
from nats_k8s_oidc_callout.core.grants.terms import InboxMode, ReplyMode
from nats_k8s_oidc_callout.core.model import ConnectionKind, Workload
from tests.fakes.rules import PREFIX, RULE

PUBLISHES = f"{PREFIX}allowed-pub-subjects"


def only(namespace: str) -> Match:
    return Match(namespaces=(Glob.of(namespace),))


TEAMS = replace(
    RULE,
    name="teams",
    match=only("shop"),
    inbox_mode=InboxMode.PRIVATE,
    reply_mode=ReplyMode.NONE,
    publish=(Given(Template.of("audit.{namespace}.*"), "role:publishes-audit"),),
    subscribe=(Given(Template.of("events.*"), "rule"),),
    deny_publish=(Template.of("audit.*.raw"),),
    ceilings=CeilingTemplates(publish=(Template.of("shared.>"),)),
    kinds=frozenset({ConnectionKind.NATS}),
    networks=(ip_network("10.0.0.0/8"),),
)
ANSWERS = replace(
    RULE, name="answers", match=only("svc"), reply_mode=ReplyMode.RESPONSES, replies_max=1, replies_ttl_seconds=5.0
)
LABELLED = replace(RULE, name="labelled", match=Match(labels=(("team", (Glob.of("{team}"),)),)), require_pod_bound=True)
CLOSED = replace(RULE, name="closed", match=only("closed"), refuse="INC-1")
POLICY = Policy(
    [TEAMS, ANSWERS, CLOSED, LABELLED],
    revoked=Revoked([Revocation(jti="stolen", reason="INC-7"), Revocation(workload="shop/old", issued_before=100.0)]),
)


def login(workload: str = "shop/web", jti: str = "", pod: str = "a", **more: object) -> Case:
    """Return a case; what is no field of one is expected."""
    namespace, _, name = workload.partition("/")
    fields = {key: more.pop(key) for key in ("labels", "annotations", "kind", "host", "issued") if key in more}
    whole = {"host": "10.1.2.3", **fields}
    return Case(workload=Workload(namespace, name, "", pod, jti), expect=Expect(**more), **whole)  # type: ignore[arg-type]


def ran(case: Case) -> Result:
    return run(case, POLICY, PREFIX, 1000.0)


HOLDS = {
    "rule, account, session": login(rule="teams", account="APP", session=3600, replies=ReplyMode.NONE),
    "the reply permission": login("svc/api", replies=(1, 5.0)),
    "all of it": login(publish=("shop.>", "audit.shop.login"), subscribe=("events.>", "_INBOX_SA.shop.web.>")),
    "nothing of it": login(no_publish=("pay.>", "audit.shop.raw", "_INBOX.>"), no_subscribe=("pay.>", "_INBOX.>")),
    "left out": login(annotations={PUBLISHES: "shared.a, pay.b"}, left_out=("pay.b",), publish=("shared.a",)),
    "nothing left out": login(left_out=()),
    "no rule": login("else/where", refused="no_rule"),
    "a rule that refuses": login("closed/x", refused="refused_by_rule", rule="closed"),
    "a kind": login(kind=ConnectionKind.LEAFNODE, refused="connection_kind"),
    "a network": login(host="192.0.2.1", refused="source_network", rule="teams"),
    "no pod": login("else/where", labels={"team": "a"}, pod="", refused="not_pod_bound", rule="labelled"),
    "a label": login("else/where", labels={"team": "a"}, rule="labelled"),
    "a bad label": login("else/where", labels={"team": "a.b"}, refused="bad_capture"),
    "revoked": login(jti="stolen", refused="revoked"),
    "revoked before": login("shop/old", issued=99.0, refused="revoked"),
    "issued since": login("shop/old", rule="teams"),
}
FAILS = [
    (login(rule="svc"), "rule svc: it is teams"),
    (login("svc/api", replies=ReplyMode.INBOX), "replies inbox: it is {max: 1, ttl: 5s}"),
    (login(replies=(2, 90.0)), "replies {max: 2, ttl: 90s}: it is none"),
    (login(publish=("pay.x",)), 'publish "pay.x": rule teams does not grant all of it'),
    (login(publish=("audit.shop.*",)), 'publish "audit.shop.*": rule teams denies "audit.shop.raw"'),
    (login(subscribe=("events.a.b",)), 'subscribe "events.a.b": rule teams does not grant all of it'),
    (login(no_publish=("audit.>",)), 'no_publish "audit.>": rule teams grants "audit.shop.*" by role publishes-audit'),
    (login(no_subscribe=("events.a.b",)), 'no_subscribe "events.a.b": rule teams grants "events.*" by rule'),
    (login(no_publish=("shop.x",)), 'no_publish "shop.x": rule teams grants "shop.>" by root'),
    (login(left_out=("a.b",)), 'left_out "a.b": rule teams does not leave it out'),
    (login(refused="no_rule"), "refused no_rule: rule teams lets it in"),
    (login("else/where", rule="teams"), "is refused as no_rule (no rule matches it)"),
    (login("closed/x", account="APP"), "is refused as refused_by_rule (INC-1) by rule closed"),
    (login("closed/x", refused="no_rule"), "refused no_rule: it is refused_by_rule by rule closed"),
    (login("closed/x", refused="refused_by_rule", rule="a"), "rule a: rule closed decides"),
    (login("else/where", refused="no_rule", rule="a"), "rule a: no rule decides"),
]


@pytest.mark.parametrize("case", HOLDS.values(), ids=HOLDS.keys())
def test_what_holds(case: Case) -> None:
    """An expectation that holds has nothing to tell."""
    assert () == ran(case).failures


@pytest.mark.parametrize(("case", "failure"), FAILS, ids=[failure for _, failure in FAILS])
def test_what_fails(case: Case, failure: str) -> None:
    """One line says what is expected, what is, and by what."""
    assert (failure,) == ran(case).failures


def test_an_entry_that_is_left_out_unexpectedly() -> None:
    """`left_out` is the whole list: what else is left out is told, and why."""
    (failure,) = ran(login(annotations={PUBLISHES: "pay.b"}, left_out=())).failures

    assert failure.startswith('left_out: "pay.b" is left out, too: it ')


def test_the_rule_that_decided_is_told() -> None:
    """Also of a case that was refused; none where no rule was asked."""
    cases = login(), login("closed/x", rule="a"), login(jti="stolen", refused="revoked")

    assert ["teams", "closed", ""] == [ran(case).rule for case in cases]


def test_nothing_is_said_of_answers_but_a_note() -> None:
    """With the reply permission `no_publish` holds for the permissions alone, so the case has a note."""
    asked = ran(login("svc/api", no_publish=("pay.>",)))

    assert ((), (ANSWERS_ITSELF,)) == (asked.failures, asked.notes)
    assert () == ran(login("svc/api", publish=("svc.>",))).notes


def test_the_settings_may_ask_for_a_pod() -> None:
    """REQUIRE_POD_BOUND refuses before any rule is asked."""
    case = login(pod="", refused="not_pod_bound", rule="teams")

    assert ("rule teams: no rule decides",) == run(case, POLICY, PREFIX, 0.0, require_pod_bound=True).failures
