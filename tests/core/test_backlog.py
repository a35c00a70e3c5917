"""What waits, in which order it is served, and what goes."""

from nats_k8s_oidc_callout.core.backlog import Backlog


def filled(*sizes: int, bytes_max: int = 100) -> tuple[Backlog[int], list[int]]:
    backlog: Backlog[int] = Backlog(bytes_max)
    gone = [shed for number, size in enumerate(sizes) for shed in backlog.push(number, float(number), size)]
    return backlog, gone


def test_in_order_while_there_is_time() -> None:
    """
    What came in first is served first, as long as nothing has waited too long.
    """
    backlog, _ = filled(1, 1, 1)

    assert [0, 1, 2] == [backlog.pop(behind_before=0.0) for _ in range(3)]


def test_the_freshest_first_when_we_are_behind() -> None:
    """
    Once the oldest has waited too long the freshest is served first: it alone can still be in time.
    """
    backlog, _ = filled(1, 1, 1)

    assert [2, 1, 0] == [backlog.pop(behind_before=0.5) for _ in range(3)]


def test_the_oldest_goes_when_it_is_too_much() -> None:
    """
    Past its bytes the backlog lets the oldest go, and as many as it takes.
    """
    backlog, gone = filled(40, 40, 90)

    assert ([0, 1], 1) == (gone, len(backlog))


def test_one_item_is_always_taken() -> None:
    """
    An item larger than the bound is kept as long as it is alone.
    """
    assert 1 == len(filled(500)[0])


def test_what_is_too_old_is_given_up() -> None:
    """
    Everything that came in before a moment goes, and its bytes with it.
    """
    backlog, _ = filled(40, 40)

    assert [0] == backlog.older_than(1.0)
    assert [] == backlog.push(9, 9.0, 60)
