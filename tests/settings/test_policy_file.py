"""What a policy file comes to: silent fields, roles, and how long the heaviest takes."""

import time
from ipaddress import ip_network

import pytest

from nats_k8s_oidc_callout.core.grants.filter import JetStreamGrants
from nats_k8s_oidc_callout.core.grants.revoked import Revocation
from nats_k8s_oidc_callout.core.grants.rules import Given, Rule, Turned
from nats_k8s_oidc_callout.core.grants.templates import Template
from nats_k8s_oidc_callout.core.grants.terms import Entry, InboxMode, ReplyMode, Terms
from nats_k8s_oidc_callout.core.model import ConnectionKind, Reason
from nats_k8s_oidc_callout.settings.policy import Base, PolicyFile, load
from nats_k8s_oidc_callout.settings.policy.loading import read
from nats_k8s_oidc_callout.settings.policy.review import review

BASE = Base(
    account="APP",
    inbox_mode=InboxMode.PRIVATE,
    reply_mode=ReplyMode.RESPONSES,
    replies_max=3,
    replies_ttl_seconds=7.5,
    session_max_seconds=77,
    jetstream_grants=JetStreamGrants.ADMIN,
)


def _loaded(text: str, base: Base = BASE) -> PolicyFile:
    found = load(text.encode(), base)
    assert isinstance(found, PolicyFile), found
    return found


def _rules(text: str) -> tuple[Rule, ...]:
    return tuple(_loaded(f"version: 1\naccounts: ['*']\n{text}").policy.rules)


def test_what_nobody_says_comes_from_the_settings() -> None:
    """But which connections are let in, and that annotations count for nothing, is the file's own default."""
    (rule,) = _rules("rules: [{name: a, match: {}}]")

    assert Template("APP", ()) == rule.account
    assert Template.of("{namespace}") == rule.root
    assert (InboxMode.PRIVATE, ReplyMode.RESPONSES, 3, 7.5) == (
        rule.inbox_mode, rule.reply_mode, rule.replies_max, rule.replies_ttl_seconds,
    )  # fmt: skip
    assert (77, JetStreamGrants.ADMIN, (), False) == (
        rule.session_max_seconds, rule.jetstream_grants, rule.networks, rule.require_pod_bound,
    )  # fmt: skip
    assert {ConnectionKind.NATS, ConnectionKind.WEBSOCKET} == rule.kinds
    assert rule.ceilings is not None
    assert () == rule.ceilings.publish + rule.ceilings.subscribe + rule.ceilings.jetstream


DEFAULTS = (
    "{account: D, root: none, annotations: any, inbox: shared, replies: none, session: 15m, kinds: [mqtt],"
    " networks: ['10.0.0.0/8'], pod: required}"
)
SAID = (
    "account: 'r-{name}', root: 'r', annotations: {publish: ['{name}.>']}, inbox: private, replies: {max: 2, ttl: 1m},"
    " session: 24h, kinds: [leafnode], networks: ['fd00::/8'], pod: any"
)


def test_a_rule_is_heard_before_defaults_and_these_before_settings() -> None:
    silent, said = _rules(f"defaults: {DEFAULTS}\nrules: [{{name: a, match: {{}}}}, {{name: b, match: {{}}, {SAID}}}]")

    assert (Template.of("D"), None, None) == (silent.account, silent.root, silent.ceilings)
    assert (InboxMode.SHARED, ReplyMode.NONE, 900, True) == (
        silent.inbox_mode, silent.reply_mode, silent.session_max_seconds, silent.require_pod_bound,
    )  # fmt: skip
    assert ({ConnectionKind.MQTT}, [ip_network("10.0.0.0/8")]) == (set(silent.kinds), list(silent.networks))
    assert (Template.of("r-{name}"), Template.of("r")) == (said.account, said.root)
    assert said.ceilings is not None
    # A map replaces, and a side that it does not have admits nothing.
    assert ((Template.of("{name}.>"),), ()) == (said.ceilings.publish, said.ceilings.subscribe)
    assert (InboxMode.PRIVATE, ReplyMode.RESPONSES, 2, 60.0, 86_400, False) == (
        said.inbox_mode, said.reply_mode, said.replies_max, said.replies_ttl_seconds,
        said.session_max_seconds, said.require_pod_bound,
    )  # fmt: skip
    assert ({ConnectionKind.LEAFNODE}, [ip_network("fd00::/8")]) == (set(said.kinds), list(said.networks))


def test_roles_are_taken_in_order_and_told_by_name() -> None:
    (rule,) = _rules(
        "roles:\n  r: {publish: [r.>], jetstream: [lookup], deny: {publish: [x.r]}}\n"
        "  s: {publish: ['s.{namespace}'], subscribe: [s.>], deny: {subscribe: [x.s]}}\n"
        "rules: [{name: a, match: {}, roles: [s, r, s], publish: [own], deny: {publish: [x.own]}}]"
    )

    assert (
        Given(Template.of("own"), "rule"), Given(Template.of("s.{namespace}"), "role:s"), Given(Template.of("r.>"), "role:r"),
    ) == rule.publish  # fmt: skip
    assert (Given(Template.of("s.>"), "role:s"),) == rule.subscribe
    assert (Given(Template.of("lookup"), "role:r"),) == rule.jetstream
    assert [["x.own", "x.r"], ["x.s"]] == [
        [entry.text for entry in side] for side in (rule.deny_publish, rule.deny_subscribe)
    ]


def test_a_file_decides() -> None:
    """The policy that comes of it is the one that the responder asks: names, labels, accounts, `revoked`."""
    file = _loaded(
        "version: 1\naccounts: ['team-*']\nrules:\n"
        "- {name: closed, match: {namespaces: [sandbox, 'x-*']}, refuse: INC-1}\n"
        "- {name: teams, match: {namespace_labels: {team: '{t}', stage: [prod, stage]}}, account: 'team-{t}', publish: ['a.{t}']}\n"
        "revoked:\n- {workload: shop/web, issued_before: '2026-11-25T10:00:00Z', until: '2026-11-26T10:00:00Z', reason: r}\n"
    )
    policy = file.policy

    assert {"team", "stage"} == policy.label_keys
    assert (
        Revocation(workload="shop/web", issued_before=1_795_600_800.0, until=1_795_687_200.0, reason="r"),
    ) == policy.revoked.entries
    assert Turned(Reason.REFUSED_BY_RULE, "INC-1", "closed") == policy.terms_of("x-1", "app", {})
    terms = policy.terms_of("shop", "web", {"team": "eu", "stage": "prod"})
    assert isinstance(terms, Terms)
    assert ("teams", "team-eu", (Entry("a.eu", "rule"),)) == (terms.rule, terms.account, terms.publish)
    turned = policy.terms_of("shop", "web", {"team": "eu", "stage": "dev"})
    assert isinstance(turned, Turned)
    assert Reason.NO_RULE is turned.reason


# Each as heavy as 1 MiB lets it be.
_OWN = ",".join(f"'a{i}.{{namespace}}.b'" for i in range(48))
_ROLES = "".join(f"  r{i}: {{publish: [{','.join(f'p{i}.{n}' for n in range(3))}]}}\n" for i in range(64))
_ALL = ",".join(f"r{i}" for i in range(64))


@pytest.mark.parametrize(
    "text",
    [
        "rules:\n" + "".join(f"- {{name: n{i}, match: {{namespaces: ['n{i}-*']}}, publish: [{_OWN}]}}\n" for i in range(1000)),
        f"roles:\n{_ROLES}rules:\n" + "".join(f"- {{name: n{i}, match: {{}}, roles: [{_ALL}]}}\n" for i in range(1000)),
        "rules: [{name: a, match: {}}]\nrevoked:\n"
        + "".join(f"- {{jti: {i:036}, until: '2026-11-26T10:00:00Z'}}\n" for i in range(10_000)),
    ],
    ids=["own", "roles", "revoked"],
)  # fmt: skip
def test_the_heaviest_file_is_read_soon(text: str) -> None:
    """A second on a machine of its own, and about two with all warnings; other processes may have most of this one."""
    content = f"version: 1\n{text}".encode()
    assert 600_000 < len(content) <= 1 << 20 or "roles" in text
    began = time.process_time()

    file = load(content, BASE)
    assert isinstance(file, PolicyFile)
    assert time.process_time() - began < 4

    review(file, 0.0)
    assert time.process_time() - began < 12


@pytest.mark.parametrize(
    "rule",
    [
        "match: {namespace_labels: {team: []}}",
        "match: {}, replies: {}",
        "match: {namespaces: []}",
        "match: , annotations: {publish: }",
    ],
)
def test_what_is_left_of_a_mistake_can_be_looked_at(rule: str) -> None:
    """
    A value that is empty is an error with its line, and never widens a rule; what is left of the file is still a policy.
    """
    file, errors = read(f"version: 1\nrules: [{{name: a, {rule}}}]".encode(), BASE)

    assert {2} == {finding.line for finding in errors}
    assert {"E02"} == {finding.code for finding in errors}
    assert file.policy.terms_of("shop", "web", {}) is not None
