"""When clients may be sent to log in again, and an operator's word to stop."""

import asyncio
from dataclasses import replace
from typing import Any, cast

import pytest

from nats_k8s_oidc_callout.adapters.nats.client import Connection
from nats_k8s_oidc_callout.app.sessions.guards import LiveGuards, Signs
from nats_k8s_oidc_callout.app.sessions.hold import HOLD, RESUME, STATE, Hold
from nats_k8s_oidc_callout.core.sessions.kicks import Guards, Kicks

SIGNS = Signs(
    ready=lambda: True,
    tested=lambda: 1000.0,
    keys_fresh=lambda: True,
    behind_seconds=lambda: 0.0,
    late=lambda: 7,
    leaving=lambda: False,
    listed_at=lambda: 123.0,
)
FINE = Guards(listed_at=123.0)


@pytest.mark.parametrize(
    ("signs", "guards"),
    [
        ({}, {}),
        ({"ready": lambda: False}, {"ready": False}),
        ({"tested": lambda: None}, {"ready": False}),
        ({"tested": lambda: 919.0}, {"ready": False}),
        ({"tested": lambda: 921.0}, {}),
        ({"tested": lambda: float("inf")}, {}),
        ({"keys_fresh": lambda: False}, {"keys_fresh": False}),
        ({"behind_seconds": lambda: 0.11}, {"calm": False}),
        ({"leaving": lambda: True}, {"draining": True}),
    ],
)
def test_guards_go_by_the_signs(signs: dict[str, Any], guards: dict[str, Any]) -> None:
    live = LiveGuards(replace(SIGNS, **signs), lambda: True, lambda: True, lambda: 1010.0)
    assert live() == replace(FINE, **guards)
    assert not LiveGuards(SIGNS, lambda: False, lambda: True, lambda: 1010.0)().complete
    assert not LiveGuards(SIGNS, lambda: True, lambda: False, lambda: 1010.0)().settled


def test_a_late_login_stops_kicks_for_a_while() -> None:
    late, moments = iter((0, 0, 1, 1, 1, 1)), iter((1000.0, 1001.0, 1003.0, 1005.9, 1006.1))
    live = LiveGuards(replace(SIGNS, late=lambda: next(late)), lambda: True, lambda: True, lambda: next(moments))
    assert [live().calm for _ in range(5)] == [True, False, False, False, True]


class Line:
    """A connection that keeps what is posted."""

    is_connected = True

    def __init__(self) -> None:
        self.posted: list[tuple[str, bytes]] = []

    def post(self, subject: str, payload: bytes) -> None:
        self.posted.append((subject, payload))


async def test_a_word_to_all_replicas() -> None:
    """Obeyed and answered; whoever comes asks, and a replica that holds says so again; other words are nothing."""
    kicks, line = Kicks("a", 50), Line()
    receive = Hold("nko.control", kicks, "replica-1").ear.hear(cast("Connection", line))

    async def hear(data: bytes, reply: str = "") -> list[tuple[str, bytes]]:
        line.posted.clear()
        await receive(cast("Any", type("Message", (), {"data": data, "reply": reply})))
        return list(line.posted)

    assert await hear(STATE) == []
    assert await hear(b"stop", "in") == []
    assert await hear(HOLD, "in") == [("in", b'{"replica":"replica-1","held":true}')]
    assert kicks.held
    assert await hear(STATE) == [("nko.control", HOLD)]
    assert await hear(HOLD) == []
    assert await hear(RESUME, "in") == [("in", b'{"replica":"replica-1","held":false}')]
    assert [False] == [kicks.held]
    line.posted.clear()
    await asyncio.sleep(0.3)
    assert line.posted == [("nko.control", STATE)]
