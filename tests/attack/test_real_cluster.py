"""A few of the attacks once more on a real API server, with the rights of the chart and nothing else."""

from collections.abc import Iterator

import pytest

from tests.e2e.cluster import Cluster
from tests.e2e.kubernetes_world import World, eventually, world_in
from tests.leaks import SECRETS

PUBLISH = "nats.io/allowed-pub-subjects"
NAMESPACE = "attack"


@pytest.fixture(scope="module")
def besieged(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A NATS server and a responder in the cluster, and a ServiceAccount to be."""
    with world_in(cluster, tmp_path_factory.mktemp("attack"), LOG_LEVEL="info") as world:
        cluster.create_service_account(NAMESPACE, "victim")
        yield world


async def _still_good(world: World) -> None:
    assert await world.let_in(world.token(NAMESPACE, "victim"))


@pytest.mark.parametrize(
    ("text", "reached"),
    [
        pytest.param("good.x,>", "team-z.x", id="everything"),
        pytest.param("good.x,*.>", "_R_.x", id="star-greater"),
        pytest.param("good.x,$SYS.>", "$SYS.REQ.SERVER.PING", id="system"),
        pytest.param("good.x,$JS.API.>", "$JS.API.STREAM.CREATE.S", id="jetstream-api"),
        pytest.param("good.x,foo..bar\n\uff1e", "foo.bar", id="no-subject"),
        pytest.param("good.x," + "y" * 200_000, "y", id="200-kib"),
    ],
)
async def test_a_greedy_annotation_gives_nothing(besieged: World, text: str, reached: str) -> None:
    """
    What the API server takes as an annotation and no tenant may have is left out; the rest of it counts.
    """
    besieged.cluster.annotate(NAMESPACE, "victim", {PUBLISH: text})
    token = besieged.token(NAMESPACE, "victim")

    async def counts() -> bool:
        return await besieged.may_publish(token, "good.x")

    await eventually(counts)
    assert not await besieged.may_publish(token, reached)
    besieged.cluster.annotate(NAMESPACE, "victim", {PUBLISH: None})
    await _still_good(besieged)


async def test_tokens_of_the_cluster_that_are_not_for_us_are_refused(besieged: World) -> None:
    """
    A token for the API server, and one whose claims the cluster's own key signed differently, are refused.
    """
    claims = besieged.cluster.claims(NAMESPACE, "victim")
    stolen = SECRETS.register("token", besieged.cluster.sign_token({**claims, "aud": [besieged.cluster.issuer]}))
    assert "wrong_audience" == (await besieged.refused(stolen))[0]
    for name in ("default", "nobody"):
        other = {**claims, "sub": f"system:serviceaccount:{NAMESPACE}:{name}"}
        assert (
            "bad_claims" == (await besieged.refused(SECRETS.register("token", besieged.cluster.sign_token(other))))[0]
        )

    await _still_good(besieged)


async def test_a_deleted_service_account_lets_nobody_in_and_its_name_is_no_key(besieged: World) -> None:
    """
    The token of a deleted ServiceAccount is refused, also once another one has its name.
    """
    besieged.cluster.create_service_account(NAMESPACE, "again")
    old = besieged.token(NAMESPACE, "again")
    assert await besieged.let_in(old)
    besieged.cluster.delete_service_account(NAMESPACE, "again")

    async def shut_out() -> bool:
        return not await besieged.let_in(old)

    await eventually(shut_out)
    besieged.cluster.create_service_account(NAMESPACE, "again")
    assert await besieged.let_in(besieged.token(NAMESPACE, "again"))
    assert not await besieged.let_in(old)
    await _still_good(besieged)
