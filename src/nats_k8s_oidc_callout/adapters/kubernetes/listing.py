"""One whole list, without a watch: for a command that asks about everybody."""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import aclosing
from typing import TypeVar

import aiohttp

from nats_k8s_oidc_callout.adapters.kubernetes.api import ApiServer
from nats_k8s_oidc_callout.adapters.kubernetes.failure import from_error, from_status
from nats_k8s_oidc_callout.adapters.kubernetes.pages import pages
from nats_k8s_oidc_callout.bounded.bodies import read_body
from nats_k8s_oidc_callout.core.kubernetes.wire import Page
from nats_k8s_oidc_callout.errors import Unreachable

M = TypeVar("M")

PAGE_SECONDS = 30.0


async def walk(
    api: ApiServer, path: str, read: Callable[[bytes], tuple[Page, Iterator[M | None]]], *, only: str = ""
) -> AsyncIterator[M]:
    """Yield every object of the list at `path`, or `only` the one of this name, 500 an answer; at most two answers are held.

    Raises Unreachable when the server does not tell all of it: half a list must never pass for a whole one.
    """
    selected = {"fieldSelector": f"metadata.name={only}"} if only else {}

    async def fetch(params: Mapping[str, str], bytes_max: int) -> bytes:
        try:
            async with api.get(
                path, {**selected, **params}, total_seconds=PAGE_SECONDS, silence_seconds=PAGE_SECONDS
            ) as response:
                if response.status != 200:
                    raise from_status(response, "list", path.rpartition("/")[2])
                return await read_body(response, bytes_max)
        except (aiohttp.ClientError, OSError) as error:
            raise Unreachable(str(from_error(error, "list"))) from None

    async with aclosing(pages(fetch, read)) as listed:
        async for _, items in listed:
            for found in items:
                if found is None:
                    raise Unreachable("the list has an item that cannot be read")
                yield found
