"""Every client example lives through all that ends a session, as one process, within the gap that the docs state."""

import asyncio
import re
from collections.abc import Iterator

import pytest

from tests.clients import builds
from tests.clients.mutants import MUTANTS
from tests.clients.story import REFUSALS, Story, tell
from tests.clients.world import plan
from tests.e2e.worlds import BINARIES, world_of
from tests.leaks import SECRETS

pytestmark = [pytest.mark.slow, pytest.mark.e2e]

LANGUAGES = list(builds.LANGUAGES)
EACH = pytest.mark.parametrize("language", LANGUAGES)
PHASES = ("start", "rotation", "kick", "restart")
USAGE = builds.ROOT / "docs" / "CLIENT_USAGE.md"

_ROW = re.compile(r"^\| \[\w+\]\(\.\./examples/clients/(\w+)/\) \| (\d+) s \| (\d+) s \| (\d+) \|$", re.MULTILINE)
STATED = {language: tuple(map(int, gaps)) for language, *gaps in _ROW.findall(USAGE.read_text(encoding="utf-8"))}
"""By language: the longest silence at the end of a session, the longest way back, numbers lost at each end."""

_missing: dict[str, str] = {}


@pytest.fixture(scope="module")
def story() -> Iterator[Story]:
    """What all clients lived through, side by side; those that cannot be built here are left out."""
    commands: dict[str, list[str]] = {}
    for name, language, change in [
        *((language, language, None) for language in LANGUAGES),
        *((name, mutant.language, mutant.change) for name, mutant in MUTANTS.items()),
    ]:
        try:
            commands[name] = builds.command(language, change)
        except builds.NoToolchain as lacking:
            _missing[name] = str(lacking)
    with world_of(plan, str(BINARIES["2.15"]() or "")) as world:
        yield asyncio.run(tell(world, commands, [name for name in commands if name in LANGUAGES]))


@pytest.fixture
def told(story: Story, request: pytest.FixtureRequest) -> Story:
    """The story, for a client that could be built."""
    name = request.getfixturevalue("language" if "language" in request.fixturenames else "mutant")
    if name in _missing:
        pytest.skip(_missing[name])
    return story


@EACH
def test_example_builds(language: str) -> None:
    """
    Each example becomes a program by its own pins. (A first build takes minutes; here each has a test's time.)
    """
    try:
        assert builds.command(language)
    except builds.NoToolchain as lacking:
        pytest.skip(str(lacking))


def test_docs_state_a_gap_for_every_language() -> None:
    """
    The table in the docs has a row for every example that is run here.
    """
    assert set(LANGUAGES) == set(STATED)


@EACH
@pytest.mark.parametrize("phase", PHASES)
def test_client_lives_on(told: Story, language: str, phase: str) -> None:
    """
    After each event the process that was started first publishes, asks over its private inbox, and answers others.
    """
    assert language in told.survived[phase], told.workloads[language].log()[-3000:]
    assert language in told.echoed[phase], told.workloads[language].log()[-3000:]


@EACH
def test_pause_is_within_what_the_docs_say(told: Story, language: str) -> None:
    """
    Nobody waits longer for the next message than the docs say, and hardly one is lost when a session ends.
    """
    ended, restarted, lost = STATED[language]
    sessions = sum(line.get("serviceaccount") == language for line in told.decisions if line["event"] == "allowed")

    assert ended >= told.longest_pause(language, "rotation")
    assert ended >= told.longest_pause(language, "kick")
    assert restarted >= told.longest_pause(language, "restart", told.ready_again_at)
    assert sessions >= 4
    assert lost * (sessions - 1) >= len(told.lost(language)), told.lost(language)


@EACH
def test_numbers_come_in_order_and_once(told: Story, language: str) -> None:
    """
    What is sent again after a session came once, and in its place.
    """
    values = [number.value for number in told.numbers[language]]

    assert sorted(set(values)) == values


@EACH
def test_old_token_is_never_presented_again(told: Story, language: str) -> None:
    """
    From the rotation on every login has the token that the file holds then.
    """
    later = [
        line["jti"]
        for line in told.decisions
        if line.get("serviceaccount") == language and line["ts"] > told.rotated_at_text
    ]

    assert later
    assert {f"{language}-2"} == set(later)


@EACH
def test_inbox_is_the_private_one(told: Story, language: str) -> None:
    """
    A client's only inbox is one that no other workload may read.
    """
    inboxes = told.inboxes[language]

    assert inboxes
    assert all(inbox.startswith(f"_INBOX_SA.shop.{language}.") for inbox in inboxes)


@EACH
def test_refused_client_keeps_asking(told: Story, language: str) -> None:
    """
    While no responder is there a client is refused again and again, and goes on.
    """
    assert told.refusals[language] >= REFUSALS


@EACH
def test_client_leaves_when_told(told: Story, language: str) -> None:
    """
    SIGTERM ends a client within 5 s, and the last number that it counted has arrived.
    """
    code, seconds = told.farewells[language]
    last = told.workloads[language].log().rpartition("bye ")[2].split()[0]

    # A JVM that a signal ends says so, hooks or not.
    assert code == (143 if language == "java" else 0)
    assert seconds < 5
    assert int(last) == told.numbers[language][-1].value


@EACH
def test_client_writes_no_token(told: Story, language: str) -> None:
    """
    Nothing that a client writes has a part of a token in it.
    """
    assert [] == SECRETS.scan(told.workloads[language].log_file.read_bytes())


@pytest.mark.parametrize("mutant", list(MUTANTS))
def test_client_without_its_survival_lines_is_caught(told: Story, mutant: str) -> None:
    """
    An example without the lines that make it survive begins well, and does not outlive the event that they are for.
    """
    after = PHASES[PHASES.index(MUTANTS[mutant].ended_by) :]

    assert told.workloads[mutant].echoes, told.workloads[mutant].log()[-3000:]
    assert [] == [phase for phase in after if mutant in told.survived[phase]], told.workloads[mutant].log()[-3000:]
