"""Which sessions are ended next, how fast, and when not."""

from collections import Counter
from dataclasses import replace

import msgspec
import pytest

from nats_k8s_oidc_callout.core.sessions.judging import Reason
from nats_k8s_oidc_callout.core.sessions.kicks import BACK_OFF_SECONDS, Guards, Kick, Kicks
from nats_k8s_oidc_callout.core.sessions.table import Session
from tests.core.test_label import LABEL

NOW = 1_789_000_000.0
FINE = Guards()


def session(
    cid: int = 1,
    namespace: str = "shop",
    name: str = "web",
    seen: float = NOW - 1000,
    ends: float = 600,
    server: str = "S1",
) -> Session:
    label = msgspec.structs.replace(LABEL, namespace=namespace, name=name, expires=int(NOW + ends))
    return Session(server, cid, "APP", label, NOW - 3000, seen=seen)


def run(
    kicks: Kicks, begins: float, seconds: float, guards: Guards = FINE, total: int = 10_000
) -> list[tuple[float, Kick]]:
    """Take all that may be taken, every 20 ms."""
    found, now = [], begins
    while now < begins + seconds:
        while (kick := kicks.take(now, total, guards)) is not None:
            found.append((now - begins, kick))
        now += 0.02
    return found


def order(kicks: Kicks, guards: Guards = FINE) -> list[int]:
    return [kick.session.cid for _, kick in run(kicks, NOW, 5, guards)]


def test_reasons_have_an_order_and_renewals_by_their_end() -> None:
    kicks = Kicks("a", 50)
    reasons = [reason for reason in Reason if reason is not Reason.RENEWAL]
    for number, reason in enumerate(reversed(reasons)):
        kicks.add(session(number, f"n{number}"), reason, NOW)
    for cid, ends in ((21, 300), (22, 100)):
        kicks.add(session(cid, ends=ends), Reason.RENEWAL, NOW)

    taken = [kick.reason for _, kick in run(kicks, NOW, 5)]
    assert sorted(set(taken), key=taken.index) == [Reason.RENEWAL, *(
        Reason.REVOKED, Reason.DELETED, Reason.RECREATED, Reason.REFUSED, Reason.MANUAL,
        Reason.ACCOUNT, Reason.NARROWED, Reason.KEY,
    )]  # fmt: skip
    assert not kicks.pending


@pytest.mark.parametrize("wrong", [{"ready": False}, {"keys_fresh": False}, {"complete": False}, {"calm": False}])
def test_who_comes_back_waits_until_logins_work(wrong: dict[str, bool]) -> None:
    kicks, guards = Kicks("a", 1000), replace(FINE, **wrong)
    for number, reason in enumerate(Reason):
        kicks.add(session(number), reason, NOW)

    assert {kick.reason for _, kick in run(kicks, NOW, 5, guards)} == {
        Reason.REVOKED, Reason.DELETED, Reason.RECREATED, Reason.REFUSED, Reason.MANUAL,
    }  # fmt: skip
    assert len(guards.failing) == 1
    assert {kick.reason for _, kick in run(kicks, NOW + 5, 5)} == {
        Reason.ACCOUNT, Reason.NARROWED, Reason.KEY, Reason.RENEWAL,
    }  # fmt: skip


def test_a_replica_that_leaves_renews_nobody() -> None:
    kicks = Kicks("a", 1000)
    kicks.add(session(1), Reason.RENEWAL, NOW)
    kicks.add(session(2), Reason.NARROWED, NOW)

    assert order(kicks, replace(FINE, draining=True)) == [2]
    assert kicks.waiting(NOW + 1) == {Reason.RENEWAL: 1}


def test_held_is_held() -> None:
    kicks = Kicks("a", 50)
    kicks.add(session(), Reason.DELETED, NOW)
    kicks.held = True
    assert not order(kicks)
    kicks.held = False
    assert order(kicks) == [1]


def test_one_session_has_one_reason_and_perhaps_a_renewal() -> None:
    kicks = Kicks("a", 50)
    for seconds, reason in enumerate((Reason.RENEWAL, Reason.KEY, Reason.NARROWED, Reason.RENEWAL, Reason.NARROWED)):
        kicks.add(session(), reason, NOW + seconds)

    assert (kicks.reason_of(("S1", 1)), kicks.reason_of(("S1", 2))) == (Reason.NARROWED, None)
    assert [kick[1:] for _, kick in run(kicks, NOW + 4, 1)] == [(Reason.RENEWAL, NOW), (Reason.NARROWED, NOW + 2)]
    kicks.add(session(), Reason.NARROWED, NOW)
    kicks.add(session(), Reason.RENEWAL, NOW)
    kicks.drop(("S1", 1))
    kicks.drop(("S1", 1))
    assert not order(kicks)
    assert (len(kicks), kicks.pending) == (0, {})


def test_a_renewal_stays_when_a_session_fits_again() -> None:
    """And it does not wait for the minutes that another reason may: the client would lose its session meanwhile."""
    kicks = Kicks("a", 50)
    kicks.add(session(), Reason.RENEWAL, NOW)
    kicks.add(session(), Reason.NARROWED, NOW)
    kicks.add(session(2), Reason.MANUAL, NOW)
    for cid in (1, 2, 3):
        kicks.spare(("S1", cid))
    assert kicks.pending == {Reason.RENEWAL: 1, Reason.MANUAL: 1}

    kicks = Kicks("a", 50)
    for cid in range(150):
        kicks.add(session(cid), Reason.REFUSED, NOW)
    kicks.add(session(7), Reason.RENEWAL, NOW)
    assert [kick.session.cid for _, kick in run(kicks, NOW, 10, total=200)] == [7]


def test_a_silent_kick_is_tried_again_after_a_while() -> None:
    kicks, kick = Kicks("a", 50), Kick(session(), Reason.DELETED, NOW)
    kicks.again(kick, NOW)
    kicks.again(kick, NOW + 4)
    kicks.defer(Kick(session(2, server="S2"), Reason.DELETED, NOW), NOW + 1)
    kicks.defer(Kick(session(3), Reason.DELETED, NOW), NOW)
    kicks.drop(("S1", 3))
    assert [(round(at), kick.session.cid) for at, kick in run(kicks, NOW, 20)] == [(6, 2), (9, 1)]


def test_a_silent_server_does_not_take_up_the_rate() -> None:
    """1,000 sessions of a server that does not answer are to end; those of another wait a second at most."""
    kicks, at, answers = Kicks("a", 50), dict[int, float](), list[tuple[float, Kick]]()
    for cid in range(1000):
        kicks.add(session(cid, f"n{cid % 9}", server="S2"), Reason.DELETED, NOW)
    for cid in range(2000, 2200):
        kicks.add(session(cid, f"n{cid % 9}"), Reason.NARROWED, NOW)
    for tick in range(500):
        now = NOW + tick / 50
        while answers and answers[0][0] <= now:
            kicks.again(answers.pop(0)[1], now)
        while (kick := kicks.take(now, 100_000, FINE)) is not None:
            if kick.session.server == "S2":
                answers.append((now + 1, kick))
            at[kick.session.cid] = now - NOW
    assert len([cid for cid in at if cid >= 2000]) == 200
    assert len(kicks._silent) == 1
    assert kicks.pending == {Reason.DELETED: 1000 - len(answers)}


def test_a_clock_that_is_set_back_stops_nothing() -> None:
    kicks = Kicks("a", 50)
    for cid in range(450):
        kicks.add(session(cid), Reason.REVOKED if cid < 300 else Reason.DELETED, NOW)
    assert len(run(kicks, NOW + 3600, 2, total=400)) == pytest.approx(2 * 50, abs=6)
    assert len(run(kicks, NOW, 3, total=400)) == pytest.approx(3 * 50, abs=6)
    assert len(run(kicks, NOW + 3, 62, total=400)) > 150


def test_three_replicas_keep_three_rates_and_share_the_work() -> None:
    """3,000 sessions are condemned at once: each is kicked once, at three times the rate, since replicas begin elsewhere."""
    replicas = [Kicks(name, 50) for name in "abc"]
    for kicks in replicas:
        for cid in range(3000):
            kicks.add(session(cid, name=f"w{cid % 50}"), Reason.REVOKED, NOW)
    taken, twice, now = Counter[int](), 0, NOW
    while any(replicas) and now < NOW + 120:
        for kicks in replicas:
            while (kick := kicks.take(now, 10_000, FINE)) is not None:
                twice += kick.session.cid in taken
                taken[int(now - NOW)] += 1
                for other in replicas:
                    other.drop(kick.session.key)
        now += 0.02
    assert sum(taken.values()) == 3000
    assert max(taken.values()) <= 3 * 50 + 20
    # Three quarters of the rate and, without renewals, the last one too.
    assert 19 <= now - NOW <= 22


def test_a_tenant_who_flaps_delays_nobody() -> None:
    """3,000 sessions of one namespace are narrowed; others' and renewals pass at once."""
    kicks = Kicks("a", 50)
    for cid in range(3000):
        kicks.add(session(cid, "flapper", f"w{cid % 300}"), Reason.NARROWED, NOW)
    for cid in range(3000, 3010):
        kicks.add(session(cid, f"ns{cid}"), Reason.NARROWED, NOW)
    for cid in range(4000, 4010):
        kicks.add(session(cid), Reason.RENEWAL, NOW)
    # They are too many to be believed at once; of 100,000 they are not.
    found = run(kicks, NOW, 5, total=100_000)
    at = {kick.session.cid: seconds for seconds, kick in found}
    assert max(at[cid] for cid in range(3000, 3010)) < 1
    assert max(at[cid] for cid in range(4000, 4010)) < 1
    assert sum(cid < 3000 for cid in at) <= 5 * 12.5 + 3


def test_a_tenant_who_is_a_mass_holds_up_nobody_else() -> None:
    """More than a fifth of all sessions are narrowed in one namespace: those wait a minute, others' do not. Of many namespaces all wait."""
    kicks = Kicks("a", 50)
    for cid in range(3000):
        kicks.add(session(cid, "flapper", f"w{cid % 300}"), Reason.NARROWED, NOW)
    for cid, reason in ((3000, Reason.NARROWED), (3001, Reason.REFUSED), (3002, Reason.ACCOUNT)):
        kicks.add(session(cid, f"ns{cid}"), reason, NOW)
    found = run(kicks, NOW, 5, total=10_000)
    assert {kick.session.cid for _, kick in found} == {3000, 3001, 3002}
    assert kicks.masses == {"policy"}
    assert run(kicks, NOW + 5, 60, total=10_000)

    kicks = Kicks("a", 50)
    for cid in range(3000):
        kicks.add(session(cid, "flapper"), Reason.NARROWED, NOW)
        kicks.drop(("S1", cid))
        kicks.add(session(cid, f"ns{cid}"), Reason.REFUSED, NOW)
    assert not run(kicks, NOW, 5, total=10_000)


def test_renewals_have_a_quarter_whatever_else_waits() -> None:
    kicks = Kicks("a", 40)
    for cid in range(1000):
        kicks.add(session(cid), Reason.REVOKED, NOW)
    for cid in range(1000, 1200):
        kicks.add(session(cid), Reason.RENEWAL, NOW)
    counts = Counter(kick.reason for _, kick in run(kicks, NOW, 10))
    assert abs(counts[Reason.RENEWAL] - 100) < 5
    assert abs(counts[Reason.REVOKED] - 300) < 8


def test_repeated_kicks_of_a_workload_back_off_by_session() -> None:
    """Whoever was there at a kick is of its round; who came after it waits, longer each time; final reasons never do."""
    kicks, now = Kicks("a", 50), NOW
    for cid in (1, 2):
        kicks.add(session(cid), Reason.NARROWED, now)
    assert [at < 0.2 for at, _ in run(kicks, now, 1)] == [True, True]
    for number, seconds in enumerate((*BACK_OFF_SECONDS, BACK_OFF_SECONDS[-1])):
        kicks.add(session(10 + number, seen=now + 0.5), Reason.NARROWED, now + 1)
        kicks.add(session(90, seen=now + 0.5), Reason.DELETED, now + 1)
        found = {kick.session.cid: at + 1 for at, kick in run(kicks, now + 1, seconds + 2)}
        assert found[90] < 1.5
        assert abs(found[10 + number] - seconds) < 0.1, number
        now += found[10 + number]
    kicks.add(session(20, seen=now + 700), Reason.KEY, now + 700)
    run(kicks, now + 700, 1)
    kicks.add(session(21, seen=now + 700), Reason.KEY, now + 701)
    assert run(kicks, now + 701, 5)


def test_a_mass_waits_until_it_is_believed() -> None:
    """More than 100 and more than a fifth for one cause wait a minute, deletions for a second list too; revoked never."""
    for total, is_mass in ((700, True), (1000, False)):
        kicks = Kicks("a", 50)
        for cid in range(150):
            kicks.add(session(cid), Reason.DELETED, NOW)
        kicks.add(session(999), Reason.REVOKED, NOW)
        kicks.add(session(998), Reason.NARROWED, NOW)
        found = run(kicks, NOW, 10, total=total)
        assert (len(found) == 2) is is_mass
        assert kicks.masses == ({"deleted"} if is_mass else set())
    for listed_at, believed in ((NOW - 1, False), (NOW + 30, True)):
        kicks = Kicks("a", 50)
        for cid in range(150):
            kicks.add(session(cid), Reason.DELETED, NOW)
        guards = replace(FINE, listed_at=listed_at)
        assert not run(kicks, NOW, 59, guards, 300)
        assert kicks.wants_list is not believed
        assert (len(run(kicks, NOW + 59, 30, guards, 300)) == 150) is believed


def test_a_mass_that_was_a_mistake_is_over_when_they_fit_again() -> None:
    kicks = Kicks("a", 50)
    for cid in range(150):
        kicks.add(session(cid), Reason.REFUSED, NOW)
    assert not run(kicks, NOW, 30, total=150)
    for cid in range(100):
        kicks.drop(("S1", cid))
    assert len(run(kicks, NOW + 30, 5, total=150)) == 50
    assert not kicks.masses


def test_a_change_is_judged_whole_before_anybody_is_kicked_for_it() -> None:
    kicks, guards = Kicks("a", 50), replace(FINE, settled=False)
    kicks.add(session(1), Reason.DELETED, NOW)
    kicks.add(session(2), Reason.REVOKED, NOW)
    assert [(round(at), kick.session.cid) for at, kick in run(kicks, NOW, 5, guards)] == [(0, 2), (3, 1)]


def test_what_was_dropped_takes_no_room() -> None:
    kicks = Kicks("a", 50)
    for round_ in range(100):
        for cid in range(100):
            kicks.add(session(cid, f"n{cid}"), Reason.DELETED, NOW)
            kicks.again(Kick(session(1000 + cid), Reason.KEY, NOW), NOW)
        if round_ < 99:
            for cid in range(100):
                kicks.drop(("S1", cid))
                kicks.drop(("S1", 1000 + cid))
    assert sum(queue.entries for queue in kicks._queues.values()) <= 300
    assert len(kicks._later) <= 300
    assert len(run(kicks, NOW + 10, 10, total=2000)) == 200


def test_workloads_and_namespaces_are_forgotten_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nats_k8s_oidc_callout.core.sessions.kicks._WORKLOADS", 10)
    monkeypatch.setattr("nats_k8s_oidc_callout.core.sessions.turns._NAMESPACES", 10)
    kicks = Kicks("a", 10_000)
    for cid in range(50):
        kicks.add(session(cid, f"n{cid}", f"w{cid}"), Reason.NARROWED, NOW)
    assert len(run(kicks, NOW, 1)) == 50
    assert (len(kicks._rounds), len(kicks._namespaces)) == (10, 10)


def test_what_ended_while_it_waited_is_not_kicked() -> None:
    kicks = Kicks("a", 50)
    for cid in (1, 2):
        kicks.again(Kick(session(cid), Reason.DELETED, NOW), NOW)
    kicks.drop(("S1", 1))
    assert [kick.session.cid for _, kick in run(kicks, NOW, 20)] == [2]


def test_replicas_renew_in_orders_of_their_own_but_by_the_end() -> None:
    """Those that end within 8 s are shuffled: what one replica has renewed another need not ask for."""
    orders = []
    for name in "ab":
        kicks = Kicks(name, 50)
        for cid in range(40):
            kicks.add(session(cid, ends=8 * (cid // 10) - NOW % 8), Reason.RENEWAL, NOW)
        orders.append([kick.session.cid for _, kick in run(kicks, NOW, 5)])
    assert orders[0] != orders[1]
    for found in orders:
        assert [cid // 10 for cid in found] == sorted(cid // 10 for cid in range(40))
