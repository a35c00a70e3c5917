"""When clients may be sent to log in again, and an operator's word to stop."""

from dataclasses import replace
from typing import Any

import pytest

from nats_k8s_oidc_callout.app.sessions.guards import LiveGuards, Signs
from nats_k8s_oidc_callout.core.sessions.kicks import Guards

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
