"""The image once a run, and what was measured of it."""

import pytest

from tests.image import built
from tests.image.built import Image

MEASURED: list[str] = []


@pytest.fixture(scope="session")
def image() -> Image:
    return built.image()


@pytest.fixture(scope="session")
def measured() -> list[str]:
    """Lines that the end of the run prints."""
    return MEASURED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if MEASURED:
        terminalreporter.section("image")
        for line in MEASURED:
            terminalreporter.write_line(line)
