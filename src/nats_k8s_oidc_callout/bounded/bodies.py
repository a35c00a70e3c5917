"""At most so much of the body of an HTTP answer."""

import asyncio
from contextlib import AsyncExitStack

import aiohttp

from nats_k8s_oidc_callout.errors import Unreachable


class TooLarge(Unreachable):
    """An answer is over the caller's bound."""


async def read_body(
    response: aiohttp.ClientResponse,
    bytes_max: int,
    *,
    large_over: int = 0,
    large_slot: asyncio.Semaphore | None = None,
) -> bytes:
    """Return the body. Raises TooLarge instead of holding more than `bytes_max`; then the rest is never read.

    With a `large_slot` no more than `large_over` bytes are read without it; the server waits meanwhile.
    """
    chunks: list[bytes] = []
    size = 0
    async with AsyncExitStack() as held:
        async for chunk in response.content.iter_any():
            size += len(chunk)
            if size > bytes_max:
                raise TooLarge(f"the answer is over {bytes_max} bytes")
            chunks.append(chunk)
            if large_slot is not None and size > large_over:
                await held.enter_async_context(large_slot)
                large_slot = None
        return b"".join(chunks)
