"""Which hosts flood us, and which only look like it."""

import pytest

from nats_k8s_oidc_callout.core.traffic.flooding import HALF_LIFE_SECONDS, SUSPECT_AFTER, Hosts


def after(denied: int, allowed: int, monotonic: float = 0.0) -> Hosts:
    hosts = Hosts()
    for number in range(denied + allowed):
        # Spread, so that the order tells nothing.
        hosts.record(
            "h", number * allowed // (denied + allowed) != (number + 1) * allowed // (denied + allowed), monotonic
        )
    return hosts


@pytest.mark.parametrize(
    ("denied", "allowed", "expected"),
    [
        pytest.param(0, 1000, False, id="only good"),
        pytest.param(SUSPECT_AFTER - 1, 0, False, id="a bad rollout"),
        pytest.param(SUSPECT_AFTER, 0, True, id="a flood"),
        pytest.param(950, 50, False, id="a shared proxy"),
        pytest.param(995, 5, True, id="a flood with some luck"),
    ],
)
def test_who_is_suspect(denied: int, allowed: int, expected: bool) -> None:
    """Suspect is who was refused often and let in almost never."""
    assert expected == after(denied, allowed).is_suspect("h", 0.0)


def test_nobody_is_suspect_for_another() -> None:
    """One host's refusals say nothing about another host."""
    assert not after(500, 0).is_suspect("other", 0.0)


def test_a_flood_is_forgotten() -> None:
    """Some half-lives after a flood the host is a host like any other."""
    assert not after(1000, 0).is_suspect("h", 6 * HALF_LIFE_SECONDS)


def test_hosts_are_bounded() -> None:
    """However many hosts are refused, only so many are remembered."""
    hosts = Hosts(size=10)
    for number in range(1000):
        hosts.record(f"h{number}", allowed=False, monotonic=0.0)

    assert 10 == len(hosts)


def test_good_hosts_take_no_memory() -> None:
    """A host that was never refused is not remembered."""
    hosts = Hosts()
    hosts.record("h", allowed=True, monotonic=0.0)

    assert 0 == len(hosts)
