"""What waits, in which order it is served, and what goes."""

from nats_k8s_oidc_callout.core.traffic.backlog import Backlog, Room


def filled(*sizes: int, room: Room | None = None) -> Backlog[int]:
    backlog: Backlog[int] = Backlog(room or Room(100))
    for number, size in enumerate(sizes):
        backlog.push(number, float(number), size)
    return backlog


def test_in_order_while_there_is_time() -> None:
    """What came in first is served first, as long as nothing has waited too long."""
    backlog = filled(1, 1, 1)

    assert 0.0 == backlog.oldest
    assert [0, 1, 2] == [backlog.pop(behind_before=0.0) for _ in range(3)]
    assert backlog.oldest is None


def test_the_freshest_first_when_we_are_behind() -> None:
    """Once the oldest has waited too long the freshest is served first: it alone can still be in time."""
    backlog = filled(1, 1, 1)

    assert [2, 1, 0] == [backlog.pop(behind_before=0.5) for _ in range(3)]


def test_room_is_shared() -> None:
    """Two backlogs share one room, which is short when both together have more than fits; the oldest goes by itself."""
    room = Room(100)
    one, other = filled(40, 40, room=room), filled(30, room=room)

    assert room.is_short
    assert (0, 1, 1) == (one.shed(), len(one), len(other))
    assert (70, False) == (room.used, room.is_short)


def test_whoever_leaves_gives_its_room_back() -> None:
    """However an item leaves, nothing of it is counted any more."""
    room = Room(100)
    backlog = filled(10, 20, 30, 40, room=room)
    backlog.pop(behind_before=0.0)
    backlog.pop(behind_before=9.0)
    backlog.shed()
    backlog.older_than(9.0)

    assert (0, 0) == (len(backlog), room.used)


def test_what_is_too_old_is_given_up() -> None:
    """Everything that came in before a moment goes, and its bytes with it."""
    backlog = filled(40, 40)

    assert [0] == backlog.older_than(1.0)
    assert 1 == len(backlog)
