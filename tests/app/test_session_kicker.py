"""A session that is to end ends, whatever happens between the decision and the server's word."""

import asyncio
from typing import cast

import pytest

from nats_k8s_oidc_callout.adapters.nats.system import Kicked, System
from nats_k8s_oidc_callout.adapters.telemetry import SessionMetrics
from nats_k8s_oidc_callout.app.sessions import control
from nats_k8s_oidc_callout.app.sessions.judging import Judging
from nats_k8s_oidc_callout.app.sessions.kicker import Kicker
from nats_k8s_oidc_callout.app.sessions.view import LiveView
from nats_k8s_oidc_callout.core.sessions.judging import Reason, Today
from nats_k8s_oidc_callout.core.sessions.kicks import Guards, Kicks
from nats_k8s_oidc_callout.core.sessions.table import Session, Table
from tests.core.test_judging import FITS, NOW, Holds

KEY = ("S1", 1)


class Stage:
    """One session, on a clock that is moved by hand, and a server that answers when it is told to."""

    def __init__(self) -> None:
        self.now = NOW
        self.connected = True
        self.kicked: list[int] = []
        self.answers: asyncio.Queue[Kicked] = asyncio.Queue()
        self.holds, self.table, self.kicks = Holds(), Table(), Kicks("a", 50)
        self.holds.policies.have(FITS.policy, NOW - 1000)
        self.judging = Judging(self.table, cast("LiveView", self.holds), self.kicks, lambda: self.now)
        self.kicker = Kicker(
            cast("System", self), self.table, self.kicks, self.judging, Guards, SessionMetrics(), lambda: self.now
        )
        self.table.put(Session(*KEY, "APP", FITS, NOW - 500, seen=NOW - 500))

    @property
    def session(self) -> Session:
        found = self.table.find(KEY)
        assert found is not None
        return found

    async def kick(self, server: str, cid: int) -> Kicked:
        self.kicked.append(cid)
        return await self.answers.get()

    async def turn(self, seconds: float = 0.0, *answers: Kicked) -> None:
        """Move the clock, let the kicker do what it may, and the server answer."""
        self.now += seconds
        self.kicker.turn()
        for answer in answers:
            self.answers.put_nowait(answer)
        for _ in range(5):
            await asyncio.sleep(0)

    async def judge(self) -> None:
        await self.judging._work()


@pytest.fixture
async def stage() -> Stage:
    return Stage()


async def test_condemned_while_its_renewal_is_under_way(stage: Stage) -> None:
    """The renewal is not heard by the server: what condemned the session meanwhile still counts."""
    stage.kicks.add(stage.session, Reason.RENEWAL, NOW)
    await stage.turn()
    stage.holds.account = None
    stage.judging.everything_changed()
    await stage.judge()
    await stage.turn(0.1, Kicked.SILENT)

    assert [1] == stage.kicked
    assert {Reason.RENEWAL: 1, Reason.DELETED: 1} == stage.kicks.pending
    await stage.turn(6, Kicked.DONE)
    assert [1, 1] == stage.kicked


async def test_what_cannot_be_judged_at_the_last_look_is_judged_later(stage: Stage) -> None:
    """The watch breaks between the verdict and the kick: the session is neither ended nor forgotten."""
    stage.holds.account = None
    stage.judging.arrived(stage.session)
    stage.holds.in_sync = False
    await stage.turn()
    assert [] == stage.kicked

    stage.holds.in_sync = True
    stage.now += 3
    await stage.judge()
    await stage.turn(0.0, Kicked.DONE)
    assert [1] == stage.kicked


async def test_one_that_fits_again_keeps_its_renewal(stage: Stage) -> None:
    """Its rights were taken and given back within the minute in which it is renewed."""
    stage.kicks.held = True
    stage.kicks.add(stage.session, Reason.RENEWAL, NOW)
    stage.holds.refused = True
    stage.judging.arrived(stage.session)
    stage.holds.refused = False
    stage.judging.arrived(stage.session)

    assert {Reason.RENEWAL: 1} == stage.kicks.pending


@pytest.mark.parametrize("answer", [Kicked.GONE, Kicked.NO_SERVER])
async def test_one_that_is_not_there_waits_for_nothing(stage: Stage, answer: Kicked) -> None:
    for reason in (Reason.RENEWAL, Reason.REVOKED):
        stage.kicks.add(stage.session, reason, NOW)
    await stage.turn(0.0, answer)

    assert (1, {}, 0) == (len(stage.kicked), stage.kicks.pending, len(stage.table))
    assert stage.kicker.in_doubt.is_set() is (answer is Kicked.NO_SERVER)


async def test_one_that_left_while_its_kick_was_unheard_waits_for_nothing(stage: Stage) -> None:
    stage.kicks.add(stage.session, Reason.MANUAL, NOW)
    await stage.turn()
    stage.table.remove(KEY)
    stage.kicker.ended(KEY)
    await stage.turn(1, Kicked.SILENT)

    assert ([1], {}) == (stage.kicked, stage.kicks.pending)


async def test_a_kick_without_an_end_is_made_again(stage: Stage) -> None:
    """The server said that it did, and its list still has the session."""
    stage.kicks.add(stage.session, Reason.MANUAL, NOW)
    await stage.turn(0.0, Kicked.DONE)
    await stage.turn(6)
    assert stage.kicker.in_doubt.is_set()
    await stage.turn(6, Kicked.DONE)

    assert [1, 1] == stage.kicked


async def test_keys_that_are_gone_are_told_from_when_they_went(stage: Stage) -> None:
    """And not from when the session began: it would seem to have waited for hours."""
    stage.holds.kids = set()
    stage.now += 100
    stage.judging.everything_changed()
    await stage.judge()

    assert {Reason.KEY: 1} == stage.kicks.pending
    assert {} == stage.kicks.waiting(stage.now)


async def test_nobody_is_asked_without_a_connection(stage: Stage) -> None:
    """It would look as if the servers were silent."""
    stage.connected = False
    stage.kicks.add(stage.session, Reason.REVOKED, NOW)
    await stage.turn()

    assert ([], {Reason.REVOKED: 1}) == (stage.kicked, stage.kicks.pending)


async def test_what_changed_while_the_policy_file_was_refused_counts_afterwards(stage: Stage) -> None:
    """The old file is put back, so that no other one is taken: the rights that were lost meanwhile are lost."""
    stage.holds.policy_taken = False
    await stage.judge()
    stage.holds.grant = Today("APP", "00000000")
    stage.judging.everything_changed()
    await stage.judge()
    assert {} == stage.kicks.pending
    stage.holds.policy_taken = True
    await stage.judge()

    assert {Reason.NARROWED: 1} == stage.kicks.pending


async def test_a_bug_in_session_control_ends_no_login(monkeypatch: pytest.MonkeyPatch) -> None:
    """A part that fails is begun again: the other tasks of the responder go on."""
    monkeypatch.setattr(control, "_AFTER_BUG_SECONDS", 0.0)
    begun: list[int] = []

    async def part() -> None:
        begun.append(len(begun))
        if len(begun) > 2:
            await asyncio.Event().wait()
        raise RuntimeError

    task = asyncio.create_task(control.lasting("part", part))
    for _ in range(10):
        await asyncio.sleep(0)
    assert [0, 1, 2] == begun
    task.cancel()
