"""Everybody in the cluster, or in the folder, once."""

from pathlib import Path
from typing import Any

import pytest

from nats_k8s_oidc_callout import settings
from nats_k8s_oidc_callout.app import census
from nats_k8s_oidc_callout.app.census import Counted
from nats_k8s_oidc_callout.core.grants.entries import Reader
from nats_k8s_oidc_callout.errors import Unreachable
from tests.cli.desk import Desk
from tests.fakes import api_server as fake
from tests.fakes.kubernetes_world import World, fill, started

READER = Reader("nats.io/")


async def _counted(world: World, *namespaces: str) -> list[Counted]:
    return [each async for each in census._of_cluster(world.api, namespaces, READER)]


async def test_the_cluster_is_listed_page_by_page() -> None:
    async with started() as world:
        fill(world.server, 1201)
        world.server.put("pay", "app", "u1", allowed_pub_subjects="a.>", else_="x")

        everybody = await _counted(world)
        pay = await _counted(world, "pay")

        assert 1202 == len({each[:2] for each in everybody})
        assert Counted("pay", "app", "u1", {"nats.io/allowed-pub-subjects": "a.>"}) in everybody
        assert everybody[-1:] == pay
        assert ["500"] * 4 == [seen.params["limit"] for seen in world.server.seen]


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (fake.answers(403), "this identity may not list serviceaccounts"),
        (fake.answers(410), "the server forgot the version that we know"),
        (fake.resets(), "the connection broke"),
        (fake.body(b"{}"), "the answer is not a list of ServiceAccounts"),
        (
            fake.body(
                b'{"kind": "ServiceAccountList", "metadata": {"resourceVersion": "1"}, "items": [{"metadata": {}}]}'
            ),
            "the list has an item that cannot be read",
        ),
    ],
)
async def test_half_a_list_is_none(answer: Any, why: str) -> None:
    """Whatever goes wrong on the last page, nothing that was told before passes for the whole."""
    async with started() as world:
        fill(world.server, 600)
        world.server.once["list"] = [_as_ever(world), answer]

        with pytest.raises(Unreachable, match=why):
            await _counted(world)


def _as_ever(world: World) -> Any:
    async def handle(request: Any) -> Any:
        return world.server._list(request)

    return handle


async def test_a_folder_of_manifests_is_as_good(tmp_path: Path) -> None:
    """A broken file among them is an error: who it names is not known."""
    desk = Desk.new(tmp_path)
    desk.account("pay", "api", {"nats.io/allowed-pub-subjects": "a.>", "other": "x"})

    async def told(**more: str) -> list[Counted]:
        return [each async for each in census.service_accounts(settings.load(desk.variables(**more)))]

    api = Counted("pay", "api", "uid-api", {"nats.io/allowed-pub-subjects": "a.>"})
    assert [api, Counted("shop", "web", "uid-web", None)] == await told()
    assert [api] == await told(K8S_NAMESPACES="pay")

    (tmp_path / "accounts" / "bad.yaml").write_text("{")
    with pytest.raises(Unreachable, match=r"bad\.yaml: not YAML"):
        await told()


async def test_labels_of_a_folder(tmp_path: Path) -> None:
    """A Namespace beside the ServiceAccounts has its labels; one without a manifest is not there."""
    desk = Desk.new(tmp_path)
    manifest = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {team: a, other: b}}\n"
    (desk.folder / "accounts" / "shop.yaml").write_text(manifest)
    found = await census.labels(settings.load(desk.variables()), {"team"})

    assert ({"team": "a"}, None) == (found("shop"), found("pay"))
    assert (await census.labels(settings.load(desk.variables()), ()))("shop") is None

    (desk.folder / "accounts" / "bad.yaml").write_text("{")
    with pytest.raises(Unreachable, match=r"bad\.yaml: not YAML"):
        await census.labels(settings.load(desk.variables()), {"team"})


async def test_labels_of_a_cluster() -> None:
    """One list of all, or of each namespace alone that the settings name."""
    async with started() as world:
        body = b'{"kind": "NamespaceList", "metadata": {"resourceVersion": "1"}, "items": [%s]}'
        one = b'{"metadata": {"name": "shop", "uid": "u", "labels": {"team": "a", "other": "x"}}}'
        world.server.once["list"] = [fake.body(body % one), fake.body(body % one), fake.body(body % b"")]

        everybody = await census._labels_of_cluster(world.api, (), ["team"])
        scoped = await census._labels_of_cluster(world.api, ("shop", "gone"), ["team"])

        assert {"shop": {"team": "a"}} == everybody == scoped
        assert [None, "metadata.name=shop", "metadata.name=gone"] == [
            seen.params.get("fieldSelector") for seen in world.server.seen
        ]
