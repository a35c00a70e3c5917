"""Which ServiceAccounts are looked up, how fast and in what order."""

import math

import pytest

from nats_k8s_oidc_callout.core.sessions.proofs import LOOKS_PER_SECOND, Proofs

NOW = 1_789_000_000.0
WEB = "shop", "web"


def taken(proofs: Proofs, now: float) -> list[tuple[str, str]]:
    found = []
    while (one := proofs.take(now)) is not None:
        found.append(one)
    return found


def test_whoever_asks_and_however_often_it_is_one_look_in_two_seconds() -> None:
    proofs, looks = Proofs(), 0
    for step in range(1000):
        for _ in range(20):
            proofs.want(WEB, NOW + step / 100)
        looks += len(taken(proofs, NOW + step / 100))
    assert looks == 5
    # A clock that was set back does not stop it.
    proofs.want(WEB, NOW - 1000)
    assert [WEB] == taken(proofs, NOW - 999)


def test_a_tenant_has_a_quarter_and_makes_nobody_wait() -> None:
    """One namespace flaps the annotations of thousands; another's first is looked up at once, all the time."""
    proofs, hostile = Proofs(), 0
    for step in range(200):
        now = NOW + step / 10
        for number in range(2000):
            proofs.want(("bad", f"a{number}"), now)
        victim = "shop", f"a{step}"
        if step % 10 == 0:
            proofs.want(victim, now)
        found = taken(proofs, now)
        assert (victim in found) is (step % 10 == 0)
        hostile += sum(namespace == "bad" for namespace, _ in found)
    assert 0.9 <= hostile / (20 * LOOKS_PER_SECOND / 4) <= 1.1


def test_all_tenants_together_have_a_rate() -> None:
    proofs, looks = Proofs(), 0
    for step in range(400):
        now = NOW + step / 20
        for number in range(100):
            proofs.want((f"bad-{number}", f"a{step}"), now)
        looks += len(taken(proofs, now))
    assert 0.9 <= looks / (20 * LOOKS_PER_SECOND) <= 1.1


def test_what_the_cluster_confirms_is_true_as_of_the_question() -> None:
    proofs = Proofs()
    assert -math.inf == proofs.of(WEB)
    proofs.want(WEB, NOW)
    assert [WEB] == taken(proofs, NOW)
    assert not proofs.other(WEB, NOW)
    assert -math.inf == proofs.of(WEB)
    proofs.same(WEB, NOW + 2)
    assert NOW + 2 == proofs.of(WEB)
    # Whatever is said later, what we knew then was true then.
    assert not proofs.other(WEB, NOW + 4)
    assert NOW + 2 == proofs.of(WEB)


@pytest.mark.parametrize(
    ("steps", "lists"),
    [
        # Another answer for two seconds, and no change of ours.
        ("o:0 o:1 o:2", [2]),
        ("o:0 o:1", []),
        # A watch that tells of changes does not hang, however often they flap.
        ("o:0 c:1 o:2 c:3 o:4 c:5 o:6 o:7", []),
        ("o:0 o:1 s:2 o:3 o:4", []),
        # One list a minute for all of them.
        ("o:0 o:4 o:30 o:63 o:64 O:65 O:70", [4, 64]),
        ("c:0 o:1 o:2 o:3", [3]),
    ],
)
def test_a_watch_that_does_not_tell_what_the_cluster_says_hangs(steps: str, lists: list[int]) -> None:
    """Then all are listed; no tenant can make that happen while the watch is well."""
    proofs, found = Proofs(), []
    for step in steps.split():
        what, _, seconds = step.partition(":")
        at = NOW + int(seconds)
        if what == "c":
            proofs.changed(WEB)
        elif what == "s":
            proofs.same(WEB, at)
        elif proofs.other(WEB if what == "o" else ("shop", "else"), at):
            found.append(int(seconds))
    assert found == lists


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nats_k8s_oidc_callout.core.sessions.proofs._WORKLOADS", 10)
    proofs = Proofs()
    for number in range(50):
        proofs.same(("shop", f"a{number}"), NOW)
    assert ([-math.inf, NOW], 10) == ([proofs.of(("shop", f"a{number}")) for number in (39, 40)], len(proofs._looks))
