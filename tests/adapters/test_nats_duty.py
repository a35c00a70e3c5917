"""A link for something else than requests, against a real nats-server."""

import asyncio

from nats_k8s_oidc_callout.adapters.nats import Duty, Ear, Link, Message, PasswordLogin
from nats_k8s_oidc_callout.adapters.nats.client import Connection, Hear
from tests.fakes.nats_desk import QUICK, at
from tests.fakes.nats_world import NatsServer, knock, until

CONNECTS, STARTED = "$SYS.ACCOUNT.*.CONNECT", "watch.started"


def system(password: str) -> str:
    """Return a configuration whose one system user has this password."""
    users = (
        f"SYS {{ users: [{{ user: watch, password: {password} }}] }}, APP {{ users: [{{ user: app, password: app }}] }}"
    )
    return f"accounts {{ {users} }}, system_account: SYS"


async def test_link_watches_connections_by_a_system_login() -> None:
    """
    A link with another duty has the same life: a refused login is tried until it is accepted, a lost connection is made
    anew, and each time the duty starts again.
    """
    heard: list[str] = []

    def hear(_: Connection) -> Hear:
        def take(message: Message) -> None:
            heard.append(STARTED if message.subject == STARTED else CONNECTS)

        return take

    duty = Duty(
        Ear(CONNECTS, "", hear),
        started=lambda connection: connection.post(STARTED, b""),
        stopped=lambda _: heard.append("stopped"),
        beside=(Ear(STARTED, "", hear),),
    )
    with NatsServer(system("old")) as server:
        login = PasswordLogin("watch", "new")
        link = Link([at(server.url)], login=lambda: login, tls=lambda: None, duty=duty, timing=QUICK)
        link.set_serving(True)
        running = asyncio.create_task(link.run())
        await until(lambda: server.log().count("authentication error") >= 3)
        for _ in range(2):
            server.restart(system("new"))
            await until(lambda: STARTED in heard)
            await knock(server.url, 5.0, user="app", **{"pass": "app"})
            await until(lambda: CONNECTS in heard)
            assert "stopped" not in heard
            heard.clear()
        await link.drain()
        assert "stopped" == heard[-1]
        await link.close()
        await running
