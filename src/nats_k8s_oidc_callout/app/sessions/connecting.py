"""The system side for as long as a command asks it, by the login that the responder would use."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from nats_k8s_oidc_callout.adapters.files import FileWatch
from nats_k8s_oidc_callout.adapters.nats import Link
from nats_k8s_oidc_callout.adapters.nats.system import Subjects, System
from nats_k8s_oidc_callout.app.keyring import Keyring
from nats_k8s_oidc_callout.errors import Unreachable
from nats_k8s_oidc_callout.settings import Settings

_PATIENCE_SECONDS = 10.0
_LOOK_SECONDS = 0.02


@asynccontextmanager
async def connect(settings: Settings, *, events: bool = False) -> AsyncIterator[System]:
    """Give the system side, connected; raise Unreachable when that cannot be had. It hears `events` if they are wanted."""
    keyring = Keyring(settings, FileWatch().watch)
    login = keyring.system_login()
    system = System(Subjects.imports(settings.session_subjects) if login is None else Subjects.system())
    # Most commands want nothing of events: what they would tell is in the lists.
    duty = system.duty()
    link = Link(
        settings.nats_url.servers,
        login=lambda: login or keyring.login(),
        tls=keyring.tls,
        duty=duty if events else replace(duty, beside=()),
        doubt=keyring.doubt,
    )
    link.set_serving(True)
    running = asyncio.create_task(link.run(), name="nats of a command")
    try:
        await _until_subscribed(link)
        yield system
    finally:
        await link.close()
        await running


async def _until_subscribed(link: Link) -> None:
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            while not link.subscribed:
                await asyncio.sleep(_LOOK_SECONDS)
    except TimeoutError:
        raise Unreachable(link.last_error or "no server lets us in") from None
