"""A list in pages: how large each may be, and the next one under way while one is taken in."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from typing import TypeVar

from nats_k8s_oidc_callout.adapters.kubernetes.api import OBJECT_BYTES_MAX
from nats_k8s_oidc_callout.bounded.bodies import TooLarge
from nats_k8s_oidc_callout.core.kubernetes.wire import Page

T = TypeVar("T")

PAGE_ITEMS = 500
"""To read it blocks the loop for a millisecond; what is read is taken in step by step. 100 would cost twice the CPU."""
PAGE_BYTES_MAX = 4 * 1024 * 1024
"""A usual page has 0.5 MiB, but whoever may create ServiceAccounts can fill 500 of them with 256 KiB each."""


async def pages(
    fetch: Callable[[Mapping[str, str], int], Awaitable[bytes]], read: Callable[[bytes], tuple[Page, T]]
) -> AsyncGenerator[tuple[Page, T], None]:
    """Yield every page of a list as `read` reads it; while one is looked at the server works on the next.

    `fetch` is given the parameters of a page and the most bytes that it may have, beyond which it raises TooLarge. At
    most two pages are held. Use it with `aclosing`. Raises what `fetch` and `read` raise.
    """
    token, items = "", PAGE_ITEMS
    asked = _ask(fetch, items, token)
    try:
        while True:
            try:
                body = await asked
            except TooLarge:
                if items == 1:
                    raise
                items = max(1, items // 8)
                asked = _ask(fetch, items, token)
                continue
            page, found = read(body)
            token = page.continue_token
            if token:
                # The heavy ones may all be behind us.
                items = min(PAGE_ITEMS, items * 2)
                asked = _ask(fetch, items, token)
            yield page, found
            if not token:
                return
    finally:
        asked.cancel()
        await asyncio.gather(asked, return_exceptions=True)


def _ask(
    fetch: Callable[[Mapping[str, str], int], Awaitable[bytes]], items: int, token: str
) -> "asyncio.Future[bytes]":
    params = {"limit": str(items), **({"continue": token} if token else {})}
    # One object alone may be larger than that.
    return asyncio.ensure_future(fetch(params, PAGE_BYTES_MAX if items > 1 else OBJECT_BYTES_MAX))
