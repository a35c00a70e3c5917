"""A list in pages, without a server."""

import asyncio
from collections.abc import Mapping
from contextlib import aclosing

import pytest

from nats_k8s_oidc_callout.adapters.kubernetes.pages import pages
from nats_k8s_oidc_callout.core.kubernetes.wire import Page


class Server:
    """Answers `limit continue`; the page after `most` others never comes."""

    def __init__(self, most: int = 3) -> None:
        self.most = most
        self.asked: list[str] = []
        self.given_up: list[str] = []

    async def fetch(self, params: Mapping[str, str], _: int) -> bytes:
        asked = " ".join(params.values())
        self.asked.append(asked)
        if len(self.asked) > self.most:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.given_up.append(asked)
                raise
        return asked.encode()


def read(body: bytes) -> tuple[Page, str]:
    """The list has three pages."""
    _, _, token = body.decode().partition(" ")
    return Page({"": "a", "a": "b"}.get(token, ""), "9"), body.decode()


async def test_the_next_page_is_asked_for_while_one_is_taken_in() -> None:
    """While a page is looked at the next one is under way, and no more than that; after the last one nothing is."""
    server = Server()
    seen = []
    async with aclosing(pages(server.fetch, read)) as listed:
        async for _, found in listed:
            for _ in range(5):
                await asyncio.sleep(0)
            seen.append((found, len(server.asked)))

    assert [("500", 2), ("500 a", 3), ("500 b", 3)] == seen


async def test_a_list_that_is_given_up_leaves_nothing_under_way() -> None:
    """Whoever leaves, or cannot read a page, takes the question with it that is under way."""
    server = Server(most=1)
    async with aclosing(pages(server.fetch, read)) as listed:
        await anext(listed)
        await asyncio.sleep(0)
    assert ["500 a"] == server.given_up

    def unreadable(body: bytes) -> tuple[Page, str]:
        raise ValueError(body)

    with pytest.raises(ValueError, match="500"):
        await anext(pages(Server().fetch, unreadable))
    assert 1 == len(asyncio.all_tasks())
