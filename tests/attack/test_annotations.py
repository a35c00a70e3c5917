"""What a tenant who may edit a ServiceAccount can ask for, and what the server then enforces for their pod."""

import asyncio
from collections.abc import Iterator, Mapping

import pytest

from nats_k8s_oidc_callout.core.nats import user
from tests.e2e.clients import connected, logged_in
from tests.e2e.worlds import PUBLISH, SUBSCRIBE, World

pytestmark = pytest.mark.e2e

HUGE = "x" * 10_240

# By name: what the annotation says (for both sides), and a subject that it would reach.
GREEDY: Mapping[str, tuple[str, str]] = {
    "everything": (">", "team-z.x"),
    "one-token": ("*", "anything"),
    "star-greater": ("*.>", "_INBOX.x"),
    "star-star": ("*.*", "$SYS.x"),
    "system": ("$SYS.>", "$SYS.REQ.SERVER.PING"),
    "system-lower-case": ("$sys.>", "$sys.x"),
    "jetstream-api": ("$JS.API.>", "$JS.API.STREAM.CREATE.S"),
    "stream-create": ("$JS.API.STREAM.CREATE.S", "$JS.API.STREAM.CREATE.S"),
    "stream-delete": ("$JS.API.STREAM.DELETE.S", "$JS.API.STREAM.DELETE.S"),
    "any-stream": ("$JS.API.STREAM.INFO.*", "$JS.API.STREAM.INFO.OTHER"),
    "any-stream-by-greater": ("$JS.API.CONSUMER.MSG.NEXT.>", "$JS.API.CONSUMER.MSG.NEXT.OTHER.c"),
    "any-bucket": ("$KV.*.>", "$KV.OTHER.x"),
    "all-buckets": ("$KV.>", "$KV.OTHER.x"),
    "object-store": ("$O.>", "$O.OTHER.x"),
    "mqtt": ("$MQTT.>", "$MQTT.msgs.x"),
    "services": ("$SRV.>", "$SRV.PING"),
    "domain": ("$JS.hub.API.>", "$JS.hub.API.INFO"),
    "inboxes": ("_INBOX.somebody.*", "_INBOX.somebody.x"),
    "another-inbox": ("_INBOX_team-b_web.>", "_INBOX_team-b_web.x"),
    "another-private-inbox": ("_INBOX_SA.team-b.web.>", "_INBOX_SA.team-b.web.x"),
    "reply-prefix": ("_R_.>", "_R_.x.y"),
    "underscore": ("_.>", "_.x"),
    "dollar": ("$", "$"),
    "double-dollar": ("$$SYS.>", "$$SYS.x"),
    "star-behind-a-comma": ("orders.x,*.>", "$SYS.x"),
    "star-behind-a-newline": ("orders.x\n>", "$SYS.x"),
    "no-break-space": ("\u00a0>\u00a0", "$SYS.x"),
    "line-separator": ("orders.x\u2028>", "$SYS.x"),
    "tab": ("\t>\t", "$SYS.x"),
    "full-width-greater": ("\uff1e", "$SYS.x"),
    "full-width-star": ("\uff0a.>", "$SYS.x"),
    "wildcard-in-a-token": ("f*o.x", "foo.x"),
    "empty-token": ("foo..bar", "foo.bar"),
    "dot-first": (".foo", "foo"),
    "dot-last": ("foo.", "foo"),
    "greater-in-the-middle": ("foo.>.bar", "foo.x.bar"),
    "queue-form": ("foo bar", "foo"),
    "nul": ("foo\x00bar", "foo"),
    "10-kib": (HUGE, "x"),
    "umlaut": ("größe.x", "größe.x"),
    "quote": ('foo"],"deny":[]},"xyz":{"allow":[">', "$SYS.x"),
}


def _name(case: str) -> str:
    return f"greedy-{case}"


TENANTS: Mapping[str, Mapping[str, str]] = {
    "template": {PUBLISH: "{{name()}}.>,{{account-name()}}.>"},
    "nosy": {PUBLISH: "team-b.>", SUBSCRIBE: "team-b.>"},
    "narrowed": {PUBLISH: "wide.>"},
    "leaver": {},
}


@pytest.fixture(scope="module", autouse=True)
def greedy(attacked: World) -> Iterator[World]:
    """The attacked world with a ServiceAccount for each case, each with one good entry beside the bad one."""
    for case, (text, _) in GREEDY.items():
        # The API server takes any text; a manifest's YAML cannot hold NUL, so that one travels escaped.
        attacked.accounts.write("team-a", _name(case), dict.fromkeys((PUBLISH, SUBSCRIBE), f"good.{case},{text}"))
    for name, annotations in TENANTS.items():
        attacked.accounts.write("team-a", name, annotations)
    yield attacked
    for name in (*map(_name, GREEDY), *TENANTS):
        (attacked.accounts.folder / f"team-a.{name}.yaml").unlink(missing_ok=True)


async def log_in(world: World, name: str) -> str:
    """Return a token of this ServiceAccount, once its manifest was read."""
    token = world.token("team-a", name)
    async with asyncio.timeout(10):
        while True:
            async with connected(world, auth_token=token) as client:
                if client.let_in:
                    return token
            await asyncio.sleep(0.1)


@pytest.mark.parametrize("case", GREEDY)
async def test_a_greedy_entry_is_left_out_and_the_rest_counts(greedy: World, case: str) -> None:
    """
    An entry that reaches what others depend on, or is no subject, gives nothing on either side and is told in the log;
    the good entry beside it counts, and so do the defaults.
    """
    text, reached = GREEDY[case]
    token = await log_in(greedy, _name(case))

    async with logged_in(greedy, token, _name(case)) as client:
        # Everybody may answer into inboxes, and read the shared one; no annotation changes either.
        if not reached.startswith(("_INBOX.", "_INBOX_SA.")):
            assert "permissions violation for publish" in (await client.publish(reached)).lower()
        if not reached.startswith("_INBOX."):
            assert "permissions violation for subscription" in (await client.subscribe(reached)).lower()
        assert "" == await client.publish(f"good.{case}") + await client.publish("team-a.x")
        assert "" == await client.subscribe(f"good.{case}")
    left_out = [
        line for line in greedy.responder.events("annotation entry left out") if _name(case) in line["workload"]
    ]
    assert left_out, f"nothing was said about {text[:40]!r}"


async def test_the_servers_templates_stay_text(attacked: World) -> None:
    """
    `{{name()}}` and its kind are filled in for scoped signing keys only; here they are letters that match nothing.
    """
    token = await log_in(attacked, "template")

    async with logged_in(attacked, token) as client:
        assert "permissions violation" in (await client.publish("APP.x")).lower()
        assert "permissions violation" in (await client.publish("template.x")).lower()


async def test_a_tenant_reaches_every_application_subject_of_the_account(attacked: World) -> None:
    """
    Not stopped without a policy: an annotation may name any application subject of the account, another namespace's too.
    """
    token = await log_in(attacked, "nosy")

    async with logged_in(attacked, token) as client:
        assert "" == await client.publish("team-b.secret") + await client.subscribe("team-b.>")


async def test_a_changed_annotation_counts_at_the_next_login_only(attacked: World) -> None:
    """
    Not stopped yet: a session keeps the permissions that it began with until it ends (kicks).
    """
    token = await log_in(attacked, "narrowed")
    async with logged_in(attacked, token) as client:
        attacked.accounts.write("team-a", "narrowed")
        async with asyncio.timeout(10):
            while await _may_publish(attacked, token, "wide.x"):
                await asyncio.sleep(0.1)

        assert "" == await client.publish("wide.x")


async def _may_publish(world: World, token: str, subject: str) -> bool:
    async with logged_in(world, token) as client:
        return not await client.publish(subject)


async def test_a_deleted_service_account_keeps_its_sessions(attacked: World) -> None:
    """
    Not stopped yet: a ServiceAccount that is deleted lets nobody in any more, but its live sessions go on until they end
    (kicks).
    """
    token = await log_in(attacked, "leaver")
    async with logged_in(attacked, token) as client:
        (attacked.accounts.folder / "team-a.leaver.yaml").unlink()
        async with asyncio.timeout(10):
            while await _let_in(attacked, token):
                await asyncio.sleep(0.1)

        assert "" == await client.publish("team-a.x")


async def _let_in(world: World, token: str) -> bool:
    async with connected(world, auth_token=token) as client:
        return client.let_in


async def test_the_shared_inbox_is_everybodys(attacked: World) -> None:
    """
    Not stopped by default: with INBOX_MODE shared every workload of the account may read every reply in `_INBOX`.
    """
    async with logged_in(attacked, attacked.token("team-b", "web")) as client:
        assert "" == await client.subscribe("_INBOX.>")


async def test_another_workloads_private_inbox_is_closed(attacked: World) -> None:
    """
    Nobody reads the private inbox of another workload, also not of one whose name begins alike.
    """
    async with logged_in(attacked, attacked.token("team-a", "orders")) as client:
        for inbox in (
            "_INBOX_team-a_orders_v2.>",
            "_INBOX_team-a_worker.>",
            "_INBOX_SA.team-a.orders_v2.>",
            "_INBOX_SA.team-b.orders.>",
            "_INBOX_SA.team-a.*.>",
            "_INBOX_SA.>",
        ):
            assert "permissions violation" in (await client.subscribe(inbox)).lower()


async def test_the_self_tests_name_gives_rights_up(attacked: World) -> None:
    """
    Who takes the connection name of our self-test may do less than their workload may, not more.
    """
    token = attacked.token()
    async with logged_in(attacked, token, f"{user.SELF_TEST}mine") as client:
        assert "permissions violation" in (await client.publish("team-a.x")).lower()
        assert "permissions violation" in (await client.subscribe("_INBOX.>")).lower()
