"""What a client may do once it is in, the same in every world."""

import asyncio
import time

import pytest
from nats.aio.msg import Msg

from tests.e2e.clients import REFUSED, ask, connected, logged_in
from tests.e2e.worlds import PUBLISH, SUBSCRIBE, World
from tests.fakes.stalls import awake, stalled

pytestmark = pytest.mark.e2e


async def test_publish_in_own_namespace_reaches_another_pod(world: World) -> None:
    """
    A workload publishes below its namespace, and another one of the namespace hears it.
    """
    async with logged_in(world, world.token()) as orders, logged_in(world, world.token(name="worker")) as worker:
        heard = await worker.listen("team-a.new")
        problem = await orders.publish("team-a.new", b"hello")

        assert ("", b"hello") == (problem, (await heard.next_msg(5)).data)


@pytest.mark.parametrize(
    ("name", "inbox"),
    [
        pytest.param("orders", "_INBOX", id="shared-inbox"),
        pytest.param("orders", "_INBOX_SA.team-a.orders", id="private-inbox"),
        pytest.param("orders.v2", "_INBOX_SA.team-a.orders_v2", id="private-inbox-of-a-dotted-name"),
    ],
)
async def test_request_is_answered(world: World, name: str, inbox: str) -> None:
    """
    A request gets its reply, in the shared and in the private inbox.
    """

    async def answer(message: Msg) -> None:
        await message.respond(b"answer to " + message.data)

    async with (
        logged_in(world, world.token(name=name), inbox=inbox) as orders,
        logged_in(world, world.token(name="worker")) as worker,
    ):
        await worker.client.subscribe("team-a.echo", cb=answer)
        await worker.settle()

        assert b"answer to it" == (await orders.client.request("team-a.echo", b"it", timeout=5)).data


async def test_publish_elsewhere_is_denied(world: World) -> None:
    """
    A workload publishes nowhere but below its namespace, and into the inboxes that everybody may answer.
    """
    elsewhere = "team-b.new _INBOX_team-a_worker.x _INBOX_SA _R_.x.y $SYS.REQ.USER.AUTH $JS.API.STREAM.NAMES other"
    async with logged_in(world, world.token()) as orders:
        for subject in elsewhere.split():
            assert f'permissions violation for publish to "{subject.lower()}"' in await orders.publish(subject)


async def test_subscription_elsewhere_is_denied(world: World) -> None:
    """
    A workload subscribes below its namespace and to its own inboxes only; nobody else's private inbox is readable, also
    that of a longer name.
    """
    elsewhere = (
        "> team-b.> *.new $SYS.> _INBOX_team-a_worker.> _INBOX_team-a_orders_v2.> _INBOX_SA.team-a.worker.> _INBOX_SA.>"
    )
    async with logged_in(world, world.token()) as orders:
        for subject in elsewhere.split():
            assert f'permissions violation for subscription to "{subject.lower()}"' in await orders.subscribe(subject)


async def test_session_is_the_service_accounts(world: World) -> None:
    """
    In connz stands the ServiceAccount's own name, in the target account, whatever name the client chose.
    """
    async with logged_in(world, world.token(), name="my-name"):
        shown = world.shown("my-name")

    assert ("system:serviceaccount:team-a:orders", world.plan.target) == (shown["authorized_user"], shown["account"])


async def test_violation_log_names_the_service_account(world: World) -> None:
    """
    What a session did in vain stands in the server's log under the ServiceAccount's name.
    """
    async with logged_in(world, world.token(name="worker")) as worker:
        await worker.publish("team-b.violated")

    lines = [line for line in world.server.log().splitlines() if '"team-b.violated"' in line]
    assert lines
    assert all("system:serviceaccount:team-a:worker" in line for line in lines)


async def test_messages_stay_in_the_target_account(world: World) -> None:
    """
    Somebody in another account who listens to the very subject hears nothing of it.
    """
    token = world.token(name="worker")
    async with (
        logged_in(world, world.token()) as orders,
        logged_in(world, token) as worker,
        connected(world, name="other", **world.plan.other) as other,
    ):
        assert (True, False) == (other.let_in, world.plan.target == world.shown("other")["account"])
        other.writer.write(b"SUB team-a.> 1\r\nPING\r\n")
        assert await other.line() == "PONG"
        heard = await worker.listen("team-a.secret")
        await orders.publish("team-a.secret", b"x")
        assert (await heard.next_msg(5)).data == b"x"
        other.writer.write(b"PING\r\n")

        assert "PONG" == await other.line()


async def test_session_ends_with_its_token(world: World) -> None:
    """
    A session is closed in the second before its token expires at the latest, and has lived until then.
    """
    awake()
    if time.time() % 1 > 0.8:
        # What follows must fall into one second, since all these times are whole ones.
        await asyncio.sleep(0.2)
    ends = int(time.time()) + 2
    async with connected(world, **world.fields(world.token(claims={"exp": ends}))) as session:
        assert session.let_in
        said = await session.line()
        ended = time.time()

    assert "-ERR 'User Authentication Expired'" == said
    assert ends - 1.05 < ended
    assert ended - stalled(ends - 1.05, ended) <= ends


async def test_annotations_add_subjects(world: World) -> None:
    """
    What an annotation allows can be published and subscribed, beside the defaults; bad entries are left out, each
    named in a warning and counted, and the rest still counts. A misspelt key is told once, not at each login.
    """
    bad = ["foo..bar", "a b", ">", "*.x", "$SYS.REQ.>", "_INBOX_SA.team-b.web.>", "$JS.API.>"]
    misspelt = "nats.io/allowed-pub-subject"
    written = {PUBLISH: ",".join(["audit.in", *bad, "audit.late"]), SUBSCRIBE: "audit.>", misspelt: "audit.other"}
    world.accounts.write("team-a", "noted", written)
    filtered = world.responder.metrics()["nats_auth_filtered_subjects_total"]
    token = world.token(name="noted")
    await until_let_in(world, **world.fields(token))

    async with logged_in(world, token) as noted:
        heard = await noted.listen("audit.>")
        problems = [await noted.publish(subject) for subject in ("audit.in", "audit.late", "team-a.x")]
        refused = await noted.publish("audit.other")
        subjects = [(await heard.next_msg(5)).subject for _ in range(2)]

    assert (["", "", ""], ["audit.in", "audit.late"]) == (problems, subjects)
    assert 'permissions violation for publish to "audit.other"' in refused
    warned = world.responder.events("annotation entry left out")
    assert [(PUBLISH, entry, "team-a/noted") for entry in bad] == [
        (line["annotation"], line["subject"], line["workload"]) for line in warned
    ]
    told = [line for line in world.responder.events("annotation not supported") if line["workload"] == "team-a/noted"]
    assert [misspelt] == [line["annotation"] for line in told]
    assert filtered + len(bad) == world.responder.metrics()["nats_auth_filtered_subjects_total"]


FIELDS = {
    "password": ({"user": "anybody", "pass": "orders"}, "orders"),
    "token-field-wins": ({"auth_token": "orders", "user": "anybody", "pass": "worker"}, "orders"),
    "user-is-not-read": ({"auth_token": "orders", "user": "worker"}, "orders"),
    "user-alone-is-nobody": ({"user": "worker"}, ""),
    "jwt-is-not-read": ({"jwt": "orders"}, ""),
}


@pytest.mark.parametrize(("fields", "name"), FIELDS.values(), ids=FIELDS)
async def test_where_a_token_is_looked_for(world: World, fields: dict[str, str], name: str) -> None:
    """
    The token field counts, else the password; what stands as the user or the JWT is nobody's token and changes nothing.
    """
    tokens = {of: world.token(name=of) for of in ("orders", "worker")}
    sent = {**world.fields(), **{field: tokens.get(text, text) for field, text in fields.items()}}
    async with connected(world, name="fields", **sent) as session:
        if not name:
            assert REFUSED == session.said
            return
        assert session.let_in
        assert f"system:serviceaccount:team-a:{name}" == world.shown("fields")["authorized_user"]


async def until_let_in(world: World, **fields: str) -> None:
    """Return once the manifests, which are read every 2 s, let this login in."""
    async with asyncio.timeout(10):
        while not (await ask(world, **fields)).let_in:
            await asyncio.sleep(0.1)


async def test_each_workload_has_its_own_subjects(world: World) -> None:
    """
    Two workloads that log in one after the other may each publish below its own namespace, and not the other's.
    """
    for namespace, name, elsewhere in (("team-a", "orders", "team-b"), ("team-b", "web", "team-a")):
        async with logged_in(world, world.token(namespace, name)) as client:
            assert "" == await client.publish(f"{namespace}.new")
            assert "permissions violation" in await client.publish(f"{elsewhere}.new")
