"""doctor uses each permission that SESSION_CONTROL needs, on real servers, and names the one that is missing."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import nats
import pytest
from nats.aio.msg import Msg

from nats_k8s_oidc_callout.adapters.files import FileWatch
from nats_k8s_oidc_callout.app.keyring import Keyring
from nats_k8s_oidc_callout.doctor import Finding, check_sessions
from nats_k8s_oidc_callout.settings import load
from tests.e2e.plans import Plan
from tests.e2e.responder import environment
from tests.e2e.session_plans import MODES, WAYS, session_plan
from tests.e2e.worlds import BINARIES, World, world_of
from tests.fakes.nats_modes import PASSWORD
from tests.fakes.nats_world import settled

pytestmark = pytest.mark.e2e

# What is taken from the configuration, and what doctor then names.
LACKS = [
    ("imports", '"nko.connz.*", ', ["sessions_not_listed"]),
    ("imports", '"nko.kick.*", "nko.control"', ["sessions_not_ended", "sessions_not_told"]),
    ("imports", ', "nko.ev.>"', ["sessions_not_heard", "sessions_not_heard"]),
    ("imports", ', "_INBOX_sess.>"', ["sessions_not_answered"]),
    (
        "imports",
        'service: { account: SYS, subject: "$SYS.REQ.SERVER.*.KICK" }, to: "nko.kick.*"',
        ["sessions_not_ended"],
    ),
    ("login", '"$SYS.REQ.ACCOUNT.*.CONNZ", ', ["sessions_not_listed"]),
    ("login", ', "$SYS.ACCOUNT.*.DISCONNECT"', ["sessions_not_heard"]),
    ("login", '"nko.control"', ["sessions_not_told"]),
]


def lacking(way: str, taken: str) -> Callable[[Path], Plan]:
    """Return a plan of one node whose configuration lacks this."""

    def plan(folder: Path) -> Plan:
        one = session_plan("config", way)(folder)
        text = one.texts[0].replace(f"{{ {taken} }}, ", "") if taken.startswith("service") else one.texts[0]
        changed = text.replace(taken, "")
        assert changed != one.texts[0]
        return replace(one, texts=[changed])

    plan.__name__ = f"lacking-{way}"
    return plan


async def found(plan: Callable[[Path], Plan], binary: str) -> list[Finding]:
    path = BINARIES[binary]()
    assert path is not None, f"nats-server {binary} is not built (make tools)"
    with world_of(plan, str(path)) as world:
        return check_sessions.judge(await observed(world))


async def observed(world: World) -> check_sessions.Seen:
    env = environment(world.environment() | {"SESSION_CONTROL": "on", "SESSION_RELEASE": "ours"})
    settings = load({name: value for name, value in env.items() if name not in ("PATH", "PYTHONPATH")})
    return await check_sessions.observe(settings, Keyring(settings, FileWatch().watch))


@pytest.mark.parametrize("binary", ["2.11", "2.15"])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("mode", MODES)
async def test_nothing_is_missing(mode: str, way: str, binary: str) -> None:
    """With the rights that the guide gives nothing is found, in both modes and by both ways."""
    one = await found(session_plan(mode, way), binary)

    assert [[]] == [[*finding.causes] for finding in one], one
    assert one[0].detail.startswith("list, hear and end")


async def test_a_hold_is_told() -> None:
    """When a replica says that it holds, doctor says that no session is ended."""
    with world_of(session_plan("config", "imports")) as world:
        replica = await nats.connect(world.servers[0].url, user="responder", password=PASSWORD)

        async def answer(message: Msg) -> None:
            if message.data == b"state":
                await replica.publish("nko.control", b"hold")

        await replica.subscribe("nko.control", cb=answer)
        await settled(replica)
        one = check_sessions.judge(await observed(world))
        await replica.close()

    assert [[]] == [[*finding.causes] for finding in one], one
    assert "all is held" in one[0].detail


@pytest.mark.parametrize(("way", "taken", "causes"), LACKS)
async def test_what_is_missing_is_named(way: str, taken: str, causes: list[str]) -> None:
    """Each permission or import that is taken away is named by its cause, with a fix, and no other beside it."""
    one = await found(lacking(way, taken), "wheel")

    assert causes == [cause.value for finding in one for cause in finding.causes], one
    assert all(finding.fix for finding in one)
