"""Every file of a running responder can be replaced; one that is spoiled changes nothing but a metric.

There are two responders, one whose files are replaced by good ones and one whose files are spoiled, at the same time.
"""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from nats_k8s_oidc_callout.core.nats.nkeys import Kind
from tests.e2e.clients import ask
from tests.e2e.plans import Plan, seed_as_creds, write_creds, write_seeds
from tests.e2e.worlds import World, world_of
from tests.fakes.issuer import issuer_key, jwks
from tests.fakes.nats_modes import Pair, config_mode
from tests.fakes.nats_world import until

pytestmark = pytest.mark.e2e

PICKED_UP_SECONDS = 12.0
LABELS = ("creds", "signing_key", "xkey", "jwks")


@dataclass(frozen=True)
class Keys:
    """What a servers' configuration names, or a responder's files hold."""

    responder: Pair
    issuer: Pair
    xkey: Pair

    @classmethod
    def new(cls) -> "Keys":
        return cls(Pair.new(Kind.USER), Pair.new(Kind.ACCOUNT), Pair.new(Kind.CURVE))

    @property
    def text(self) -> str:
        return config_mode(responder=self.responder, issuer=self.issuer, xkey=self.xkey).text


OLD, NEW = Keys.new(), Keys.new()
NEW_ISSUER_KEY = issuer_key("RS256", 2)


def files(folder: Path) -> Plan:
    """Config mode with every credential in a file of its own."""
    variables = {
        "NATS_ACCOUNT": "APP",
        "NATS_CREDS_FILE": write_creds(folder / "responder.creds", seed_as_creds(OLD.responder)),
        "NATS_SIGNING_KEY_FILE": write_seeds(folder / "signing.seed", OLD.issuer),
        "NATS_XKEY_FILE": write_seeds(folder / "xkey.seed", OLD.xkey),
    }
    return Plan([OLD.text], "APP", {}, variables)


@pytest.fixture(scope="module")
def worlds() -> Iterator[tuple[World, World]]:
    """The first has new files, the second spoiled ones; both were looked at since, and have answered throughout."""
    with world_of(files) as renewed, world_of(files) as spoiled:
        for world in (renewed, spoiled):
            world.start_responder()
        write_creds(renewed.folder / "responder.creds", seed_as_creds(NEW.responder))
        write_seeds(renewed.folder / "signing.seed", OLD.issuer, NEW.issuer)
        write_seeds(renewed.folder / "xkey.seed", NEW.xkey, OLD.xkey)
        renewed.jwks_file.write_bytes(jwks(*renewed.issuer.keys, NEW_ISSUER_KEY))
        for name in ("responder.creds", "signing.seed", "xkey.seed", "jwks.json"):
            (spoiled.folder / name).write_text("not what it was")
        yield renewed, spoiled


async def let_in(world: World, **changes: Any) -> bool:
    return (await ask(world, **world.fields(world.token(**changes)))).let_in


async def test_new_files_count_without_a_restart(worlds: tuple[World, World]) -> None:
    """
    Old and new signing key answer side by side, so do two xkeys; once the server has the new ones, and knows us by the
    new nkey only, the same process is in again.
    """
    world = worlds[0]
    pid = world.responder.pid
    outcomes = []
    while len(world.responder.events("file reloaded")) < len(LABELS):
        outcomes.append(await let_in(world))
        await asyncio.sleep(0.1)
        assert len(outcomes) < PICKED_UP_SECONDS * 10
    outcomes.append(await let_in(world))
    by_new_key = await let_in(world, key=NEW_ISSUER_KEY)
    world.server.restart(NEW.text)
    await until(lambda: world.responder.ready, 10)

    assert (True, True, True) == (all(outcomes), by_new_key, await let_in(world))
    assert pid == world.responder.pid


async def test_spoiled_files_change_nothing(worlds: tuple[World, World]) -> None:
    """
    A file that no longer parses raises its gauge and has a line in the log; what it held before counts on.
    """
    world = worlds[1]

    def gauges() -> list[float]:
        metrics = world.responder.metrics()
        return [metrics[f'nats_auth_file_errors{{file="{label}"}}'] for label in LABELS]

    await until(lambda: gauges() == [1, 1, 1, 1], PICKED_UP_SECONDS)
    told = {
        Path(line["path"]).name for line in world.responder.events("file cannot be used, keeping the last good content")
    }

    assert {"responder.creds", "signing.seed", "xkey.seed", "jwks.json"} == told
    assert (True, True) == (world.responder.ready, await let_in(world))
