"""The tests in several processes (pytest-xdist): what stays together, what begins first, and what each of them tells."""

from typing import Any

import pytest

TOLD: dict[str, list[str]] = {}
"""Lines for the end of the run, by section."""
COLLECTED = pytest.StashKey[set[str]]()
"""The ids of all tests that were found, those that do not run among them."""

# A process runs whole files, since worlds belong to them. These files share worlds with each other.
_TOGETHER = {
    "tests/e2e/test_refusals.py": "tests/e2e/test_behaviour.py",
    "tests/e2e/test_chart_image.py": "tests/image",
}
_FOLDERS_TOGETHER = ("tests/image",)
# Whatever takes long begins first, or one process would wait for it at the end. In the order of what they take.
_FIRST = (
    "tests/e2e/test_kubernetes_life.py",
    "tests/guides/test_deploy.py",
    "tests/image",
    "tests/attack/test_mutants.py",
    "tests/e2e/test_demo.py",
    "tests/clients/test_stock.py",
    "tests/guides/test_operator_setup.py",
    "tests/e2e/test_doctor.py",
    "tests/e2e/test_seeded_faults.py",
    "tests/monitoring/test_rules.py",
    "tests/e2e/test_sessions.py",
    "tests/e2e/test_behaviour.py",
    "tests/attack/test_memory.py",
    "tests/clients/test_other_clients.py",
    "tests/e2e/test_policy.py",
    "tests/e2e/test_life.py",
    "tests/attack/test_bounds.py",
    "tests/e2e/test_session_commands.py",
    "tests/e2e/test_accounts.py",
    "tests/e2e/test_scoped.py",
    "tests/e2e/test_files.py",
    "tests/adapters/test_nats_system.py",
)


def told(section: str) -> list[str]:
    """Return the lines of a section of the run's end, to add to."""
    return TOLD.setdefault(section, [])


def begin_with_the_longest(items: list[pytest.Item]) -> None:
    """Put the files that take long before all others."""
    ranks = {share: rank for rank, share in enumerate(_FIRST)}
    items.sort(key=lambda item: ranks.get(_share(item.nodeid), len(ranks)))


def _share(nodeid: str) -> str:
    """Return what a test stays together with: its file, or a name that several have."""
    file = nodeid.partition("::")[0]
    folder = next((one for one in _FOLDERS_TOGETHER if file.startswith(f"{one}/")), file)
    return _TOGETHER.get(file, folder)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Share out by files, but for what has to stay together."""
    from xdist.scheduler import LoadFileScheduling

    if config.getoption("dist") != "loadfile":
        return None
    scheduler = LoadFileScheduling(config, log)
    scheduler._split_scope = _share
    return scheduler


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hand on what a process of several has to tell."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["told"] = TOLD


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take what a process had to tell."""
    for section, lines in getattr(node, "workeroutput", {}).get("told", {}).items():
        told(section).extend(lines)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for section, lines in TOLD.items():
        terminalreporter.section(section)
        for line in lines:
            terminalreporter.write_line(line)
