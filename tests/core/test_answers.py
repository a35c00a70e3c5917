"""Answers to the byte: what a server gets may change only on purpose, for other replicas answer beside us meanwhile."""

import hashlib

import pytest

from nats_k8s_oidc_callout.core.grants import annotations
from nats_k8s_oidc_callout.core.model import Allow, Deny, Reason, Workload
from nats_k8s_oidc_callout.core.nats import callout, user
from nats_k8s_oidc_callout.core.nats.nkeys import Kind, SigningKey
from nats_k8s_oidc_callout.core.nats.signers import Signers, config_mode, operator_mode
from nats_k8s_oidc_callout.core.nats.xkey import CurveKey
from tests.fakes.rules import PREFIX, TERMS
from tests.fakes.server import ISSUER, NOW, Server

OURS = CurveKey(bytes([5] * 32))
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
    """
    The same request and verdict give the same answer as before, and that answer sealed when the request was.
    """
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
