"""The order of all checks: what each finding leads to, and what never happens before what."""

from dataclasses import replace
from ipaddress import ip_network
from typing import Any

import msgspec
import pytest

from nats_k8s_oidc_callout.core import decide as rules
from nats_k8s_oidc_callout.core.decide import Asked, Facts, NoAnswer, SelfTest, decide
from nats_k8s_oidc_callout.core.grants.annotations import compile_grant
from nats_k8s_oidc_callout.core.grants.grants import Grants, Made, digest_of, mark_of
from nats_k8s_oidc_callout.core.grants.policy import Policy
from nats_k8s_oidc_callout.core.grants.revoked import Revocation, Revoked
from nats_k8s_oidc_callout.core.grants.rules import Rule
from nats_k8s_oidc_callout.core.grants.templates import Template
from nats_k8s_oidc_callout.core.identity.keyset import KeySet, parse_jwks
from nats_k8s_oidc_callout.core.kubernetes.namespaces import Read
from nats_k8s_oidc_callout.core.kubernetes.serviceaccounts import Index, ServiceAccount
from nats_k8s_oidc_callout.core.model import (
    Allow,
    ConnectionKind,
    Deny,
    Drop,
    DropReason,
    NeedKeys,
    NeedNamespace,
    NeedServiceAccount,
    NeedTurn,
    Reason,
    Request,
    Token,
)
from nats_k8s_oidc_callout.core.nats import user
from nats_k8s_oidc_callout.core.sessions.label import parse
from tests.fakes.issuer import NOW, UID, Issuer, issuer_key
from tests.fakes.policies import rule
from tests.fakes.rules import CLAIMS, PREFIX, RULE, fresh_grants, terms_for
from tests.fakes.server import ISSUER as OUR_KEY
from tests.fakes.server import USER_NKEY

KUBERNETES = Issuer()


def facts(**changes: Any) -> Facts:
    """Return a world in which team-a/orders exists and its issuer's key is known."""
    keys = KeySet()
    keys.replace(parse_jwks(KUBERNETES.jwks()).keys, 0.0)
    accounts = Index("nats.io/")
    accounts.begin().put("team-a", "orders", accounts.entry(UID, None))
    whole = Facts(CLAIMS, (), keys, accounts, fresh_grants())
    return replace(whole, **changes)


PERMISSIONS = compile_grant("team-a", "orders", None, terms_for("team-a", "orders"), PREFIX).permissions


def request(token: str = "", expires_at: int = NOW + 1) -> Request:
    return Request(
        subject=OUR_KEY.public,
        server_id="N",
        server_name="S1",
        server_xkey="",
        user_nkey=USER_NKEY,
        token=Token.of(token),
        client_host="10.0.0.9",
        client_id=1,
        client_name="conn",
        client_kind=ConnectionKind.NATS,
        expires_at=expires_at,
    )


def decided(token: str, world: Facts | None = None, asked: Asked = rules.NOTHING_ASKED, now: float = NOW) -> object:
    return decide(request(token), world or facts(), now, 1.0, asked)


def test_a_good_token_is_let_in() -> None:
    """
    A token that proves a ServiceAccount which exists is let in, as that ServiceAccount.
    """
    verdict = decided(KUBERNETES.token())

    assert isinstance(verdict, Allow)
    assert ("system:serviceaccount:team-a:orders", UID) == (verdict.workload.username, verdict.workload.uid)
    assert b'"allow":["team-a.>",' in verdict.grant
    assert (issuer_key().kid, digest_of(verdict.grant)) == (verdict.kid, verdict.grant_digest)


LABELLED = {"release": "prod-1", "grants": Grants(Policy([RULE]), PREFIX, "a1b2c3")}


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param(rules.NOTHING_ASKED, id="at-once"),
        pytest.param(Asked({NeedServiceAccount: ServiceAccount(UID, None)}), id="looked-up"),
        pytest.param(Asked(in_turn=True), id="in-turn"),
    ],
)
def test_a_label_says_when_the_session_ends(asked: Asked) -> None:
    """
    However a login comes to its grant, its label tells the end that goes out, and the digest of the grant.
    """
    world = (
        facts(**LABELLED) if NeedServiceAccount not in asked.answers else facts(accounts=Index("nats.io/"), **LABELLED)
    )
    verdict = decided(KUBERNETES.token(), world, asked)
    assert isinstance(verdict, Allow)
    label = parse(verdict.user)
    assert label is not None

    assert (verdict.expires_at, UID[:8], NOW - 10) == (label.expires, label.uid, label.issued)
    assert ("a1b2c3", "prod-1", mark_of("APP", PERMISSIONS)) == (label.policy, label.release, label.grant)


def test_without_a_release_nothing_is_labelled() -> None:
    """
    A session has the plain name while nobody controls sessions, and a self-test always.
    """
    plain = decided(KUBERNETES.token())
    test = decide(
        msgspec.structs.replace(request(KUBERNETES.token()), client_name=f"{user.SELF_TEST}1"),
        facts(**LABELLED),
        NOW,
        1.0,
    )
    assert isinstance(plain, Allow)
    assert isinstance(test, Allow)

    assert ("", "") == (plain.user, test.user)


def test_an_unknown_key_is_asked_for_once() -> None:
    """
    A token by a key we do not have asks for the keys; still unknown after that, it is refused.
    """
    token = KUBERNETES.token(key=issuer_key("RS256", 8))
    need = decided(token)
    verdict = decided(token, asked=Asked({NeedKeys: None}))

    assert NeedKeys(issuer_key("RS256", 8).kid) == need
    assert isinstance(verdict, Deny)
    assert Reason.UNKNOWN_KEY == verdict.reason


def test_no_key_is_good_when_all_are_stale() -> None:
    """
    Keys that nobody vouched for within the bound let nobody in.
    """
    world = facts()

    assert isinstance(decide(request(KUBERNETES.token()), world, NOW, 90_000.0), NeedKeys)


@pytest.mark.parametrize(
    ("account", "expected"),
    [
        pytest.param(None, Reason.UNKNOWN_SERVICE_ACCOUNT, id="it does not exist"),
        pytest.param(ServiceAccount("another-uid", None), Reason.UID_MISMATCH, id="made again"),
        pytest.param(ServiceAccount(UID[:8], None), Reason.UID_MISMATCH, id="the beginning of its uid"),
        pytest.param(ServiceAccount(f"{UID}0", None), Reason.UID_MISMATCH, id="more than its uid"),
    ],
)
def test_a_lagging_watch_is_asked_past(account: ServiceAccount | None, expected: Reason) -> None:
    """
    What the index contradicts is looked up in the cluster once; what that answers is final.
    """
    world = facts(accounts=Index("nats.io/"))
    if account is not None:
        world.accounts.begin().put("team-a", "orders", account)
    token = KUBERNETES.token()
    need = decided(token, world)
    assert isinstance(need, NeedServiceAccount)
    asked = Asked({NeedKeys: None})
    denied = decided(token, world, asked.with_answer(need, account))
    allowed = decided(token, world, asked.with_answer(need, ServiceAccount(UID, None)))

    assert "team-a/orders" == str(need)
    assert isinstance(denied, Deny)
    assert (expected, need.workload) == (denied.reason, denied.workload)
    assert isinstance(allowed, Allow)


def test_long_work_waits_for_its_turn() -> None:
    """
    A workload with long annotations is told by name, and nothing is made of them, until its turn has come.
    """
    heavy = ServiceAccount(UID, {"nats.io/allowed-pub-subjects": "a.b," * 5_000})
    need = decided(KUBERNETES.token(), asked=Asked({NeedServiceAccount: heavy}, in_turn=False))

    assert isinstance(need, NeedTurn)
    assert "team-a/orders" == str(need.workload)


@pytest.mark.parametrize("name", ["orders", "gone"])
def test_pod_may_be_required(name: str) -> None:
    """
    Where a pod is required a token that none holds is refused, before anybody asks the cluster, however often it comes.
    """
    strict = facts(require_pod_bound=True)
    unbound = KUBERNETES.token(name=name, pod="")

    for _ in range(2):
        verdict = decided(unbound, strict)
        assert isinstance(verdict, Deny)
        assert (Reason.NOT_POD_BOUND, f"team-a/{name}") == (verdict.reason, str(verdict.workload))


def test_pods_and_their_lack_are_let_in() -> None:
    """
    A pod's token is let in where a pod is required, and one without a pod where none is.
    """
    strict = facts(require_pod_bound=True)

    assert isinstance(decided(KUBERNETES.token(), strict), Allow)
    assert isinstance(decided(KUBERNETES.token(pod="")), Allow)


def test_terms_decide_account_and_session() -> None:
    """
    Where a client lands, and for how long at most, is what the policy says of its workload.
    """
    rule = replace(RULE, account=Template.of("SHOP"), session_max_seconds=60)
    verdict = decided(KUBERNETES.token(), facts(grants=fresh_grants(rule)))

    assert isinstance(verdict, Allow)
    assert "SHOP" == verdict.account
    assert NOW + 54 <= verdict.expires_at <= NOW + 60


def test_nobody_is_let_in_for_nothing() -> None:
    """
    A grant that is empty, which NATS would take for every right, is a refusal.
    """

    class Nothing(Grants):
        def of(self, *_: object) -> Made:
            return Made(b"", "", "APP", RULE)

    verdict = decided(KUBERNETES.token(), facts(grants=Nothing(Policy([RULE]), PREFIX)))

    assert isinstance(verdict, Deny)
    assert Reason.NO_PERMISSIONS == verdict.reason


def test_a_live_answer_beats_the_index() -> None:
    """
    What the cluster itself answered counts before what the watch last said.
    """
    world = facts()
    live = ServiceAccount(UID, {"nats.io/allowed-pub-subjects": "fresh.>"})
    verdict = decided(KUBERNETES.token(), world, Asked({NeedServiceAccount: live}))

    assert isinstance(verdict, Allow)
    assert b"fresh.>" in verdict.grant


def test_a_watch_that_caught_up_meanwhile_counts() -> None:
    """
    Who the watch brought while the cluster was asked is let in, whatever became of the question.
    """
    assert isinstance(decided(KUBERNETES.token(), facts(), Asked({NeedServiceAccount: None})), Allow)


def test_a_manifest_without_a_uid_is_matched_by_name() -> None:
    """
    Where the source knows no uid, none is compared.
    """
    accounts = Index("nats.io/")
    accounts.begin().put("team-a", "orders", accounts.entry("", None))

    assert isinstance(decided(KUBERNETES.token(), facts(accounts=accounts)), Allow)


def test_nothing_but_the_signature_is_remembered() -> None:
    """
    A token seen before is let in without its signature, but never past its uid.
    """
    world = facts()
    token = KUBERNETES.token()
    assert isinstance(decided(token, world), Allow)
    again = decided(token, world)
    assert isinstance(again, Allow)
    assert issuer_key().kid == again.kid
    world.accounts.begin().put("team-a", "orders", ServiceAccount("another-uid", None))

    assert 1 == len(world.verified)
    assert isinstance(decided(token, world), NeedServiceAccount)


@pytest.mark.parametrize("ends", ["exp", "warnafter"])
def test_a_remembered_token_is_never_past_its_time(ends: str) -> None:
    """
    A token seen before is refused as expired from the second of its `exp` on, and of its `warnafter`.
    """
    world = facts()
    kubernetes = KUBERNETES.claims()["kubernetes.io"]
    claims = {"exp": NOW + 100} if ends == "exp" else {"kubernetes.io": {**kubernetes, "warnafter": NOW + 100}}
    asked = request(KUBERNETES.token(claims=claims), expires_at=NOW + 100)
    verdicts = [decide(asked, world, NOW + after, 1.0) for after in (0, 99, 100)]

    assert [Allow, Allow, Deny] == [type(verdict) for verdict in verdicts]
    assert isinstance(verdicts[2], Deny)
    assert Reason.EXPIRED == verdicts[2].reason


def test_a_remembered_token_is_worth_nothing_by_stale_keys() -> None:
    """
    A token seen before is not let in by a key that nobody vouched for within the bound.
    """
    world = facts()
    asked = request(KUBERNETES.token())
    assert isinstance(decide(asked, world, NOW, 1.0), Allow)

    assert isinstance(decide(asked, world, NOW, 90_000.0), NeedKeys)


def test_a_removed_key_ends_what_was_remembered() -> None:
    """
    When the issuer takes a key back, tokens by it are refused, remembered or not.
    """
    world = facts()
    token = KUBERNETES.token()
    assert isinstance(decided(token, world), Allow)
    world.keys.replace(parse_jwks(Issuer(keys=[issuer_key("RS256", 9)]).jwks()).keys, 2.0)

    assert isinstance(decided(token, world), NeedKeys)


def test_a_request_the_server_gave_up_on_is_dropped() -> None:
    """
    A request is dropped when its server's clock is past it by more than the skew, not before.
    """
    late = decide(request(KUBERNETES.token()), facts(), NOW + 32, 1.0)
    skewed = decide(request(KUBERNETES.token()), facts(), NOW + 31, 1.0)

    assert isinstance(late, Drop)
    assert DropReason.LATE == late.reason
    assert isinstance(skewed, Allow)


SCOPED = ("team-b",)


@pytest.mark.parametrize(
    "token",
    [
        pytest.param(KUBERNETES.token(), id="another's workload"),
        pytest.param(KUBERNETES.token(claims={"exp": NOW}), id="another's workload, expired"),
        pytest.param(KUBERNETES.token(namespace="team-b", audience="vault"), id="ours, for another audience"),
        pytest.param("", id="no token"),
        pytest.param("a.b", id="rubbish"),
    ],
)
def test_a_scoped_release_is_silent_about_others(token: str) -> None:
    """
    A scoped release says nothing about whoever is not a verified workload of its namespaces.
    """
    verdict = decided(token, facts(namespaces=SCOPED))

    assert isinstance(verdict, Drop)
    assert DropReason.OUT_OF_SCOPE == verdict.reason


def test_a_scoped_release_answers_for_its_own() -> None:
    """
    A scoped release lets its own workloads in, and refuses them by name once the signature proved whose they are.
    """
    accounts = Index("nats.io/")
    accounts.begin().put("team-b", "orders", accounts.entry(UID, None))
    world = facts(namespaces=SCOPED, accounts=accounts)
    expired = decided(KUBERNETES.token(namespace="team-b", claims={"exp": NOW}), world)

    assert isinstance(decided(KUBERNETES.token(namespace="team-b"), world), Allow)
    assert isinstance(expired, Deny)
    assert Reason.EXPIRED == expired.reason


def test_a_scoped_release_looks_nowhere_else() -> None:
    """
    A scoped release never asks the cluster about a namespace that it has no right to.
    """
    nobody = decided(KUBERNETES.token(), facts(namespaces=SCOPED, accounts=Index("nats.io/")))
    ours = decided(KUBERNETES.token(namespace="team-b"), facts(namespaces=SCOPED, accounts=Index("nats.io/")))

    assert [Drop, NeedServiceAccount] == [type(nobody), type(ours)]


def test_a_self_test_may_only_ask_who_it_is() -> None:
    """
    A login that calls itself a self-test gets less than its workload may: to ask the server about itself, no more.
    """
    asked = msgspec.structs.replace(request(KUBERNETES.token()), client_name="nats-k8s-oidc-callout self-test 1")
    verdict = decide(asked, facts(), NOW, 0.0)

    assert isinstance(verdict, Allow)
    rights = msgspec.json.decode(verdict.grant)
    assert ({"allow": ["$SYS.REQ.USER.INFO"]}, {"allow": ["_INBOX_team-a_orders.>"]}) == (rights["pub"], rights["sub"])
    assert "resp" not in rights


def test_the_name_of_a_self_test_lets_nobody_in() -> None:
    """
    Who would be refused is refused under that name too.
    """
    asked = msgspec.structs.replace(request("not.a.token"), client_name="nats-k8s-oidc-callout self-test 1")

    assert isinstance(decide(asked, facts(), NOW, 0.0), Deny)


def ruled(*rules: Rule, revoked: Revoked | None = None, **changes: Any) -> Facts:
    """Return the same world under a policy file with these rules."""
    return facts(grants=Grants(Policy(rules, revoked=revoked, digest="file"), PREFIX), **changes)


SELF = SelfTest("team-a/orders", Made(b"{}", "", "APP", RULE))


@pytest.mark.parametrize(
    ("world", "expected", "named"),
    [
        pytest.param(ruled(rule("all")), None, "all", id="let in"),
        pytest.param(ruled(rule("shop", "shop")), Reason.NO_RULE, "", id="no rule"),
        pytest.param(ruled(rule("shut", refuse="INC-1")), Reason.REFUSED_BY_RULE, "shut", id="refused"),
        pytest.param(
            ruled(rule("all"), revoked=Revoked([Revocation(uid=UID)])), Reason.REVOKED, "", id="revoked before any rule"
        ),
        pytest.param(ruled(rule("all", kinds=frozenset())), Reason.CONNECTION_KIND, "all", id="kind"),
        pytest.param(
            ruled(rule("all", networks=(ip_network("11.0.0.0/8"),))), Reason.SOURCE_NETWORK, "all", id="network"
        ),
        pytest.param(
            ruled(rule("all"), placeable=lambda account: f"no {account}"), Reason.NO_ACCOUNT, "all", id="account"
        ),
        pytest.param(
            ruled(rule("all", account=Template.of("{name}"))), Reason.NO_ACCOUNT, "all", id="unlisted account"
        ),
    ],
)
def test_a_policy_decides(world: Facts, expected: Reason | None, named: str) -> None:
    """
    Each step of a policy has its reason and names its rule; and nobody is refused by it whom another world lets in.
    """
    verdict = decided(KUBERNETES.token(), world)

    assert isinstance(verdict, Deny if expected else Allow)
    assert (expected, named) == (verdict.reason if isinstance(verdict, Deny) else None, verdict.rule)


def test_a_rule_may_want_a_pod() -> None:
    """
    The pod that a rule wants is looked at last of its conditions, and only then.
    """
    verdict = decided(KUBERNETES.token(pod=""), ruled(rule("all", require_pod_bound=True)))

    assert isinstance(verdict, Deny)
    assert Reason.NOT_POD_BOUND == verdict.reason


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (Read.of({"team": "a"}, ("team",)), "labelled"),
        (Read.of({}, ("team",)), "rest"),
        (Read.of({}, ("stage",)), Reason.INTERNAL),
        (NoAnswer("the API server is away"), Reason.INTERNAL),
        (None, Reason.INTERNAL),
    ],
)
def test_labels_that_are_not_known_are_asked_for(answer: rules.Answer, expected: object) -> None:
    """
    Without the labels that decide, the cluster is asked once; without its answer nobody falls through to a wider rule,
    nor by an answer about other labels, which a policy before this one had asked for.
    """
    world = ruled(rule("labelled", labels={"team": "{team}"}), rule("rest"))
    need = decided(KUBERNETES.token(), world)
    assert isinstance(need, NeedNamespace)
    verdict = decided(KUBERNETES.token(), world, Asked().with_answer(need, answer))

    assert "team-a" == str(need)
    assert expected == (verdict.reason if isinstance(verdict, Deny) else isinstance(verdict, Allow) and verdict.rule)


def test_labels_of_a_new_workload_are_fresh() -> None:
    """
    A ServiceAccount that the watch does not know yet is judged by labels as fresh as itself.
    """
    known = ruled(rule("labelled", labels={"team": "a"}), rule("rest"), labels=lambda _: {"team": "a"})
    found = Asked({NeedServiceAccount: ServiceAccount(UID, None)})
    new = replace(known, accounts=Index("nats.io/"))
    verdict = decided(KUBERNETES.token(), known)

    assert isinstance(verdict, Allow)
    assert "labelled" == verdict.rule
    assert isinstance(decided(KUBERNETES.token(), new, found), NeedNamespace)


@pytest.mark.parametrize(
    ("world", "client", "expected"),
    [
        pytest.param(ruled(self_test=SELF), f"{user.SELF_TEST}1", "APP", id="no rule"),
        pytest.param(
            ruled(rule("odd", kinds=frozenset(), account=Template.of("B")), self_test=SELF),
            f"{user.SELF_TEST}1",
            "B",
            id="a rule with conditions",
        ),
        pytest.param(ruled(self_test=SELF), "web", Reason.NO_RULE, id="as an application"),
        pytest.param(
            ruled(self_test=replace(SELF, workload="team-a/x")), f"{user.SELF_TEST}1", Reason.NO_RULE, id="a stranger"
        ),
        pytest.param(
            ruled(self_test=SELF, placeable=lambda _: "no key"), f"{user.SELF_TEST}1", Reason.NO_ACCOUNT, id="account"
        ),
    ],
)
def test_our_own_self_test_needs_no_rule(world: Facts, client: str, expected: object) -> None:
    """
    It lands where a rule says, else where the settings do, with nothing but its own grant; nobody else can use its name.
    """
    asked = msgspec.structs.replace(request(KUBERNETES.token()), client_name=client)
    verdict = decide(asked, world, NOW, 1.0)

    assert expected == (verdict.reason if isinstance(verdict, Deny) else isinstance(verdict, Allow) and verdict.account)
    if isinstance(verdict, Allow):
        assert user.self_test("team-a", "orders") == verdict.grant
        assert verdict.expires_at > NOW + 60
