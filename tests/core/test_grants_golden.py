"""Grants to the byte: without a policy file nothing that a workload may do changes from one release to the next."""

import hashlib
import random
from collections.abc import Mapping
from dataclasses import replace

import pytest

from nats_k8s_oidc_callout.core.grants.filter import JetStreamGrants
from nats_k8s_oidc_callout.core.grants.grants import Grants
from nats_k8s_oidc_callout.core.grants.rules import Rule
from nats_k8s_oidc_callout.core.grants.terms import InboxMode, ReplyMode
from nats_k8s_oidc_callout.core.nats.user import ENCODER_VERSION
from tests.fakes.rules import RULE, fresh_grants

_NAMES = ("shop", "web", "a.b", "shop-eu", "x", "cart-7.blue")
_TOKENS = (
    "orders",
    "*",
    ">",
    "eu",
    "$JS",
    "$KV",
    "API",
    "CONSUMER",
    "INFO",
    "ACK",
    "_INBOX",
    "$SYS",
    "S",
    "a b",
    "",
    "é",
)
_SETTINGS = {
    "defaults": RULE,
    "private": replace(RULE, inbox_mode=InboxMode.PRIVATE, reply_mode=ReplyMode.NONE),
    "responses": replace(RULE, reply_mode=ReplyMode.RESPONSES, replies_max=3, replies_ttl_seconds=1.5),
    "admin": replace(RULE, jetstream_grants=JetStreamGrants.ADMIN),
}
# What grants come to by each version of the encoder. Another output is another version: a new row, never a changed one.
_BY_VERSION = {
    1: {
        "defaults": "eed1c513e14504ba",
        "private": "ffde858023040faf",
        "responses": "7ac04698f5232b52",
        "admin": "816e2aad3c01b5f2",
    },
}


@pytest.mark.parametrize("settings", _SETTINGS)
def test_grants_are_the_same_to_the_byte(settings: str) -> None:
    """
    The grants of 2,500 random ServiceAccounts are those of the release before policies.

    Where they are not, ENCODER_VERSION must be raised: labels tell by it which replicas grant alike.
    """
    assert _BY_VERSION[ENCODER_VERSION][settings] == _digest(_SETTINGS[settings])


def _digest(rule: Rule) -> str:
    # Only `random()` gives the same numbers on every Python.
    dice = random.Random(20261126)
    running = hashlib.sha256()
    grants = fresh_grants(rule)
    for _ in range(2_500):
        running.update(_made(grants, dice))
    return running.hexdigest()[:16]


def _made(grants: Grants, dice: random.Random) -> bytes:
    made = grants.of(_one(dice, _NAMES), _one(dice, _NAMES), _annotations(dice))
    assert made is not None
    return made.encoded


def _annotations(dice: random.Random) -> Mapping[str, str]:
    keys = ("allowed-pub-subjects", "allowed-sub-subjects", "typo")
    return {f"nats.io/{key}": _list(dice) for key in keys if dice.random() < 0.7}


def _list(dice: random.Random) -> str:
    return ",".join(_subject(dice) for _ in range(int(dice.random() * 6)))


def _subject(dice: random.Random) -> str:
    if dice.random() < 0.3:
        return f"$JS.API.CONSUMER.MSG.NEXT.{_one(dice, _TOKENS)}.>"
    return ".".join(_one(dice, _TOKENS) for _ in range(1 + int(dice.random() * 4)))


def _one(dice: random.Random, choices: tuple[str, ...]) -> str:
    return choices[int(dice.random() * len(choices))]
