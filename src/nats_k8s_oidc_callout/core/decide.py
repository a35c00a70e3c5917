"""The order of all checks on a login, once. No step calls the next one; this does."""

import binascii
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

import msgspec

from nats_k8s_oidc_callout.core.grants.grants import Grants, digest_of, is_heavy
from nats_k8s_oidc_callout.core.identity import issuers, tokens
from nats_k8s_oidc_callout.core.identity.issuers import ClaimRules, Proved
from nats_k8s_oidc_callout.core.identity.keyset import KeySet
from nats_k8s_oidc_callout.core.identity.verified import VerifiedTokens
from nats_k8s_oidc_callout.core.kubernetes.serviceaccounts import Index, ServiceAccount
from nats_k8s_oidc_callout.core.model import (
    Allow,
    Deny,
    Drop,
    DropReason,
    Judgement,
    Need,
    NeedKeys,
    NeedServiceAccount,
    NeedTurn,
    Reason,
    Request,
    Token,
    Workload,
)
from nats_k8s_oidc_callout.core.nats.user import SELF_TEST, self_test

# Pods of one rollout share the second their tokens end; without this they would all come back in that second.
_JITTER_SHARE = 0.1


@dataclass(slots=True)
class Facts:
    """All that a decision may look at: live views of what the adapters keep up to date."""

    claims: ClaimRules
    namespaces: Collection[str]
    """Of a scoped release, which answers for these only; empty means all."""
    keys: KeySet
    accounts: Index
    grants: Grants
    verified: VerifiedTokens = field(default_factory=VerifiedTokens)


class NoAnswer(str):
    """Why a need was asked for in vain, for the log."""

    __slots__ = ()


Answer = ServiceAccount | NoAnswer | None
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
    verdict = judge(request.token, request.user_nkey, facts, now, monotonic, asked)
    if isinstance(verdict, Allow) and request.client_name.startswith(SELF_TEST):
        grant = self_test(verdict.workload.namespace, verdict.workload.name)
        verdict = msgspec.structs.replace(verdict, grant=grant, grant_digest=digest_of(grant))
    if facts.namespaces:
        return _within_scope(verdict, facts.namespaces)
    return verdict


def judge(
    token: Token | None, user_nkey: str, facts: Facts, now: float, monotonic: float, asked: Asked = NOTHING_ASKED
) -> Judgement:
    """Return what a token is worth at `now`, whoever presents it; `user_nkey` only spreads the session's end."""
    proved = authenticate(token, facts, now, monotonic, asked)
    if not isinstance(proved, Proved):
        return proved
    workload = proved.workload
    if not workload.pod and facts.grants.policy.terms_of(workload.namespace, workload.name).require_pod_bound:
        return Deny(Reason.NOT_POD_BOUND, workload=workload)

    # The cluster's own answer is the newer one, but the watch may have caught up while we asked.
    answer = asked.answers.get(NeedServiceAccount)
    fetched = answer if isinstance(answer, ServiceAccount) else None
    known = fetched, facts.accounts.find(workload.namespace, workload.name)
    account = next((found for found in known if found is not None and _is_same(found, workload)), None)
    if account is None:
        return _ask_or_deny(workload, [found.uid for found in known if found is not None], facts.namespaces, asked)

    if not asked.in_turn and is_heavy(account.annotations):
        return NeedTurn(workload)
    made = facts.grants.of(workload.namespace, workload.name, account.annotations)
    if not made.encoded:
        return Deny(Reason.NO_PERMISSIONS, workload=workload)
    return Allow(
        workload,
        made.terms.account,
        made.encoded,
        session_end(proved.exp, user_nkey, made.terms.session_max_seconds, now),
        made.digest,
        made.refused,
        proved.other_audiences,
        proved.kid,
    )


def authenticate(
    token: Token | None, facts: Facts, now: float, monotonic: float, asked: Asked = NOTHING_ASKED
) -> Proved | Deny | NeedKeys:
    """Return what this token proves; the ServiceAccount itself is not looked at."""
    if token is None:
        return Deny(Reason.NO_TOKEN)
    unverified = tokens.peek(token)
    if isinstance(unverified, Deny):
        return unverified
    key = facts.keys.find(unverified.kid, monotonic)
    if key is None:
        # `kid` is the client's word: refused before any arithmetic, and asked about at most once a cool-down.
        return Deny(Reason.UNKNOWN_KEY, unverified.kid) if NeedKeys in asked.answers else NeedKeys(unverified.kid)
    known = facts.verified.find(unverified, facts.keys.generation, now)
    if known is not None:
        return issuers.refuse_now(known, facts.claims, now) or known
    claims = tokens.verify(unverified, key)
    if isinstance(claims, Deny):
        return claims
    # The key's own name for itself, which is the token's: one text for all that it has signed.
    proved = issuers.accept(claims, facts.claims, now, key.kid)
    if not isinstance(proved, Deny):
        # Whoever is refused, with a token of another audience perhaps, is not worth remembering.
        facts.verified.keep(unverified, facts.keys.generation, proved)
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


def session_end(token_ends: int, user_nkey: str, max_seconds: int, now: float) -> int:
    """Return when the session ends (Unix seconds): before the token does, and within what the platform allows.

    The server counts `exp` minus its whole second from the moment it accepts, so up to a second past `exp`
    (NATS_FACTS 7.3): one second is taken off. `user_nkey` is new at every login and serves as the dice.
    """
    start = int(now)
    longest = max(0, min(token_ends - 1 - start, max_seconds))
    share = binascii.crc32(user_nkey.encode()) % 1000 / 1000
    return start + longest - int(longest * _JITTER_SHARE * share)


def _within_scope(verdict: Judgement, namespaces: Collection[str]) -> Judgement:
    """Keep silent about everybody but our own workloads, so that a sibling release can answer."""
    if not isinstance(verdict, Allow | Deny):
        return verdict
    if verdict.workload is None or verdict.workload.namespace not in namespaces:
        verified = verdict.workload is not None
        return Drop(DropReason.OUT_OF_SCOPE, verdict.reason if isinstance(verdict, Deny) else "", verified)
    return verdict
