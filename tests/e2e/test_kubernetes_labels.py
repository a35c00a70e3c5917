"""Rules that go by labels of the Namespace, on a real API server that gives no right beyond those they need."""

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from nats_k8s_oidc_callout.adapters.kubernetes import ApiServer
from nats_k8s_oidc_callout.doctor import check_kubernetes
from tests.e2e.cluster import Cluster
from tests.e2e.kubernetes_world import World, eventually, world_in
from tests.fakes.kubernetes_world import FixedSource
from tests.fakes.namespaces import TEAM
from tests.leaks import SECRETS

EVERYBODY = "  - {name: everybody, match: {}}\n"
PLAIN = f"version: 1\nrules:\n{EVERYBODY}"
LABELLED = f"""\
version: 1
rules:
  - {{name: teams, match: {{namespace_labels: {{{TEAM}: "{{team}}"}}}}, root: "{{team}}.{{namespace}}"}}
{EVERYBODY}"""
VERBS = ["get", "list", "watch"]
RBAC = "/apis/rbac.authorization.k8s.io/v1"


def allow(cluster: Cluster, name: str, namespace: str, *, only: str = "") -> None:
    """Let a ServiceAccount of a namespace see Namespaces, `only` the one of this name."""
    names = {"resourceNames": [only]} if only else {}
    rules = [{"apiGroups": [""], "resources": ["namespaces"], "verbs": VERBS, **names}]
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": f"{name}-labels"}
    subject = {"kind": "ServiceAccount", "namespace": namespace, "name": name}
    cluster.apply("POST", f"{RBAC}/clusterroles", {"metadata": {"name": f"{name}-labels"}, "rules": rules})
    cluster.apply(
        "POST",
        f"{RBAC}/clusterrolebindings",
        {"metadata": {"name": f"{name}-labels"}, "roleRef": role, "subjects": [subject]},
    )


@pytest.fixture(scope="module")
def world(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("labels-world")
    policy = folder / "policy.yaml"
    policy.write_text(PLAIN)
    with world_in(cluster, folder, POLICY_FILE=str(policy)) as whole:
        yield whole


def change(world: World, policy: str) -> None:
    Path(world.env["POLICY_FILE"]).write_text(policy)


async def rule_of(world: World, token: str) -> str:
    """Return the rule by which a client with this token is let in."""
    before = len(world.responder.events("allowed"))
    assert await world.let_in(token)
    await eventually(lambda: _more(world, before))
    return str(world.responder.events("allowed")[-1]["rule"])


async def _more(world: World, than: int) -> bool:
    return len(world.responder.events("allowed")) > than


async def test_labels_decide(world: World) -> None:
    """
    A policy that begins to go by labels waits for the right to see them, and then: a label gives the rule and its names,
    another one others at the next login, none the next rule; a namespace made just now, or again, counts as it is.
    """
    cluster, responder = world.cluster, world.responder
    cluster.label_namespace("labels-shop", {TEAM: "retail"})
    for namespace in ("labels-shop", "labels-bare"):
        cluster.create_service_account(namespace, "web")
    shop, bare = (world.token(namespace, "web") for namespace in ("labels-shop", "labels-bare"))
    assert "everybody" == await rule_of(world, shop)
    assert "labels" not in responder.get("/readyz?verbose")[1]

    change(world, LABELLED)
    await eventually(lambda: _says(world, "informer forbidden", resource="namespaces"))
    assert "everybody" == await rule_of(world, shop)
    allow(cluster, cluster.service_account, cluster.namespace)
    await eventually(lambda: _says(world, "policy in force", rules=2), 20)
    assert "[+]labels ok" in responder.get("/readyz?verbose")[1]
    assert ("teams", "everybody") == (await rule_of(world, shop), await rule_of(world, bare))
    assert await world.may_publish(shop, "retail.labels-shop.a")
    assert not await world.may_publish(shop, "labels-shop.a")

    cluster.label_namespace("labels-shop", {TEAM: "food"})
    await eventually(lambda: world.may_publish(shop, "food.labels-shop.a"))

    # At once: the watches may know nothing yet.
    cluster.label_namespace("labels-new", {TEAM: "new"})
    cluster.create_service_account("labels-new", "web")
    assert "teams" == await rule_of(world, world.token("labels-new", "web"))

    cluster.delete_service_account("labels-shop", "web")
    cluster.delete_namespace("labels-shop")
    cluster.label_namespace("labels-shop", {TEAM: "again"})
    cluster.create_service_account("labels-shop", "web")
    again = world.token("labels-shop", "web")
    assert await world.may_publish(again, "again.labels-shop.a")
    assert not await world.may_publish(again, "food.labels-shop.a")


async def _says(world: World, event: str, **fields: object) -> bool:
    return any(fields.items() <= line.items() for line in world.responder.events(event))


async def test_a_scoped_release_may_see_its_own_namespaces_only(world: World, tmp_path: Path) -> None:
    """
    A release of one namespace needs a Role there and a ClusterRole for the Namespace of that name; doctor agrees.
    """
    cluster, name = world.cluster, "labels-scoped"
    cluster.label_namespace("labels-mine", {TEAM: "mine"})
    for account in (name, "web"):
        cluster.create_service_account("labels-mine", account)
    rules = [{"apiGroups": [""], "resources": ["serviceaccounts"], "verbs": VERBS}]
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name}
    subject = {"kind": "ServiceAccount", "namespace": "labels-mine", "name": name}
    place = f"{RBAC}/namespaces/labels-mine"
    cluster.apply("POST", f"{place}/roles", {"metadata": {"name": name}, "rules": rules})
    bound = {"metadata": {"name": name}, "roleRef": role, "subjects": [subject]}
    cluster.apply("POST", f"{place}/rolebindings", bound)
    discovery = {**role, "kind": "ClusterRole", "name": "system:service-account-issuer-discovery"}
    cluster.apply("POST", f"{RBAC}/clusterrolebindings", {**bound, "roleRef": discovery})
    allow(cluster, name, "labels-mine", only="labels-mine")
    (tmp_path / "policy.yaml").write_text(LABELLED)
    credentials = cluster.credentials_dir("labels-mine", name)
    token = SECRETS.register("token", (credentials / "token").read_text())
    api = ApiServer(FixedSource(cluster.url, token, ssl.create_default_context(cafile=str(cluster.ca_file))))
    rights, trouble, _ = await check_kubernetes.ask_rights(api, ["labels-mine"], [TEAM])
    beyond, _, _ = await check_kubernetes.ask_rights(api, ["labels-bare"], [TEAM])
    await api.close()
    (found,) = check_kubernetes.rbac(cluster.url, rights, trouble)

    assert "list, watch and get on serviceaccounts and namespaces" == found.detail
    assert {403} == {right.status for right in beyond}
    scoped = world_in(
        cluster, tmp_path, POLICY_FILE=str(tmp_path / "policy.yaml"), K8S_NAMESPACES="labels-mine",
        K8S_CREDENTIALS_DIR=str(credentials),
    )  # fmt: skip
    with scoped as mine:
        assert "teams" == await rule_of(mine, mine.token("labels-mine", "web"))
        cluster.label_namespace("labels-mine", {TEAM: "ours"})
        await eventually(lambda: mine.may_publish(mine.token("labels-mine", "web"), "ours.labels-mine.a"))
        assert not mine.responder.events("informer forbidden")
