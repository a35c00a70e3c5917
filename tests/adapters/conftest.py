"""What several tests of adapters stand on: a scripted API server with a client of it, and Telemetries in memory."""

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.adapters.stage import Make, Stage
from tests.fakes.kubernetes_world import World, started


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with started() as made:
        yield made


@pytest.fixture
def stage() -> Iterator[Make]:
    stages: list[Stage] = []

    def make(level: str = "info", form: str = "json") -> Stage:
        stages.append(Stage(level, form))
        return stages[-1]

    yield make
    for made in stages:
        made.logs.close()
