"""The simulation of bench/reconnect.py keeps the laws that any such simulation must keep, and our own constants."""

import random
from dataclasses import replace
from statistics import fmean

import pytest

from bench import _reconnect_servers as servers
from bench._reconnect_crowd import simulate
from bench._reconnect_engine import Clock, Lane, Own, Processors, Program, Quota
from bench._reconnect_world import LIBRARIES, Costs, Seen, Times, World
from nats_k8s_oidc_callout.responder import turns

COSTS = Costs(
    accept=Times(20e-6),
    greet=Times(80e-6, (0.5, 1.0, 1.5)),
    ask=Times(200e-6),
    send=Times(50e-6),
    answer=Times(300e-6),
    finish=Times(100e-6),
    login=Times(400e-6, (0.8, 1.2)),
    wake=50e-6,
    turn=200e-6,
    client=100e-6,
)


def crowd(world: World, clients: int, library: str = "storm", seed: int = 1) -> Seen:
    return simulate(world, [(0.0, LIBRARIES[library])] * clients, seed)


def test_jobs_of_a_program_begin_in_order_on_all_its_threads() -> None:
    clock, done = Clock(), list[tuple[int, float]]()
    program = Program(Own(clock), 2)
    for number in range(5):
        program.do(1.0, lambda number: done.append((number, clock.now)), number)
    clock.run()
    assert done == [(0, 1.0), (1, 1.0), (2, 2.0), (3, 2.0), (4, 3.0)]


def test_a_lane_does_one_job_at_a_time_in_order_and_gives_way_after_its_slice() -> None:
    clock, done = Clock(), list[str]()
    program = Program(Own(clock), 1)
    lane = Lane(clock, program, slice_seconds=2.0)
    for number in range(4):
        lane.do(1.0, done.append, f"lane {number}")
    program.do(1.0, done.append, "woken by the network")
    program.spawn(1.0, done.append, "spawned")
    clock.run()
    assert done == ["lane 0", "lane 1", "spawned", "woken by the network", "lane 2", "lane 3"]
    assert clock.now == pytest.approx(6.0)


def test_processors_are_shared_equally() -> None:
    clock, done = Clock(), dict[str, float]()
    shared = Processors(clock, 2)
    for name, work in (("short", 1.0), ("long", 2.0), ("longest", 3.0)):
        shared.run(work, lambda name: done.update({name: clock.now}), name)
    clock.run()
    # Three at two thirds each, until the short one ends; then nobody has to wait.
    assert done == pytest.approx({"short": 1.5, "long": 2.5, "longest": 3.5})


@pytest.mark.parametrize(("limit", "end"), [(0.5, 0.22), (0.1, 1.11), (1.0, 0.12), (2.0, 0.12)])
def test_a_cpu_limit_stops_work_until_the_next_period(limit: float, end: float) -> None:
    clock, done = Clock(), list[float]()
    Quota(clock, limit).run(0.12, lambda: done.append(clock.now))
    clock.run()
    assert done == pytest.approx([end])


@pytest.mark.parametrize("load", [0.5, 0.8])
def test_a_queue_with_constant_service_waits_as_the_formula_says(load: float) -> None:
    """M/D/1: Poisson arrivals, one server: the mean wait is load / (2 (1 - load)) of a service (Pollaczek-Khinchine)."""
    clock, rng, waits = Clock(), random.Random(7), list[float]()
    program, moment = Program(Own(clock), 1), 0.0

    def come(came: float) -> None:
        program.do(1.0, lambda: waits.append(clock.now - came - 1.0))

    for _ in range(30_000):
        moment += rng.expovariate(load)
        clock.at(moment, come, moment)
    clock.run()
    assert fmean(waits) == pytest.approx(load / (2 * (1 - load)), rel=0.05)


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("limit", [1.0, 0.02])
def test_no_client_and_no_login_is_lost_sight_of(library: str, limit: float) -> None:
    seen = crowd(World(COSTS, nodes=3, replicas=2, limit=limit, latency=1e-3, hop=1e-5), 400, library)
    assert len(seen.answered) + seen.closed == seen.clients == 400
    # Who gives up at the moment when the server refuses is counted by both.
    assert len(seen.answered) + seen.gave_up <= seen.attempts
    assert seen.attempts <= len(seen.answered) + seen.gave_up + seen.refused + seen.unread
    assert min(seen.took) > 0.0
    assert max(seen.took) <= min(1.6, LIBRARIES[library].timeout)


def test_processor_time_is_what_the_logins_cost() -> None:
    exact = replace(COSTS, greet=Times(80e-6), login=Times(400e-6), wake=0.0, turn=0.0)
    seen = crowd(World(exact, replicas=3), 1000)
    assert seen.server_seconds == pytest.approx(0.75)
    assert seen.responder_seconds == pytest.approx(0.4)
    assert seen.took
    assert (seen.refused, seen.late, seen.dropped, seen.closed) == (0, 0, 0, 0)


def test_all_that_share_a_machine_take_as_long_as_their_work() -> None:
    exact = replace(COSTS, wake=0.0, turn=0.0)
    seen = crowd(World(exact, replicas=1, shared=2), 1000)
    assert max(seen.answered) == pytest.approx((0.75 + 0.4 + 0.1) / 2, rel=0.1)


def test_the_same_seed_sees_the_same_and_another_does_not() -> None:
    world = World(COSTS, nodes=2, replicas=2, shared=2)
    assert crowd(world, 300, seed=5) == crowd(world, 300, seed=5)
    assert crowd(world, 300, seed=5).answered != crowd(world, 300, seed=6).answered


def test_without_an_answer_each_library_does_what_it_does() -> None:
    dead = World(replace(COSTS, login=Times(100.0)), replicas=1)
    go, python = crowd(dead, 1, "nats.go"), crowd(dead, 1, "nats-py")
    assert (go.attempts, go.refused, go.closed) == (2, 2, 1)
    assert (python.attempts, python.refused, python.closed) == (60, 60, 1)


def test_a_responder_that_is_behind_drops_what_is_too_old() -> None:
    seen = crowd(World(replace(COSTS, login=Times(4e-3)), replicas=1), 1000)
    assert seen.dropped > 0
    assert len(seen.answered) + seen.refused == 1000
    # What it answers is in time.
    assert seen.late == 0


def test_a_cohort_comes_to_the_same_as_its_clients() -> None:
    world = World(COSTS, nodes=2, node_cores=4, replicas=2, limit=0.5)
    one = crowd(world, 4_000, "nats.go")
    ten = crowd(replace(world, cohort=10), 400, "nats.go")
    assert 10 * len(ten.answered) == pytest.approx(len(one.answered), rel=0.05)
    assert max(ten.answered) == pytest.approx(max(one.answered), rel=0.1)


def test_the_constants_are_the_responders() -> None:
    assert (servers.TURN, servers.RESERVE_SECONDS) == (turns._TURN, turns._RESERVE_SECONDS)
