"""The policy file of a running responder: every refusal it can cause, and what becomes of a file that changes."""

import asyncio
import time
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from tests.e2e.clients import REFUSED, ask, connected
from tests.e2e.responder import ResponderProcess
from tests.e2e.test_configuration import refused, whole
from tests.e2e.test_replicas import crowd
from tests.e2e.worlds import World, world_of
from tests.fakes.file_writers import mount
from tests.fakes.nats_world import until

pytestmark = pytest.mark.e2e

# A look twice a second, a moment for the file to settle, and its parsing.
TAKEN_SECONDS = 4.0
POLICY = """\
version: 1
accounts: ["other-*"]
rules:
  - {name: quarantine, match: {namespaces: [team-a], service_accounts: [worker]}, refuse: "INC-1234"}
  - {name: mqtt-only, match: {namespaces: [case], service_accounts: [device]}, kinds: [mqtt]}
  - {name: elsewhere, match: {namespaces: [case], service_accounts: [far]}, networks: ["192.0.2.0/24"]}
  - {name: by-site, match: {namespaces: [case], service_accounts: ["site-{site}"]}, account: "tenant-{site}"}
  - name: streams
    match: {namespaces: [case], service_accounts: ["dotted*"]}
    annotations: {jetstream: ["consume:{name}_*"]}
  - {name: teams, match: {namespaces: ["team-{team}"]}, account: OTHER, publish: ["events.{team}.>"]}
revoked:
  - {workload: team-b/web, reason: INC-1235}
"""
REASONS = {
    "revoked": ("team-b", "web", ""),
    "no_rule": ("case", "nobody", ""),
    "refused_by_rule": ("team-a", "worker", "quarantine"),
    "bad_capture": ("case", "dotted.name", "streams"),
    "connection_kind": ("case", "device", "mqtt-only"),
    "source_network": ("case", "far", "elsewhere"),
    "no_account": ("case", "site-berlin", "by-site"),
}


def digest_of(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:8]


def write(path: Path, text: str) -> None:
    """Write in place, as an editor or a script does."""
    path.write_text(text)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One responder that has the policy."""
    with world_of("config-creds") as world:
        for namespace, name, _ in REASONS.values():
            world.accounts.write(namespace, name)
        write(world.folder / "policy.yaml", POLICY)
        world.start_responder(POLICY_FILE=str(world.folder / "policy.yaml"))
        yield world


async def changed(responder: ResponderProcess, change: Callable[[], None]) -> None:
    """Return once the responder has taken a changed file, or has said that it cannot."""
    before = len(responder.events("policy in force", "file cannot be used, keeping the last good content"))
    change()
    await until(
        lambda: len(responder.events("policy in force", "file cannot be used, keeping the last good content")) > before,
        TAKEN_SECONDS,
    )


async def in_force(responder: ResponderProcess, text: str) -> None:
    await until(lambda: responder.events("policy in force")[-1]["sha256"].startswith(digest_of(text)), TAKEN_SECONDS)


@pytest.mark.parametrize("reason", REASONS)
async def test_each_refusal_has_its_reason_and_its_rule(world: World, reason: str) -> None:
    """
    The client hears what everybody hears; log and metric have the reason, the rule, and which file it stands in.
    """
    namespace, name, rule = REASONS[reason]
    before = world.responder.metrics()
    raw = await ask(world, name=f"a case of {reason}", **world.fields(world.token(namespace, name)))
    after = world.responder.metrics()
    (line,) = world.responder.decisions(connection=f"a case of {reason}")

    assert REFUSED == raw.said
    assert ("denied", reason, rule, digest_of(POLICY)) == (
        line["event"],
        line["reason"],
        line.get("rule", ""),
        line["policy"],
    )
    assert (
        1
        == after[f'nats_auth_denials_total{{reason="{reason}"}}']
        - before[f'nats_auth_denials_total{{reason="{reason}"}}']
    )
    counted = f'nats_auth_rule_decisions_total{{outcome="denied",rule="{rule}"}}'
    assert bool(rule) == (after.get(counted, 0) - before.get(counted, 0) == 1)


async def test_a_workload_lands_where_its_rule_says(world: World) -> None:
    """
    Who is let in is in the account of its rule, and the line names rule and file.
    """
    async with connected(world, name="to OTHER", **world.fields(world.token())) as raw:
        assert raw.let_in
        assert "OTHER" == world.shown("to OTHER")["account"]
    await until(lambda: world.responder.decisions(connection="to OTHER"))
    (line,) = world.responder.decisions(connection="to OTHER")

    assert ("teams", digest_of(POLICY), "OTHER") == (line["rule"], line["policy"], line["account"])


async def test_a_bad_file_changes_nothing_and_a_good_one_counts_again(world: World) -> None:
    """
    While the file is bad or gone the last good one stays in force and the gauge is 0; an entry of `revoked` in the next
    good one is in force within seconds.
    """
    responder, path = world.responder, world.folder / "policy.yaml"

    async def state() -> tuple[float, bool, bool]:
        raw = await ask(world, **world.fields(world.token()))
        return responder.metrics()["nats_auth_policy_reload_success"], raw.let_in, responder.ready

    states = [await state()]
    for change in (lambda: write(path, POLICY + "surprise: 1\n"), path.unlink):
        await changed(responder, change)
        states.append(await state())
    await changed(responder, lambda: write(path, POLICY + "  - {workload: team-a/orders}\n"))
    states.append(await state())
    await changed(responder, lambda: write(path, POLICY))
    states.append(await state())
    told = [line["why"] for line in responder.events("file cannot be used, keeping the last good content")]

    assert [(1, True, True), (0, True, True), (0, True, True), (1, False, True), (1, True, True)] == states
    assert 2 == len(told)
    assert "surprise" in told[0]


async def test_nobody_is_refused_while_the_file_is_swapped(world: World) -> None:
    """
    Clients log in from all sides while the kubelet swaps the file again and again: all get in, and the responder stays
    ready. Other ways to write it: tests/app/test_policyfile.py.
    """
    responder, path = world.responder, world.folder / "policy.yaml"
    both = POLICY, POLICY.replace("name: teams", "name: groups")
    ready: list[bool] = []
    async with crowd(world) as come:
        ends = time.monotonic() + 3
        while time.monotonic() < ends:
            mount(path, both[len(ready) % 2])
            ready.append(await asyncio.to_thread(lambda: responder.ready))
            await asyncio.sleep(0.3)
        # By its digest: the swap before may come into force only now.
        for last in (POLICY + "# the last\n", POLICY):
            mount(path, last)
            await in_force(responder, last)

    assert [] == come.turned_away
    assert (True, True) == (come.let_in > 50, all(ready))
    assert {"teams", "groups"} >= {line["rule"] for line in responder.events("allowed")}


async def test_two_replicas_with_two_files_say_which_they_have(world: World) -> None:
    """
    A replica that has another file names it in its lines and its metric.
    """
    other = POLICY + "# newer\n"
    (world.folder / "other.yaml").write_text(other)
    replica = world.start_responder(POLICY_FILE=str(world.folder / "other.yaml"))
    both = world.responder, replica
    for _ in range(40):
        await ask(world, name="replicas", **world.fields(world.token()))
    await until(lambda: sum(len(one.decisions(connection="replicas")) for one in both) == 40)

    assert [{digest_of(POLICY)}, {digest_of(other)}] == [
        {line["policy"] for line in one.decisions(connection="replicas")} for one in both
    ]
    assert [1, 1] == [
        sum(name.startswith("nats_auth_policy_info") and digest in name for name in one.metrics())
        for one, digest in zip(both, map(digest_of, (POLICY, other)), strict=True)
    ]
    assert 0 == replica.stop()


@pytest.mark.parametrize("text", [None, "rules: [{name: A, match: {}}]\nsurprise: 1\n"], ids=["missing", "bad"])
def test_without_a_good_file_there_is_no_start(tmp_path: Path, text: str | None) -> None:
    """
    A policy file that is missing or bad ends the process with exit code 2, and every problem is told at once.
    """
    path = tmp_path / "policy.yaml"
    if text is not None:
        path.write_text(text)
    code, lines = refused(whole(tmp_path) | {"POLICY_FILE": str(path)})
    told = [line for line in lines if "POLICY_FILE" in line]

    assert 2 == code
    assert (1 if text is None else 3) == len(told), lines
    assert all(str(path) in line for line in told)
