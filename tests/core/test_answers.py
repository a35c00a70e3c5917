"""Answers to the byte: what a server gets may change only on purpose, for other replicas answer beside us meanwhile."""

import hashlib
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from nats_k8s_oidc_callout.core import base64url
from nats_k8s_oidc_callout.core.decide import Facts, decide
from nats_k8s_oidc_callout.core.grants import annotations
from nats_k8s_oidc_callout.core.identity import keyset
from nats_k8s_oidc_callout.core.identity.keyset import KeySet
from nats_k8s_oidc_callout.core.model import Allow, Deny, Reason, Workload
from nats_k8s_oidc_callout.core.nats import callout, user
from nats_k8s_oidc_callout.core.nats.nkeys import Kind, SigningKey
from nats_k8s_oidc_callout.core.nats.signers import Signers, config_mode, operator_mode
from nats_k8s_oidc_callout.core.nats.xkey import CurveKey
from nats_k8s_oidc_callout.core.sessions.label import Label, digest
from tests.fakes.issuer import JTI, UID, Issuer
from tests.fakes.rules import CLAIMS, PREFIX, TERMS, fresh_grants
from tests.fakes.server import ISSUER, NOW, Server
from tests.fakes.serviceaccounts import item, listed

OURS = CurveKey(bytes([5] * 32))
KUBERNETES = Issuer()
WORKLOAD = Workload("shop", "web", "uid-1")
APP, APP_SIGNING, AUTH, AUTH_SIGNING = (SigningKey(Kind.ACCOUNT, bytes([n] * 32)) for n in (11, 12, 13, 14))
ASKED = {"nats.io/allowed-pub-subjects": "orders.new,audit.>", "nats.io/allowed-sub-subjects": "orders.*"}
GRANT = user.encode(annotations.compile_grant("shop", "web", ASKED, TERMS, PREFIX).permissions)
CONFIG, OWN, SIGNING = (
    config_mode("APP", [ISSUER]),
    operator_mode(APP.public, APP, AUTH.public, AUTH),
    operator_mode(APP.public, APP_SIGNING, AUTH.public, AUTH_SIGNING),
)


@pytest.mark.parametrize(
    ("signers", "account", "allowed", "denied"),
    [
        pytest.param(CONFIG, "APP", "d562295b3a3d98a6", "a02085daa40874fe", id="config-mode"),
        pytest.param(OWN, APP.public, "4972f6c179016baf", "79c8e1b8108af0c4", id="operator-mode-own-keys"),
        pytest.param(SIGNING, APP.public, "c65416adbdef3f91", "ab4f0e189b2eb63a", id="operator-mode-signing-keys"),
    ],
)
def test_answers_are_the_same_to_the_byte(signers: Signers, account: str, allowed: str, denied: str) -> None:
    """The same request and verdict give the same answer as before, and that answer sealed when the request was."""
    server = Server(sub=next(iter(signers.answers)))
    for sealed in (False, True):
        data, xkey, xkeys = (
            (server.ask_sealed(OURS), server.curve.public, (OURS,)) if sealed else (server.ask(), "", ())
        )
        request, opened_by = callout.open_request(data, xkey, signers.answers, xkeys, not sealed)
        for expected, verdict in (
            (allowed, Allow(WORKLOAD, account, GRANT, NOW + 600)),
            (denied, Deny(Reason.EXPIRED, workload=WORKLOAD)),
        ):
            answer = callout.encode(request, verdict, signers, opened_by, NOW, bytes)
            clear = server.curve.open(OURS.public, answer) if sealed else answer
            assert expected == hashlib.sha256(clear).hexdigest()[:16]


def answered(world: Facts) -> bytes:
    """Return the answer to a login of team-a/orders, as its server gets it."""
    data = Server().ask(KUBERNETES.token())
    request, _ = callout.open_request(data, "", CONFIG.answers, (), True)
    verdict = decide(request, world, NOW, 0.0)
    assert isinstance(verdict, Allow)
    return callout.encode(request, verdict, CONFIG, None, NOW, bytes)


def user_in(answer: bytes) -> dict[str, Any]:
    return claims_in(claims_in(answer)["nats"]["jwt"].encode())


def claims_in(jwt: bytes) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.json.decode(base64url.decode(jwt.split(b".")[1]))
    return found


def world(**changes: Any) -> Facts:
    keys = KeySet()
    keys.replace(keyset.parse_jwks(KUBERNETES.jwks()).keys, 0.0)
    return replace(Facts(CLAIMS, (), keys, listed(item("team-a", "orders", UID)), fresh_grants()), **changes)


def test_without_labels_a_login_is_answered_as_before() -> None:
    """From the question's bytes to the answer's nothing changes while sessions are not controlled."""
    assert "bd20a6de94c8af6d" == hashlib.sha256(answered(world())).hexdigest()[:16]


def test_a_label_is_all_that_an_answer_has_more() -> None:
    """With labels the user's name says what was granted, and until when; all else stays to the byte."""
    labelled = world(release="prod-1", grants=replace(fresh_grants(), policy_mark="a1b2c3"))
    bare, more = user_in(answered(world())), user_in(answered(labelled))
    made = labelled.grants.of("team-a", "orders", None)
    assert made is not None
    expected = Label(
        "team-a",
        "orders",
        more["exp"],
        UID[:8],
        made.mark,
        digest(KUBERNETES.keys[0].kid, 6),
        digest(JTI, 8),
        NOW - 10,
        "a1b2c3",
        "prod-1",
    )

    assert str(expected) == more["name"]
    assert bare | {"name": more["name"]} == more
