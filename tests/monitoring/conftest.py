"""One real scrape, shared: what a responder with TLS and a self-test shows after letting in and refusing a client."""

import asyncio
import time
from collections.abc import Iterator

import pytest

from tests.e2e.clients import ask
from tests.e2e.worlds import world_of


@pytest.fixture(scope="session")
def scrape() -> Iterator[str]:
    """The text of /metrics."""
    with world_of("tls") as world:
        token = world.folder / "self-test.token"
        token.write_text(world.token())
        responder = world.start_responder(SELF_TEST_TOKEN_FILE=str(token))
        assert asyncio.run(ask(world, auth_token=world.token())).let_in
        assert not asyncio.run(ask(world, auth_token=world.token(now=time.time() - 7200))).let_in
        deadline = time.monotonic() + 15
        while responder.metrics().get("nats_auth_selftest_success") != 1:
            assert time.monotonic() < deadline, responder.log()[-3000:]
            time.sleep(0.05)
        yield responder.get("/metrics")[1]
