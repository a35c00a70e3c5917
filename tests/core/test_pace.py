"""So many a second at the most, whatever is asked for."""

import math

import pytest

from nats_k8s_oidc_callout.core.traffic.pace import Pace


def test_without_a_bound_all_is_allowed() -> None:
    """Infinity is no bound, and there is never anything to wait for."""
    pace = Pace()

    assert (1000, 0.0) == (pace.take(1000, 5.0), pace.wait)


@pytest.mark.parametrize("step", [0.001, 0.01, 0.5])
def test_no_more_than_so_many_a_second(step: float) -> None:
    """Over ten seconds of asking for more, as many are allowed as the bound says, and a tenth of a second's worth."""
    pace = Pace(100.0)
    taken = sum(pace.take(1000, number * step) for number in range(round(10 / step) + 1))

    assert taken <= 1010
    assert taken >= (1000 if step < 0.1 else 200)


def test_one_is_allowed_after_the_wait() -> None:
    """When none is left, one is allowed after the time it says, and none a little before."""
    pace = Pace(100.0)
    pace.take(1000, 0.0)
    wait = pace.wait

    assert (0, 1) == (pace.take(1, 0.9 * wait), pace.take(1, 1.01 * wait))


def test_a_bound_comes_and_goes() -> None:
    """A bound that is set later counts at once, and stops counting when it is taken away."""
    pace = Pace()
    pace.take(1, 0.0)
    pace.change(10.0)
    bounded = pace.take(1000, 1.0)
    pace.change(math.inf)

    assert (1, 1000) == (bounded, pace.take(1000, 1.0))
