"""Replicas that know different things act on the same sessions: how often a client is kicked, and that none is missed."""

import pytest

from tests.fakes.replicas import Stage, Truth

PUB = "nats.io/allowed-pub-subjects"
WIDE, NARROW = {PUB: "a.>, b.>"}, {PUB: "a.>"}
POLICY = "version: 1\nrules:\n  - {{name: all, match: {{}}, account: {account}, publish: [{publish}]}}\n"


def policy(publish: str, account: str = "APP") -> str:
    return POLICY.format(publish=publish, account=account)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize(
    ("before", "after"),
    [(WIDE, NARROW), (WIDE, None), (NARROW, {PUB: "b.>"}), ("deleted", None), ("recreated", None), (NARROW, WIDE)],
)
async def test_an_index_that_lags(seed: int, before: object, after: dict[str, str] | None) -> None:
    """One replica hears of a change 300 ms later: two kicks at the most, and in 5 s all sessions are as it says."""
    stage = Stage(seed=seed)
    stage.truth = ("uid-one", before if isinstance(before, dict) else None)
    stage.tell(lambda replica: replica.hear(("shop", "web"), stage.truth))
    stage.arrive(20)
    await stage.run(10)
    assert (20, 0) == (len(stage.live), stage.most)
    stage.replicas[0].lag = 0.3
    stage.change({"deleted": None, "recreated": ("uid-two", None)}.get(str(before), ("uid-one", after)))
    if before == "recreated":
        stage.arrive(5, "uid-two")
    await stage.run(6)

    gone = before in ("deleted", "recreated")
    assert stage.most == (0 if after == WIDE else max(1, stage.most)) <= 2
    live = {client.uid for client in stage.live.values()}
    assert live == ({"uid-two"} if before == "recreated" else set() if gone else {"uid-one"})
    if after != WIDE:
        assert len({client.mark for client in stage.live.values()}) <= 1
    most = stage.most
    await stage.run(60)
    assert most == stage.most


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize(
    ("old", "new"),
    [
        (policy("a.>, b.>"), policy("a.>")),
        (policy("a.>"), policy("a.>, b.>")),
        (policy("a.>"), policy("b.>")),
        (policy("a.>"), policy("a.>", "OTHER")),
    ],
)
async def test_policies_apart(seed: int, old: str, new: str) -> None:
    """One replica has a new file 90 s later: two kicks a client at the most, also of those that come meanwhile."""
    stage = Stage(seed=seed, policy=old)
    stage.arrive(20)
    await stage.run(10)
    stage.replicas[1].take(new)
    await stage.run(30)
    stage.arrive(10)
    await stage.run(60)
    stage.replicas[0].take(new)
    await stage.run(190)

    assert len(stage.live) == 30
    assert stage.most <= 2
    marks = {client.mark for client in stage.live.values()}
    assert len(marks) == 1 or new == policy("a.>, b.>")


@pytest.mark.parametrize("truth", [("uid-two", None), ("uid-one", WIDE)])
async def test_a_watch_that_hangs(truth: Truth) -> None:
    """
    A replica that does not hear of a ServiceAccount for 90 s, and cannot know that, does not keep ending its sessions.
    """
    stage = Stage()
    stage.replicas[0].lag = 10_000
    stage.change(truth)
    await stage.run(1)
    stage.arrive(10, truth[0])
    await stage.run(90)

    assert stage.most <= 2
    assert (10, 1) == (len(stage.live), stage.replicas[0].lists)
    assert stage.replicas[0].looks < 10


async def test_what_a_replica_that_is_behind_lets_in_ends_in_time() -> None:
    """The other one looks the ServiceAccount up, and ends it within 5 s; it needs no list for that."""
    stage = Stage()
    behind, ahead = stage.replicas
    behind.source.list_again = lambda: None  # type: ignore[method-assign]
    behind.lag = 10_000
    stage.change(("uid-one", NARROW))
    await stage.run(10)
    stage.replicas = [behind]
    stage.arrive(20)
    stage.replicas = [behind, ahead]
    await stage.run(5)

    assert {1} == {client.kicks for client in stage.clients}
    assert (0, 1) == (ahead.lists, ahead.looks)


async def test_what_is_condemned_is_not_forgotten() -> None:
    """
    One that waits for its kick, and cannot be judged at that moment since a list runs, ends when the list is there.
    """
    stage = Stage(1)
    stage.arrive(20)
    await stage.run(5)
    (replica,) = stage.replicas
    replica.kicks.held = True
    stage.change(None)
    await stage.run(5)
    replica.source.in_touch, replica.kicks.held = False, False
    await stage.run(1)
    assert (20, 0) == (len(stage.live), stage.most)
    replica.source.in_touch = True
    await stage.run(5)

    assert not stage.live


async def test_what_changes_while_a_policy_is_refused_is_not_forgotten() -> None:
    """
    A file that is bad for a while, and then what it was, has nobody end for it; then what changed meanwhile counts.
    """
    stage = Stage(1)
    stage.truth = ("uid-one", WIDE)
    (replica,) = stage.replicas
    replica.hear(("shop", "web"), stage.truth)
    stage.arrive(20)
    await stage.run(5)
    replica.rejects = True
    stage.change(("uid-one", NARROW))
    await stage.run(10)
    assert stage.most == 0
    replica.rejects = False
    await stage.run(5)

    assert {1} == {client.kicks for client in stage.clients}


async def test_nobody_is_sent_away_from_an_account_without_a_key() -> None:
    """A key file that is bad or missing keeps clients from coming in, and throws nobody out."""
    stage = Stage(1)
    stage.arrive(20)
    await stage.run(5)
    (replica,) = stage.replicas
    replica.facts.placeable = lambda _: "no key file"
    replica.view._accounts.landing = lambda account: f"{account}?"  # type: ignore[method-assign]
    replica.judging.everything_changed()
    await stage.run(5)
    assert (20, 0) == (len(stage.live), stage.most)
    replica.facts.placeable = lambda _: ""
    replica.judging.everything_changed()
    await stage.run(5)

    assert stage.most > 0
