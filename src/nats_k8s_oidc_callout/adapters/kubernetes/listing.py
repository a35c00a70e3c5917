"""One whole list, without a watch: for a command that asks about everybody."""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import TypeVar

import aiohttp

from nats_k8s_oidc_callout.adapters.kubernetes.api import OBJECT_BYTES_MAX, ApiServer
from nats_k8s_oidc_callout.adapters.kubernetes.failure import from_error, from_status
from nats_k8s_oidc_callout.adapters.kubernetes.reflector import PAGE_BYTES_MAX, PAGE_ITEMS
from nats_k8s_oidc_callout.bounded.bodies import TooLarge, read_body
from nats_k8s_oidc_callout.core.kubernetes.wire import Page
from nats_k8s_oidc_callout.errors import Unreachable

M = TypeVar("M")

PAGE_SECONDS = 30.0


async def walk(
    api: ApiServer, path: str, read: Callable[[bytes], tuple[Page, Iterator[M | None]]], *, only: str = ""
) -> AsyncIterator[M]:
    """Yield every object of the list at `path`, or `only` the one of this name, 500 an answer; one answer is held.

    Raises Unreachable when the server does not tell all of it: half a list must never pass for a whole one.
    """
    selected = {"fieldSelector": f"metadata.name={only}"} if only else {}
    token, items = "", PAGE_ITEMS
    while True:
        params = {**selected, "limit": str(items), **({"continue": token} if token else {})}
        try:
            body = await _page(api, path, params, PAGE_BYTES_MAX if items > 1 else OBJECT_BYTES_MAX)
        except TooLarge:
            if items == 1:
                raise
            items = max(1, items // 8)
            continue
        except (aiohttp.ClientError, OSError) as error:
            raise Unreachable(str(from_error(error, "list"))) from None
        page, listed = read(body)
        for found in listed:
            if found is None:
                raise Unreachable("the list has an item that cannot be read")
            yield found
        token, items = page.continue_token, min(PAGE_ITEMS, items * 2)
        if not token:
            return


async def _page(api: ApiServer, path: str, params: Mapping[str, str], bytes_max: int) -> bytes:
    async with api.get(path, params, total_seconds=PAGE_SECONDS, silence_seconds=PAGE_SECONDS) as response:
        if response.status != 200:
            raise from_status(response, "list", path.rpartition("/")[2])
        return await read_body(response, bytes_max)
