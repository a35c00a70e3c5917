"""What is remembered of earlier grants, so that whoever has nothing to lose stays."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from nats_k8s_oidc_callout.core.sessions.grown import GROWN_BYTES, Grown

WORKLOAD = "shop", "web"


def within(one: int, other: int) -> bool:
    return one & other == one


def test_grown_grants_of_2000_workloads_are_remembered() -> None:
    """Of more, those that changed longest ago are taken to be narrowed."""
    grown = Grown(within)
    for number in range(2001):
        grown.change(("shop", str(number)), ("a", 1), ("b", 3))

    assert [False, True, True] == [grown.holds(("shop", str(number)), "a") for number in (0, 1, 2000)]


def test_what_is_remembered_of_grants_is_bounded_in_bytes() -> None:
    """Tenants choose how large a grant is: a thousand of 100 kB each are not kept."""
    grown = Grown(within, lambda _: 100_000)
    for number in range(1000):
        for old, new in (("a", 1), ("b", 3)), (("b", 3), ("c", 7)):
            grown.change(("shop", str(number)), old, new)
    assert GROWN_BYTES - 200_000 <= grown.size <= GROWN_BYTES
    assert [False, True] == [grown.holds(("shop", str(number)), "a") for number in (900, 999)]
    for number in range(1000):
        grown.change(("shop", str(number)), None, None)

    assert grown.size == 0


@given(st.lists(st.integers(0, 15), min_size=2, max_size=12))
def test_no_grant_is_kept_that_todays_does_not_contain(grants: list[int]) -> None:
    """Whatever a tenant changes and back."""
    grown = Grown(within)
    for old, new in itertools.pairwise(grants):
        grown.change(WORKLOAD, (f"{old}", old), (f"{new}", new))

    assert all(within(grant, grants[-1]) for grant in range(16) if grown.holds(WORKLOAD, f"{grant}"))
