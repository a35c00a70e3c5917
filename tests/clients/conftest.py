"""A server that takes one token, and the file that a client reads its token from."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.clients.connections import TOKEN, TokenFile, accepting
from tests.fakes.nats_world import NatsServer


@pytest.fixture
def server() -> Iterator[NatsServer]:
    with NatsServer(accepting(TOKEN)) as running:
        yield running


@pytest.fixture
def tokens(tmp_path: Path) -> TokenFile:
    file = TokenFile(tmp_path / "token")
    file.write(TOKEN)
    return file


@pytest.fixture
async def no_task_is_left() -> AsyncIterator[None]:
    """Whatever a test does, after `close` nothing of ours goes on."""
    yield
    # nats-py's own tasks need a turn or two to notice that they are cancelled.
    for _ in range(40):
        if asyncio.all_tasks() == {asyncio.current_task()}:
            return
        await asyncio.sleep(0.025)
    assert {asyncio.current_task()} == asyncio.all_tasks()
