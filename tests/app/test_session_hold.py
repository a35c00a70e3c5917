"""A hold reaches every replica, also one that starts later, and ends when an operator says so."""

import asyncio
from collections.abc import Sequence
from typing import cast

import pytest

from nats_k8s_oidc_callout.adapters.nats import Message
from nats_k8s_oidc_callout.adapters.nats.client import Connection
from nats_k8s_oidc_callout.app.sessions import hold
from nats_k8s_oidc_callout.app.sessions.hold import HOLD, RESUME, STATE, Hold
from nats_k8s_oidc_callout.core.sessions.kicks import Kicks


class Replica:
    """One that hears what is given to it, and keeps what it says."""

    is_connected = True

    def __init__(self) -> None:
        self.said: list[tuple[str, bytes]] = []
        self.kicks = Kicks("a", 50)
        self.hold = Hold("nko.control", self.kicks, "a")
        self._receive = self.hold.ear.hear(cast("Connection", self))

    def answer(self, answers: Sequence[tuple[str, bytes]]) -> None:
        self.said += answers

    def hears(self, data: bytes, reply: str = "") -> bool:
        """Return whether it holds then."""
        self._receive(Message("nko.control", reply, {}, data))
        return self.kicks.held


@pytest.fixture
async def replica(monkeypatch: pytest.MonkeyPatch) -> Replica:
    monkeypatch.setattr(hold, "_ASK_SECONDS", 0.0)
    monkeypatch.setattr(hold, "_ANSWER_SECONDS", 0.02)
    made = Replica()
    assert not made.hold.asked.is_set()
    await asyncio.wait_for(made.hold.asked.wait(), 1)
    return made


async def test_it_asks_before_anybody_is_kicked(replica: Replica) -> None:
    assert replica.said == [("nko.control", STATE)]


async def test_an_operator_is_obeyed_and_answered(replica: Replica) -> None:
    assert replica.hears(HOLD, "r.1")
    assert not replica.hears(RESUME, "r.2")
    assert not replica.hears(b"what?", "r.3")
    assert replica.said[1:] == [("r.1", b'{"replica":"a","held":true}'), ("r.2", b'{"replica":"a","held":false}')]


async def test_one_that_starts_holds_as_the_others_do(replica: Replica) -> None:
    assert not replica.hears(STATE)
    assert replica.hears(HOLD)
    assert replica.hears(STATE)
    assert replica.said[1:] == [("nko.control", HOLD)]


async def test_a_hold_that_is_over_does_not_come_back(replica: Replica) -> None:
    """A replica that had not heard the end yet tells a new one to hold."""
    replica.hears(RESUME, "r")
    assert not replica.hears(HOLD)
    assert replica.hears(HOLD, "r")
    replica.hears(RESUME, "r")
    await asyncio.sleep(0.03)
    assert replica.hears(HOLD)
