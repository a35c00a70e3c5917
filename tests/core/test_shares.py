"""Whose annotations count when there is no room for all."""

from nats_k8s_oidc_callout.core.kubernetes.shares import Shares


def filled(**weights: int) -> Shares:
    shares = Shares()
    for namespace, weight in weights.items():
        shares.change(namespace, weight)
    return shares


def test_the_heaviest_pays() -> None:
    """Left out is the heaviest namespace, with all it has; the others' weight stays."""
    shares = filled(a=10, b=50, c=40)

    assert "b" == shares.ignore_heaviest()
    assert (50, ("b",)) == (shares.weight, shares.ignored)
    assert shares.is_ignored("b")


def test_who_is_ignored_weighs_nothing_more() -> None:
    """What a namespace adds while it is left out takes nobody's room."""
    shares = filled(a=10, b=50)
    shares.ignore_heaviest()
    shares.change("b", 1000)

    assert 10 == shares.weight


def test_it_comes_back_when_it_fits() -> None:
    """
    A namespace counts again once it fits with an eighth to spare, the lightest first, and is empty until it is put again.
    """
    shares = filled(a=10, b=50, c=60)
    shares.ignore_heaviest()
    shares.ignore_heaviest()

    assert [] == shares.let_in(60)
    assert ["b"] == shares.let_in(80)
    assert (10, ("c",)) == (shares.weight, shares.ignored)
    shares.change("b", 50)
    shares.change("c", -40)
    assert ["c"] == shares.let_in(100)


def test_what_is_gone_leaves_nothing() -> None:
    """Namespaces without annotations take no place, held or left out."""
    shares = filled(a=10, b=20)
    shares.ignore_heaviest()
    shares.change("a", -10)
    shares.change("b", -20)

    assert ((), 0, {}) == (shares.ignored, shares.weight, shares._held)
