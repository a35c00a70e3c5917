"""The order of all checks on a login, once. No step calls the next one; this does."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace

import msgspec

from nats_k8s_oidc_callout.core.grants import conditions
from nats_k8s_oidc_callout.core.grants.grants import Grants, Made, digest_of, is_heavy
from nats_k8s_oidc_callout.core.grants.rules import Labels, Turned
from nats_k8s_oidc_callout.core.identity import issuers, tokens
from nats_k8s_oidc_callout.core.identity.issuers import ClaimRules, Proved
from nats_k8s_oidc_callout.core.identity.keyset import KeySet
from nats_k8s_oidc_callout.core.identity.verified import VerifiedTokens, place_of
from nats_k8s_oidc_callout.core.kubernetes.namespaces import Read
from nats_k8s_oidc_callout.core.kubernetes.serviceaccounts import Index, ServiceAccount
from nats_k8s_oidc_callout.core.model import (
    Allow,
    Deny,
    Drop,
    DropReason,
    Judgement,
    Need,
    NeedKeys,
    NeedNamespace,
    NeedServiceAccount,
    NeedTurn,
    Reason,
    Request,
    Token,
    Workload,
)
from nats_k8s_oidc_callout.core.nats.user import SELF_TEST, self_test
from nats_k8s_oidc_callout.core.sessions import ending, label


@dataclass(slots=True)
class Facts:
    """All that a decision may look at: live views of what the adapters keep up to date."""

    claims: ClaimRules
    namespaces: Collection[str]
    """Of a scoped release, which answers for these only; empty means all."""
    keys: KeySet
    accounts: Index
    grants: Grants
    """Replaced whole with the policy."""
    verified: VerifiedTokens = field(default_factory=VerifiedTokens)
    require_pod_bound: bool = False
    """No token counts that no pod holds, whatever the rules say."""
    labels: Callable[[str], Labels | None] = field(default=lambda _: None)
    """Of a namespace, those that the rules go by; None when they are not known."""
    placeable: Callable[[str], str] = field(default=lambda _: "")
    """Why nobody can be placed into an account; an empty string for one that is fine."""
    self_test: "SelfTest | None" = None
    release: str = ""
    """Whose sessions these are, for their labels; empty without labels."""


@dataclass(frozen=True, slots=True)
class SelfTest:
    """Our own self-test needs no rule: it gives its rights up, and must tell us whether logins work."""

    workload: str
    """Our ServiceAccount as `namespace/name`. A stranger who uses the self-test's connection name is none."""
    made: Made
    """By the settings: what it is judged by when no rule takes it."""


class NoAnswer(str):
    """Why a need was asked for in vain, for the log."""

    __slots__ = ()


Answer = ServiceAccount | Read | NoAnswer | None
"""What fetching for a need brought: nothing for keys, which are in the key set by then, or for what does not exist."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What was already fetched for this request, so that nothing is asked for twice."""

    answers: Mapping[type[Need], Answer] = field(default_factory=dict)
    in_turn: bool = True
    """Whether long work may be done now: False asks for a NeedTurn instead."""

    def with_answer(self, need: Need, answer: Answer) -> "Asked":
        """Return this and what one more need came to."""
        return replace(self, answers={**self.answers, type(need): answer})


NOTHING_ASKED = Asked()


def decide(request: Request, facts: Facts, now: float, monotonic: float, asked: Asked = NOTHING_ASKED) -> Judgement:
    """Return what to answer at `now` (Unix seconds), or what must be fetched before that can be said."""
    if now > request.expires_at + facts.claims.clock_skew_seconds:
        return Drop(DropReason.LATE, "the server has given up on this request")
    verdict = judge(request.token, request.user_nkey, facts, now, monotonic, asked, request)
    if isinstance(verdict, Allow) and request.client_name.startswith(SELF_TEST):
        grant = self_test(verdict.workload.namespace, verdict.workload.name)
        verdict = msgspec.structs.replace(verdict, grant=grant, grant_digest=digest_of(grant), user="")
    if facts.namespaces:
        return _within_scope(verdict, facts.namespaces)
    return verdict


def judge(
    token: Token | None,
    user_nkey: str,
    facts: Facts,
    now: float,
    monotonic: float,
    asked: Asked = NOTHING_ASKED,
    request: Request | None = None,
) -> Judgement:
    """Return what a token is worth at `now`, whoever presents it; `user_nkey` only spreads the session's end.

    Without a request nobody is turned away for how they connect.
    """
    proved = authenticate(token, facts, now, monotonic, asked)
    if not isinstance(proved, Proved):
        return proved
    workload = proved.workload
    if facts.require_pod_bound and not workload.pod:
        return Deny(Reason.NOT_POD_BOUND, workload=workload)

    # The cluster's own answer is the newer one, but the watch may have caught up while we asked.
    answer = asked.answers.get(NeedServiceAccount)
    fetched = answer if isinstance(answer, ServiceAccount) else None
    known = fetched, facts.accounts.find(workload.namespace, workload.name)
    for account in known:
        if account is not None and _is_same(account, workload):
            break
    else:
        return _ask_or_deny(workload, [found.uid for found in known if found is not None], facts.namespaces, asked)

    if not asked.in_turn and is_heavy(account.annotations):
        return NeedTurn(workload)
    made = _made(proved, account, facts, now, asked, request, fresh=account is fetched)
    if not isinstance(made, Made):
        return made
    if not made.encoded:
        return Deny(Reason.NO_PERMISSIONS, "", workload, made.rule)
    ends = ending.session_end(proved.exp, user_nkey, made.session_max_seconds, now)
    return Allow(
        workload,
        made.account,
        made.encoded,
        ends,
        made.digest,
        made.refused,
        proved.other_audiences,
        proved.kid,
        made.rule,
        label.written(proved, ends, made.mark, facts.grants.policy_mark, facts.release) if facts.release else "",
    )


def _made(  # all that a policy goes by
    proved: Proved,
    account: ServiceAccount,
    facts: Facts,
    now: float,
    asked: Asked,
    request: Request | None,
    *,
    fresh: bool,
) -> Made | Deny | NeedNamespace:
    """Return the grant by the policy in force, or why there is none."""
    grants, workload = facts.grants, proved.workload
    if grants.policy.revoked and (entry := grants.policy.revoked.entry_for(workload, proved.issued, now)):
        return Deny(Reason.REVOKED, entry.reason, workload)
    labels = _labels_of(workload, facts, asked, fresh=fresh) if grants.policy.label_keys else None
    made = grants.of(workload.namespace, workload.name, account.annotations, labels)
    if made is None:
        return _ask_for_labels(workload, asked)
    if not grants.policy.digest:
        return made
    turned = _turned(made, workload, request)
    if turned is not None:
        if request is None or facts.self_test is None or not _is_ours(facts.self_test, request, workload):
            return turned
        made = facts.self_test.made if isinstance(made.by, Turned) else made
    why = facts.placeable(made.account)
    return Deny(Reason.NO_ACCOUNT, why, workload, made.rule) if why else made


def _turned(made: Made, workload: Workload, request: Request | None) -> Deny | None:
    """Return why the policy turns this workload away, or the way it connects."""
    if isinstance(made.by, Turned):
        return Deny(made.by.reason, made.by.detail, workload, made.rule)
    connection = None if request is None else (request.client_kind, request.client_host)
    reason = conditions.problem(made.by, connection, workload.pod)
    return None if reason is None else Deny(reason, request.client_host if request else "", workload, made.rule)


def _is_ours(own: SelfTest, request: Request, workload: Workload) -> bool:
    return request.client_name.startswith(SELF_TEST) and str(workload) == own.workload


def _labels_of(workload: Workload, facts: Facts, asked: Asked, *, fresh: bool) -> Labels | None:
    """Return the labels of its namespace, or None when they are not known.

    Of a ServiceAccount that the watch does not know yet the namespace may be new, too: one made again has other labels.
    """
    if NeedNamespace in asked.answers:
        answer = asked.answers[NeedNamespace]
        # Looked up for the policy before, it lacks what only this one goes by.
        if isinstance(answer, Read) and facts.grants.policy.label_keys.issubset(answer.keys_read):
            return answer
        return None
    return None if fresh else facts.labels(workload.namespace)


def _ask_for_labels(workload: Workload, asked: Asked) -> Deny | NeedNamespace:
    if NeedNamespace not in asked.answers:
        return NeedNamespace(workload)
    # Never a fall-through: a later rule may be wider.
    answer = asked.answers[NeedNamespace]
    if isinstance(answer, NoAnswer):
        trouble: str = answer
    else:
        trouble = "it does not exist" if answer is None else "the policy changed while they were looked up"
    return Deny(Reason.INTERNAL, f"labels of namespace {workload.namespace}: {trouble}", workload)


def authenticate(
    token: Token | None, facts: Facts, now: float, monotonic: float, asked: Asked = NOTHING_ASKED
) -> Proved | Deny | NeedKeys:
    """Return what this token proves; the ServiceAccount itself is not looked at."""
    if token is None:
        return Deny(Reason.NO_TOKEN)
    # First of all: what was proved before needs no second look at its form.
    place = place_of(token)
    known = facts.verified.find(place, facts.keys.generation, now)
    if known is not None and facts.keys.find(known.kid, monotonic) is not None:
        return issuers.refuse_now(known, facts.claims, now) or known
    unverified = tokens.peek(token)
    if isinstance(unverified, Deny):
        return unverified
    key = facts.keys.find(unverified.kid, monotonic)
    if key is None:
        # `kid` is the client's word: refused before any arithmetic, and asked about at most once a cool-down.
        return Deny(Reason.UNKNOWN_KEY, unverified.kid) if NeedKeys in asked.answers else NeedKeys(unverified.kid)
    claims = tokens.verify(unverified, key)
    if isinstance(claims, Deny):
        return claims
    # The key's own name for itself, which is the token's: one text for all that it has signed.
    proved = issuers.accept(claims, facts.claims, now, key.kid)
    if not isinstance(proved, Deny):
        # Whoever is refused, with a token of another audience perhaps, is not worth remembering.
        facts.verified.keep(place, facts.keys.generation, proved)
    return proved


def _is_same(account: ServiceAccount, workload: Workload) -> bool:
    """Say whether this is the very ServiceAccount that the token is of: names come again, uids never do.

    A manifest without a uid has none to compare (the settings warn about it).
    """
    return not account.uid or account.uid == workload.uid


def _ask_or_deny(
    workload: Workload, other_uids: list[str], namespaces: Collection[str], asked: Asked
) -> Deny | NeedServiceAccount:
    # A scoped release has no right to look into others' namespaces.
    ours = not namespaces or workload.namespace in namespaces
    # The watch may lag behind a ServiceAccount that was just made, or made again: one look at the cluster decides.
    if ours and NeedServiceAccount not in asked.answers:
        return NeedServiceAccount(workload)
    answer = asked.answers.get(NeedServiceAccount)
    trouble = answer if isinstance(answer, NoAnswer) else ""
    if other_uids:
        return Deny(Reason.UID_MISMATCH, trouble or f"its uid is now {other_uids[0]}", workload)
    return Deny(Reason.UNKNOWN_SERVICE_ACCOUNT, trouble or "it does not exist", workload)


def _within_scope(verdict: Judgement, namespaces: Collection[str]) -> Judgement:
    """Keep silent about everybody but our own workloads, so that a sibling release can answer."""
    if not isinstance(verdict, Allow | Deny):
        return verdict
    if verdict.workload is None or verdict.workload.namespace not in namespaces:
        verified = verdict.workload is not None
        return Drop(DropReason.OUT_OF_SCOPE, verdict.reason if isinstance(verdict, Deny) else "", verified)
    return verdict
