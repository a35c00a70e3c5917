"""Waiting for what another task does."""

import asyncio
from collections.abc import Callable

WAIT_SECONDS = 20.0


async def until(condition: Callable[[], bool]) -> None:
    """Return as soon as the condition holds; fail when it does not within 20 s."""
    async with asyncio.timeout(WAIT_SECONDS):
        while not condition():
            await asyncio.sleep(0.005)
