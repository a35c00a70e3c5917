"""Renewals of a client from login to login, on clocks that differ: each comes in time, and none is one too many."""

from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import msgspec
import pytest

from nats_k8s_oidc_callout.core.sessions.judging import Reason
from nats_k8s_oidc_callout.core.sessions.kicks import Guards, Kicks
from nats_k8s_oidc_callout.core.sessions.table import Session, Table
from tests.core.test_label import LABEL

NOW = 1_789_000_000
Ends = Callable[[int], int]
"""When the token that a client has at a moment ends (Unix seconds, by our clock)."""


class Login(NamedTuple):
    at: int
    ends: int
    """When this session ends by itself."""
    renewed: bool
    """Whether it began because we ended the one before."""


def live(ends: Ends, begins: int, seconds: int, ahead: int = 0, number: int = 1) -> list[Login]:
    """Return the logins of a client that comes back within a second, to a server whose clock is `ahead` of ours."""
    table, kicks, session, renewed = Table(), Kicks("a", 50), None, False
    logins: list[Login] = []
    for now in range(begins, begins + seconds):
        if session is None and ends(now) - ahead > now + 1:
            label = msgspec.structs.replace(LABEL, expires=ends(now))
            session = Session("S1", number + len(logins), "APP", label, now + ahead, seen=now)
            table.put(session)
            logins.append(Login(now, label.expires - ahead, renewed))
        for due in table.take_due(now + ahead):
            kicks.add(due, Reason.RENEWAL, now)
        renewed = bool(kicks) and kicks.take(now, 1, Guards()) is not None
        if session is not None and (renewed or now >= logins[-1].ends):
            table.remove(session.key)
            kicks.drop(session.key)
            session = None
    return logins


def kubelet(lives: int, late: int) -> Ends:
    """Make a pod's token anew after four fifths of its life; it is in the pod `late` seconds after that."""
    return lambda now: NOW + max(0, 5 * (now - late - NOW) // (4 * lives)) * 4 * lives // 5 + lives


@pytest.mark.parametrize("ahead", [-60, -5, 0, 5, 60])
@pytest.mark.parametrize("lives", [90, 125, 600, 3600, 86400])
def test_a_token_that_does_not_move_costs_two_more_logins_at_most(lives: int, ahead: int) -> None:
    begins = NOW + max(0, lives - 3600)
    for number in range(0, 60, 11):
        logins = live(lambda _: NOW + lives, begins, NOW + lives + 100 - begins, ahead, number)
        assert 1 <= len(logins) <= 3, (number, logins)


@pytest.mark.parametrize("ahead", [-5, 0, 5])
@pytest.mark.parametrize(("lives", "late"), [(600, 0), (600, 60), (600, 84), (3600, 90)])
def test_a_token_that_a_kubelet_makes_anew_is_renewed_in_time(lives: int, late: int, ahead: int) -> None:
    """No session ends by itself, whenever in its token's life the client first came."""
    for first in range(0, lives, lives // 6):
        logins = live(kubelet(lives, late), NOW + first, 4 * lives, ahead, first)
        assert all(other.renewed and other.at < one.ends for one, other in pairwise(logins)), (first, logins)
        assert 4 <= len(logins) <= 6


def test_a_session_of_a_minute_is_renewed_before_each_minute() -> None:
    """A limit of a minute moves with each login."""
    logins = live(lambda now: now + 60, NOW, 600)
    assert all(login.renewed for login in logins[1:])
    assert 12 <= len(logins) <= 15
