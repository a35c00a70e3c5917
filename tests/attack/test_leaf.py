"""A whole NATS server as the client: a hostile pod that connects as a leaf node."""

import asyncio
from pathlib import Path

import pytest

from tests.attack.hall import SUBJECT, Hall
from tests.e2e.clients import logged_in
from tests.e2e.plans import Plan, config_creds
from tests.e2e.worlds import world_of
from tests.fakes import nats_modes
from tests.fakes.nats_world import NatsServer, free_port, until

pytestmark = pytest.mark.e2e


async def test_a_leaf_node_is_let_in_and_held_to_its_permissions() -> None:
    """
    Not stopped without a policy: a pod may connect a server of its own as a leaf node. What its clients publish reaches no subject
    that the ServiceAccount may not publish, and they hear none that it may not subscribe.
    """
    leaf_port = free_port()

    def with_leaves(folder: Path) -> Plan:
        return config_creds(folder, extra=f"leafnodes {{ listen: 127.0.0.1:{leaf_port} }}\n")

    with world_of(with_leaves) as world:
        responder = world.start_responder(LOG_LEVEL="info")
        remote = f'"nats-leaf://{world.token()}@127.0.0.1:{leaf_port}"'
        with NatsServer(f"leafnodes {{ remotes: [ {{ url: {remote} }} ] }}\n") as leaf:
            await until(lambda: responder.decisions(event="allowed"), what="the leaf is let in")
            await until(lambda: leaf.monitor("leafz")["leafs"], what="the leaf is connected")
            async with (
                logged_in(world, world.token("team-b", "web")) as victim,
                logged_in(world, world.token("team-a", "worker")) as sibling,
                logged_in(_Leaf(leaf.url), "") as hostile,  # type: ignore[arg-type]  # as much of a World as it takes
            ):
                forged, granted = await victim.listen("team-b.orders"), await sibling.listen("team-a.x")
                secret = await hostile.listen("team-b.secret")
                # Interest travels to the leaf in its own time: what is granted arrives once it has.
                async with asyncio.timeout(5):
                    while not granted.pending_msgs:
                        await hostile.client.publish("team-b.orders", b"forged")
                        await victim.client.publish("team-b.secret", b"secret")
                        await hostile.client.publish("team-a.x")
                        await hostile.settle()
                        await sibling.settle()
                await victim.settle()
                await hostile.settle()

                assert (0, 0) == (forged.pending_msgs, secret.pending_msgs)


async def test_a_rule_lets_no_leaf_node_in_unless_it_says_so() -> None:
    """
    Under a policy a leaf node is refused by the rule that matches, though a later one would let it in.
    """
    leaf_port = free_port()

    def with_leaves(folder: Path) -> Plan:
        return config_creds(folder, extra=f"leafnodes {{ listen: 127.0.0.1:{leaf_port} }}\n")

    with world_of(with_leaves) as world:
        policy = world.folder / "policy.yaml"
        policy.write_text(
            "version: 1\nrules:\n"
            "  - {name: usual, match: {namespaces: [team-a]}}\n"
            "  - {name: leaves, match: {}, kinds: [leafnode]}\n"
        )
        responder = world.start_responder(LOG_LEVEL="info", POLICY_FILE=str(policy))
        for token, event, reason in (
            (world.token(), "denied", "connection_kind"),
            (world.token("team-b", "web"), "allowed", None),
        ):
            remote = f'"nats-leaf://{token}@127.0.0.1:{leaf_port}"'
            with NatsServer(f"leafnodes {{ remotes: [ {{ url: {remote} }} ] }}\n"):
                await until(lambda: responder.decisions(event=event), what=event)  # noqa: B023
            assert {reason} == {line.get("reason") for line in responder.decisions(event=event)}


async def test_a_reply_subject_that_only_a_leaf_node_can_send_is_none() -> None:
    """
    A leaf node of the callout account may hand the server longer lines than we may: a reply subject that we could not
    write is none, and the connection lives.
    """
    leaf_port = free_port()
    with Hall(extra=f"leafnodes {{ listen: 127.0.0.1:{leaf_port} }}\n") as hall:
        remote = f'"nats-leaf://mallory:{nats_modes.PASSWORD}@127.0.0.1:{leaf_port}"'
        with NatsServer(f"leafnodes {{ remotes: [ {{ url: {remote} }} ] }}, max_control_line: 65536\n") as leaf:
            async with hall.mallory(leaf.port) as mallory:
                async with asyncio.timeout(5):
                    # Our interest travels to the leaf in its own time.
                    while not hall.dropped()["malformed_request"]:
                        await mallory.publish(SUBJECT, "x" * 8000, *hall.question())
                        await mallory.settle()
                        await asyncio.sleep(0.05)
            await hall.still_answers()

        assert 0 == hall.responder.metrics()["nats_auth_nats_reconnects_total"]


class _Leaf:
    """As much of a World as a stock client needs."""

    def __init__(self, url: str) -> None:
        self.client_url = url

    def nats_options(self, _: str) -> dict[str, object]:
        return {}
