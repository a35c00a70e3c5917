"""A watch's byte chunks as lines. aiohttp's own `readline` gives up at 128 KiB, less than one object may have."""

from collections.abc import AsyncGenerator, AsyncIterator

from nats_k8s_oidc_callout.adapters.kubernetes.api import OBJECT_BYTES_MAX
from nats_k8s_oidc_callout.bounded.bodies import TooLarge


async def split_lines(chunks: AsyncIterator[bytes], bytes_max: int = OBJECT_BYTES_MAX) -> AsyncGenerator[bytes, None]:
    """Give each line that ended, without its end; empty ones are left out, and so is a rest without an end.

    Raises TooLarge for a line over `bytes_max`.
    """
    # Joined only when the line ends: appending to bytes would be quadratic for a long line in small chunks.
    begun: list[bytes] = []
    size = 0
    async for chunk in chunks:
        *ended, rest = chunk.split(b"\n")
        for part in ended:
            begun.append(part)
            line = b"".join(begun)
            begun = []
            if len(line) > bytes_max:
                raise TooLarge(f"a watch line is over {bytes_max} bytes")
            if line.strip():
                yield line
        if ended:
            size = 0
        begun.append(rest)
        size += len(rest)
        if size > bytes_max:
            raise TooLarge(f"a watch line is over {bytes_max} bytes")
