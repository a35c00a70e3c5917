"""The labels of namespaces that the policy in force goes by: followed, looked up, and exchanged with the policy."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from nats_k8s_oidc_callout.adapters.telemetry import Metrics
from nats_k8s_oidc_callout.app.namespaces import ClusterNamespaces, NamespaceLabels
from nats_k8s_oidc_callout.core.model import Workload
from nats_k8s_oidc_callout.errors import Unreachable
from nats_k8s_oidc_callout.settings import Settings
from tests.fakes import api_server as fake
from tests.fakes.kubernetes_world import World, started
from tests.fakes.namespaces import STAGE, TEAM
from tests.fakes.waiting import until

SHOP = Workload("shop", "cart", "uid-1")


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with started() as made:
        made.server.label("shop", team="retail", stage="prod")
        yield made


def labels_in(world: World, *keys: str, **settings: Any) -> NamespaceLabels:
    given: dict[str, Any] = {"service_accounts_dir": None, "k8s_namespaces": (), **settings}
    return NamespaceLabels(Settings(**given), world.api, keys, Metrics(CollectorRegistry(), ""))


@contextlib.asynccontextmanager
async def running(labels: NamespaceLabels) -> AsyncIterator[None]:
    task = asyncio.create_task(labels.run(), name="under test")
    try:
        await until(lambda: labels.synced)
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_without_labels_nothing_is_asked(world: World) -> None:
    """While no rule goes by labels nobody needs the right to see Namespaces."""
    labels = labels_in(world)
    async with running(labels):
        assert await labels.prepare([], 1) is None
        with pytest.raises(Unreachable):
            await labels.look_up(SHOP, 1)

    assert ([], None) == (world.server.seen, labels.find("shop"))
    assert b"nats_auth_cache_namespaces 0.0" in labels._metrics.render()


async def test_labels_are_followed(world: World) -> None:
    """Labels are listed, change and go as the cluster's do; a release of some namespaces follows only these."""
    world.server.label("other", team="x")
    labels = labels_in(world, TEAM, k8s_namespaces=("shop",))
    async with running(labels):
        assert {TEAM: "retail"} == labels.find("shop")
        assert b"nats_auth_cache_namespaces 1.0" in labels._metrics.render()
        world.server.label("shop", team="food")
        await until(lambda: labels.find("shop") == {TEAM: "food"})
        world.server.delete("", "shop")
        await until(lambda: labels.find("shop") is None)
        assert await labels.look_up(SHOP, 1) is None

    assert labels.find("other") is None
    await until(lambda: world.server.streams == 0)


async def test_other_labels_come_whole_or_not_at_all(world: World) -> None:
    """Labels of another policy count once all namespaces are listed; the watch of those before ends with their use."""
    labels = labels_in(world, TEAM)
    async with running(labels):
        before = labels.source
        assert before is await labels.prepare([TEAM], 1)
        told: list[str] = []
        labels.on_change = told.append
        prepared = await labels.prepare([TEAM, STAGE], 1)
        # What is only prepared is nobody's business.
        assert [] == told
        assert {TEAM: "retail"} == labels.find("shop")
        await until(lambda: world.server.streams == 2)
        labels.use(prepared)
        assert {TEAM: "retail", STAGE: "prod"} == labels.find("shop")
        await until(lambda: world.server.streams == 1)
        world.server.label("shop", team="whole")
        await until(lambda: told == ["shop"])
        labels.use(None)
        await until(lambda: world.server.streams == 0)


async def test_a_look_up_outlives_its_policy(world: World) -> None:
    """Whoever looks a namespace up while the policy changes learns the labels of the new one."""
    labels = labels_in(world, TEAM)
    async with running(labels):
        prepared = await labels.prepare([TEAM, STAGE], 1)
        world.server.once["get"] = [fake.hangs()]
        looking = asyncio.create_task(labels.look_up(SHOP, 5))
        await until(lambda: world.server.count("get") == 1)
        labels.use(prepared)
        found = await looking

    assert found is not None
    assert {TEAM: "retail", STAGE: "prod"} == found


@pytest.mark.parametrize("gives_up", [True, False], ids=["too late", "cancelled"])
async def test_labels_that_cannot_be_listed_change_nothing(world: World, gives_up: bool) -> None:
    """
    When the list is refused, or whoever waits goes, the labels before count on, and nobody asks for the others any more.
    """
    labels = labels_in(world, TEAM)
    async with running(labels):
        world.server.faults["list"] = fake.answers(403)
        if gives_up:
            with pytest.raises(Unreachable, match="not listed within"):
                await labels.prepare([STAGE], 0.1)
        else:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(labels.prepare([STAGE], 5), 0.1)

        assert ({TEAM: "retail"}, 1) == (labels.find("shop"), len(labels._running))


async def test_an_unknown_namespace_is_looked_up(world: World) -> None:
    """
    One GET tells the labels and which were looked for, without a run; kept for the question, they are found from then on.
    """
    labels = labels_in(world, TEAM)
    found = await labels.look_up(SHOP, 1)
    assert found is not None
    assert ({TEAM: "retail"}, (TEAM,), None) == (found, found.keys_read, labels.find("shop"))
    await labels.learn(SHOP, 1)
    assert {TEAM: "retail"} == labels.find("shop")
    assert await labels.learn(Workload("nobody", "a", "u"), 1) is None
    world.server.faults["get"] = fake.answers(403)
    with pytest.raises(Unreachable, match="may not get namespaces"):
        await labels.look_up(Workload("other", "cart", "u"), 1)
    await labels.close()


async def test_a_folder_has_namespaces_too(tmp_path: Path, world: World) -> None:
    """
    Manifests of Namespaces in the folder are followed, and a bad one is told; a namespace without one does not exist.
    """
    manifest = tmp_path / "shop.yaml"
    manifest.write_text(f"kind: Namespace\nmetadata: {{name: shop, labels: {{{TEAM}: retail}}}}\n")
    labels = labels_in(world, TEAM, service_accounts_dir=tmp_path)
    await labels.prime()
    found = await labels.look_up(SHOP, 1)
    assert found is not None
    assert ({TEAM: "retail"}, (TEAM,), {}) == (found, found.keys_read, labels.file_errors())
    assert await labels.look_up(Workload("other", "a", "u"), 1) is None
    manifest.write_text(f"kind: Namespace\nmetadata: {{name: shop, labels: {{{TEAM}: [1]}}}}\n")
    async with running(labels):
        await until(lambda: bool(labels.file_errors()))

    assert ({TEAM: "retail"}, {"manifests": 1.0}) == (labels.find("shop"), labels.file_errors())
    assert not isinstance(labels.source, ClusterNamespaces)
