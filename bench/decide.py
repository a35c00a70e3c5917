"""One decision in process, bytes in to bytes out, and how many times the bare cryptography in it that costs.

    python bench/decide.py [--rounds N] [--batch N] [--json FILE]

A decision goes the responder's own way: callout.open_request, decide, callout.allow or deny, and the box around it with
an xkey. Bare cryptography is PyNaCl and `cryptography` alone on the very bytes of the same requests and answers: one
Ed25519 verification, a signature for each JWT of ours (two, or one to refuse), the token's own verification where there
is one, open and seal. Kinds and bare take turns in every round, all in CPU time of this process; medians of the rounds.
Compare ratios of one run only.
"""

import argparse
import gc
import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parent.parent), str(Path(__file__).resolve().parent.parent / "src")]


from bench._bare import bare  # noqa: E402  # the lines above make ours importable
from bench._rows import Row, keep  # noqa: E402
from nats_k8s_oidc_callout.core.decide import NOTHING_ASKED, Asked, Facts, decide  # noqa: E402
from nats_k8s_oidc_callout.core.grants.rules import Rule  # noqa: E402
from nats_k8s_oidc_callout.core.grants.templates import Template  # noqa: E402
from nats_k8s_oidc_callout.core.identity import keyset  # noqa: E402
from nats_k8s_oidc_callout.core.identity.keyset import KeySet  # noqa: E402
from nats_k8s_oidc_callout.core.identity.verified import VerifiedTokens  # noqa: E402
from nats_k8s_oidc_callout.core.model import Allow, Deny, NeedKeys, NeedServiceAccount, Reason  # noqa: E402
from nats_k8s_oidc_callout.core.nats import callout  # noqa: E402
from nats_k8s_oidc_callout.core.nats.nkeys import Kind, SigningKey  # noqa: E402
from nats_k8s_oidc_callout.core.nats.signers import Signers, config_mode, operator_mode  # noqa: E402
from nats_k8s_oidc_callout.core.nats.xkey import CurveKey  # noqa: E402
from tests.fakes.issuer import UID, Issuer, issuer_key  # noqa: E402
from tests.fakes.rules import CLAIMS, RULE, fresh_grants  # noqa: E402
from tests.fakes.server import ISSUER as SIGNER  # noqa: E402
from tests.fakes.server import NOW, Server  # noqa: E402
from tests.fakes.serviceaccounts import item, listed  # noqa: E402

AIMS = {"RS256, new": 1.4, "RS256, seen before": None, "RS256, new, xkey": None, "RS256, new, labelled": None}
_OURS = CurveKey(bytes([5] * 32))
_TARGET = SigningKey(Kind.ACCOUNT, bytes([6] * 32))
_CALLOUT = SigningKey(Kind.ACCOUNT, bytes([7] * 32))


@dataclass
class Case:
    """One kind of login: its questions, who answers them, and what they must come to."""

    name: str
    expected: Reason | None
    questions: list[bytes]
    signers: Signers
    facts: Facts
    server: Server
    sealed: bool = False
    seen_before: bool = False
    token_alg: str = "RS256"
    """Of the signature that has to be verified; empty when there is none to get to."""
    ours: list[float] = field(default_factory=list)
    bare: list[float] = field(default_factory=list)

    def forget(self) -> None:
        """Make every token one that was never seen, unless the case is about those that were."""
        if not self.seen_before:
            self.facts.verified = VerifiedTokens()

    def answer(self, data: bytes) -> bytes:
        """Return our answer to the bytes of a question."""
        xkey, xkeys = (self.server.curve.public, (_OURS,)) if self.sealed else ("", ())
        request, opened_by = callout.open_request(data, xkey, self.signers.answers, xkeys, not self.sealed)
        verdict = decide(request, self.facts, NOW, 0.0, NOTHING_ASKED)
        if isinstance(verdict, NeedKeys | NeedServiceAccount):
            # What the world had to say is not counted: nothing came of it.
            verdict = decide(request, self.facts, NOW, 0.0, Asked({NeedKeys: None, NeedServiceAccount: None}))
        if not (isinstance(verdict, Allow) or (isinstance(verdict, Deny) and verdict.reason is self.expected)):
            raise AssertionError(f"{self.name}: {verdict}")
        return callout.encode(request, verdict, self.signers, opened_by, NOW, os.urandom)


def facts(issuer: Issuer, rule: Rule, pod: bool, labelled: bool) -> Facts:
    keys = KeySet()
    keys.replace(keyset.parse_jwks(issuer.jwks()).keys, 0.0)
    accounts = listed(item("team-a", "orders", UID))
    grants = replace(fresh_grants(rule), policy_mark="a1b2c3" if labelled else "")
    return Facts(CLAIMS, (), keys, accounts, grants, require_pod_bound=pod, release="nats-auth-a24a7f" * labelled)


def cases(batch: int) -> list[Case]:
    """Return every kind, each with `batch` questions of different clients."""
    server = Server()
    rs, es = Issuer(), Issuer(keys=[issuer_key("ES256")])
    config = config_mode("APP", [SIGNER])
    operator = operator_mode(_TARGET.public, SigningKey(Kind.ACCOUNT, bytes([8] * 32)), _CALLOUT.public, SIGNER)
    users = [SigningKey(Kind.USER, number.to_bytes(32, "big")).public for number in range(1, batch + 1)]

    def ask(tokens: Sequence[str], server: Server, sealed: bool = False) -> list[bytes]:
        questions = []
        for user, token in zip(users, tokens, strict=True):
            claims = server.claims(token, sealed=sealed)
            claims["nats"]["user_nkey"] = user
            data = server.sign(claims)
            questions.append(server.curve.seal(_OURS.public, os.urandom(24), data) if sealed else data)
        return questions

    def case(
        name: str,
        tokens: Sequence[str],
        expected: Reason | None = None,
        *,
        issuer: Issuer = rs,
        asker: Server = server,
        signers: Signers = config,
        rule: Rule = RULE,
        pod: bool = False,
        sealed: bool = False,
        seen_before: bool = False,
        token_alg: str = "RS256",
        labelled: bool = False,
    ) -> Case:
        questions, known = ask(tokens, asker, sealed), facts(issuer, rule, pod, labelled)
        return Case(name, expected, questions, signers, known, asker, sealed, seen_before, token_alg)

    def new(issuer: Issuer = rs, claims: Mapping[str, object] | None = None, **more: Any) -> list[str]:  # noqa: ANN401  # the builder's own
        return [
            issuer.token(claims={"jti": f"5b8f4c1a-2f7e-4b43-9a52-{number:012}", **(claims or {})}, **more)
            for number in range(batch)
        ]

    good = new()
    allowed = [
        case("RS256, new", good),
        case("RS256, seen before", good, seen_before=True, token_alg=""),
        case("RS256, new, labelled", good, labelled=True),
        case("RS256, seen before, labelled", good, seen_before=True, token_alg="", labelled=True),
        case("ES256, new", new(es), issuer=es, token_alg="ES256"),
        case("RS256, new, xkey", good, sealed=True),
        case("RS256, seen before, xkey", good, sealed=True, seen_before=True, token_alg=""),
        case(
            "RS256, new, operator mode",
            good,
            signers=operator,
            asker=replace(server, sub=_CALLOUT.public),
            rule=replace(RULE, account=Template.of(_TARGET.public)),
        ),
    ]
    forged = good[0][:-10] + ("A" if good[0][-10] != "A" else "B") + good[0][-9:]
    stranger = Issuer(keys=[issuer_key("RS256", 1)])
    denials: list[tuple[Reason, list[str], dict[str, Any]]] = [
        (Reason.NO_TOKEN, [""] * batch, {"token_alg": ""}),
        (Reason.TOKEN_TOO_LARGE, ["x" * 20_000] * batch, {"token_alg": ""}),
        (Reason.MALFORMED_TOKEN, [good[0].replace(".", "", 1)] * batch, {"token_alg": ""}),
        (Reason.UNSUPPORTED_ALGORITHM, new(header={"alg": "HS256"}), {"token_alg": ""}),
        (Reason.UNKNOWN_KEY, new(stranger), {"token_alg": ""}),
        (Reason.BAD_SIGNATURE, [forged] * batch, {}),
        (Reason.WRONG_ISSUER, new(claims={"iss": "https://example.com"}), {}),
        (Reason.WRONG_AUDIENCE, new(audience="vault"), {}),
        (Reason.EXPIRED, new(now=NOW - 7200), {}),
        (Reason.NOT_YET_VALID, new(now=NOW + 300), {}),
        (Reason.LIFETIME_TOO_LONG, new(lifetime=172_800), {}),
        (Reason.BAD_CLAIMS, new(claims={"sub": "system:serviceaccount:team-b:orders"}), {}),
        (Reason.NOT_POD_BOUND, new(pod=""), {"pod": True}),
        (Reason.UNKNOWN_SERVICE_ACCOUNT, new(name="nobody"), {}),
        (Reason.UID_MISMATCH, new(uid="00000000-0000-4000-8000-000000000000"), {}),
    ]
    return allowed + [case(reason.value, tokens, reason, **more) for reason, tokens, more in denials]


def timed(work: Callable[[], None], count: int) -> float:
    """Return CPU microseconds for each of `count`."""
    began = time.process_time_ns()
    work()
    return (time.process_time_ns() - began) / 1000 / count


def measure(rounds: int, batch: int) -> list[Case]:
    """Return every case with its times, one for each round."""
    every = cases(batch)
    alone = [bare(case) for case in every]
    gc.collect()
    # As `serve` does once everything is loaded; the collector itself stays on.
    gc.freeze()
    for number in range(rounds + 1):
        for case, without in zip(every, alone, strict=True):

            def whole(case: Case = case) -> None:
                for data in case.questions:
                    case.answer(data)

            case.forget()
            ours, least = timed(whole, batch), timed(without, batch)
            # The first round fills caches: keys, boxes, grants, tokens that come again.
            if number:
                case.ours.append(ours)
                case.bare.append(least)
    return every


def summary(case: Case) -> dict[str, Any]:
    return {
        "kind": case.name,
        "denied": case.expected is not None,
        "us": round(statistics.median(case.ours), 1),
        "bare_us": round(statistics.median(case.bare), 1),
        "multiple": round(statistics.median(o / b for o, b in zip(case.ours, case.bare, strict=True)), 3),
    }


def rows(found: Sequence[Mapping[str, Any]]) -> list[Row]:
    """Return the logins that are told of, and of the refusals the dearest."""
    told = [(f"one decision: {kind['kind']}", kind) for kind in found if kind["kind"] in AIMS]
    dearest = max((kind for kind in found if kind["denied"]), key=lambda kind: float(kind["multiple"]))
    told.append((f"one refusal, the dearest kind: {dearest['kind']}", dearest))
    return [
        Row(what, kind["us"], "µs", kind["bare_us"], "bare cryptography", kind["multiple"], AIMS.get(kind["kind"]))
        for what, kind in told
    ]


def main() -> None:
    """Print one line a kind."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--batch", type=int, default=50, help="decisions of one kind in a round")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    found = [summary(case) for case in measure(options.rounds, options.batch)]
    print("| kind | µs | bare cryptography µs | multiple |\n|---|---|---|---|")
    for row in found:
        print(f"| {row['kind']} | {row['us']:.0f} | {row['bare_us']:.0f} | {row['multiple']:.2f} |")
    keep(options.json, rows(found), {"rounds": options.rounds, "batch": options.batch}, kinds=found)


if __name__ == "__main__":
    main()
