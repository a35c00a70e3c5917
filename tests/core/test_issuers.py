"""Claims: which are ours, which workload they name, and when they hold."""

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from nats_k8s_oidc_callout.core.identity import issuers
from nats_k8s_oidc_callout.core.identity.issuers import ClaimRules, Proved
from nats_k8s_oidc_callout.core.identity.tokens import VerifiedClaims
from nats_k8s_oidc_callout.core.model import Deny, Reason, Workload
from tests.fakes.issuer import AUDIENCE, ISSUER, JTI, NOW, POD, UID, Issuer
from tests.fakes.rules import CLAIMS

RULES = CLAIMS
WORKLOAD = Workload("team-a", "orders", UID, POD, JTI)


def claims(*, without: str = "", over: dict[str, object] | None = None, **token: Any) -> VerifiedClaims:
    whole = {**Issuer().claims(**token), **(over or {})}
    whole.pop(without, None)
    return msgspec.convert(whole, VerifiedClaims)


def kubernetes(**members: object) -> VerifiedClaims:
    """Claims with these members put over those of `kubernetes.io` (None: left out)."""
    whole = {**Issuer().claims()["kubernetes.io"], **members}
    return claims(over={"kubernetes.io": {name: value for name, value in whole.items() if value is not None}})


def named(namespace: str, name: str) -> VerifiedClaims:
    return claims(namespace=namespace, name=name)


def reason(found: VerifiedClaims, rules: ClaimRules = RULES, now: float = NOW) -> Reason | None:
    outcome = identify(found, rules, now)
    return outcome.reason if isinstance(outcome, Deny) else None


def identify(found: VerifiedClaims, rules: ClaimRules, now: float) -> Workload | Deny:
    outcome = issuers.accept(found, rules, now)
    return outcome if isinstance(outcome, Deny) else outcome.workload


def test_valid_claims_name_their_workload() -> None:
    """The claims of a projected token name namespace, ServiceAccount, uid, pod and token."""
    assert WORKLOAD == identify(claims(), RULES, NOW)


def test_tokens_of_one_pod_share_their_names() -> None:
    """Texts that came by two tokens are the same objects: only `jti` is each token's own."""
    text = msgspec.json.encode(Issuer().claims())
    one, two = (identify(msgspec.json.decode(text, type=VerifiedClaims), RULES, NOW) for _ in range(2))

    assert isinstance(one, Workload)
    assert isinstance(two, Workload)
    for name in ("namespace", "name", "uid", "pod"):
        assert getattr(one, name) is getattr(two, name)
    assert one.jti is not two.jti


def test_token_without_pod_and_jti() -> None:
    """A token of `kubectl create token` before 1.30 has neither pod nor jti, and is accepted."""
    assert Workload("team-a", "orders", UID) == identify(claims(pod="", without="jti"), RULES, NOW)


def test_second_name_of_one_issuer() -> None:
    """During an issuer migration each of the configured names is accepted."""
    rules = replace(CLAIMS, issuers=(ISSUER, "https://new.example/"))

    assert WORKLOAD == identify(claims(over={"iss": "https://new.example/"}), rules, NOW)


def test_wrong_audience_says_whose() -> None:
    """
    The line about a token for somebody else names whose it is: in most cases a pod's own token for the API server.
    """
    token = claims(over={"aud": ["https://kubernetes.default.svc"]})

    denied = identify(token, RULES, NOW)

    assert isinstance(denied, Deny)
    assert f"'{token.sub}' has a token for 'https://kubernetes.default.svc'" == denied.detail


def test_extra_audiences_are_told() -> None:
    """The audiences beside ours are known to the caller, who logs them."""
    assert ("vault", "api") == others(["vault", "nats", "api"])
    assert () == others("nats")


def others(aud: object) -> tuple[str, ...]:
    outcome = issuers.accept(claims(over={"aud": aud}), RULES, NOW)
    assert isinstance(outcome, Proved)
    return outcome.other_audiences


@pytest.mark.parametrize(("number", "expected"), [(16, None), (17, Reason.BAD_CLAIMS), (410, Reason.BAD_CLAIMS)])
def test_at_most_sixteen_audiences(number: int, expected: Reason | None) -> None:
    """
    A token for more than sixteen audiences is refused, ours among them or not: whoever asked for it chose what it weighs.
    """
    many = [f"a{n}" for n in range(number - 1)]

    assert expected == reason(claims(over={"aud": [*many, AUDIENCE]}))
    assert (expected or Reason.WRONG_AUDIENCE) == reason(claims(over={"aud": [*many, "other"]}))


def test_what_is_remembered_is_short() -> None:
    """What a token's other texts say is cut: they are for the log, and are remembered by the thousand."""
    long = claims(pod="p" * 5000, over={"jti": "j" * 5000, "aud": [AUDIENCE, "a" * 5000]})
    outcome = issuers.accept(long, RULES, NOW)

    assert isinstance(outcome, Proved)
    assert (253, 256) == (len(outcome.workload.pod), len(outcome.workload.jti))
    assert [256] == [len(audience) for audience in outcome.other_audiences]


@pytest.mark.parametrize(
    ("over", "later", "expected"),
    [
        pytest.param({"exp": NOW + 10}, 9, None, id="in time"),
        pytest.param({"exp": NOW + 10}, 10, Reason.EXPIRED, id="exp"),
        pytest.param({"nbf": NOW + 10}, -21, Reason.NOT_YET_VALID, id="nbf, our clock went back"),
        pytest.param({"iat": NOW + 10}, -21, Reason.NOT_YET_VALID, id="iat, our clock went back"),
        pytest.param({"kubernetes.io": {**Issuer().claims()["kubernetes.io"], "warnafter": NOW + 10}}, 10,
                     Reason.EXPIRED, id="warnafter"),
    ],
)  # fmt: skip
def test_what_was_proved_is_held_against_the_time(over: dict[str, object], later: int, expected: Reason | None) -> None:
    """What was accepted before is refused, by name, once its time is over or when our clock says that it is not yet."""
    outcome = issuers.accept(claims(over=over), RULES, NOW)
    assert isinstance(outcome, Proved)
    refusal = issuers.refuse_now(outcome, RULES, NOW + later)

    assert (None if expected is None else (expected, WORKLOAD)) == (refusal and (refusal.reason, refusal.workload))


@pytest.mark.parametrize(
    ("namespace", "name"),
    [
        pytest.param("a", "b", id="short"),
        pytest.param("0", "1", id="digits"),
        pytest.param("n" * 63, "s" * 253, id="longest"),
        pytest.param("a-b", "a.b-c.d", id="dots in the name"),
    ],
)
def test_legal_names(namespace: str, name: str) -> None:
    """Every name that Kubernetes allows is accepted."""
    assert reason(named(namespace, name)) is None


@pytest.mark.parametrize(
    ("now", "expected"), [(NOW - 0.001, None), (NOW, Reason.EXPIRED), (NOW + 3600, Reason.EXPIRED)]
)
def test_expiry_has_no_leeway(now: float, expected: Reason | None) -> None:
    """A token is refused from the very second it expires."""
    assert expected == reason(claims(over={"exp": NOW, "iat": NOW - 600, "nbf": NOW - 600}), now=now)


@pytest.mark.parametrize("claim", ["nbf", "iat"])
@pytest.mark.parametrize(("ahead", "expected"), [(5, None), (30, None), (31, Reason.NOT_YET_VALID)])
def test_drifting_clock_is_allowed_for(claim: str, ahead: int, expected: Reason | None) -> None:
    """A token of a clock that is ahead by no more than the skew is accepted."""
    assert expected == reason(claims(over={claim: NOW + ahead}))


def test_skew_is_configured() -> None:
    """With a skew of 0 a token is refused until its first second."""
    strict = replace(CLAIMS, clock_skew_seconds=0)

    assert Reason.NOT_YET_VALID == reason(claims(over={"nbf": NOW + 1}), strict)
    assert reason(claims(over={"nbf": NOW}), strict) is None


@pytest.mark.parametrize(("lifetime", "expected"), [(86_400, None), (86_401, Reason.LIFETIME_TOO_LONG)])
def test_lifetime_is_bounded(lifetime: int, expected: Reason | None) -> None:
    """A token that was issued for longer than the maximum is refused, however young it is."""
    assert expected == reason(claims(lifetime=lifetime))


@pytest.mark.parametrize("exp", [NOW + 5, NOW + 6])
def test_token_that_ends_before_it_begins(exp: int) -> None:
    """An expiry that is not after the issue makes no sense, also within the skew."""
    assert Reason.BAD_CLAIMS == reason(claims(over={"iat": NOW + 6, "exp": exp}))


@pytest.mark.parametrize(("after", "expected"), [(NOW + 1, None), (NOW, Reason.EXPIRED), (NOW - 1, Reason.EXPIRED)])
def test_extended_token_ends_at_warnafter(after: int, expected: Reason | None) -> None:
    """A token that the API server extended counts as expired from when it was meant to end."""
    assert expected == reason(kubernetes(warnafter=after))


@pytest.mark.parametrize("pod", [{}, {"name": ""}, {"uid": "x"}], ids=str)
def test_pod_without_name_is_no_pod(pod: dict[str, object]) -> None:
    """A pod claim that names no pod binds nothing."""
    found = identify(kubernetes(pod=pod), CLAIMS, NOW)

    assert isinstance(found, Workload)
    assert "" == found.pod


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (claims(over={"exp": NOW}), Reason.EXPIRED),
        (claims(over={"nbf": NOW + 60}), Reason.NOT_YET_VALID),
        (claims(lifetime=90_000), Reason.LIFETIME_TOO_LONG),
        (claims(without="exp"), Reason.BAD_CLAIMS),
    ],
    ids=["expired", "not yet valid", "too long", "no exp"],
)
def test_refusal_names_the_proved_workload(found: VerifiedClaims, why: Reason) -> None:
    """Once the workload is proved, a refusal carries it for the log."""
    outcome = identify(found, RULES, NOW)

    assert isinstance(outcome, Deny)
    assert (why, WORKLOAD) == (outcome.reason, outcome.workload)


@pytest.mark.parametrize("found", [claims(over={"iss": "x"}), claims(over={"aud": "x"}), claims(over={"sub": "x"})])
def test_refusal_before_that_names_nobody(found: VerifiedClaims) -> None:
    """Claims of another issuer or audience, or at odds with themselves, prove no workload."""
    outcome = identify(found, RULES, NOW)

    assert isinstance(outcome, Deny)
    assert outcome.workload is None


def test_details_are_escaped_and_cut() -> None:
    """What a refusal quotes of a token cannot break a log line."""
    for found in (claims(over={"iss": "x\n" * 500}), claims(over={"aud": ["\x1b" * 500] * 50})):
        outcome = identify(found, RULES, NOW)
        assert isinstance(outcome, Deny)
        assert outcome.detail.isprintable()
        assert len(outcome.detail) < 2_200
