"""Identity and rights: reading ServiceAccounts and the issuer's keys, where it must, and nothing else."""

from typing import Any

import pytest

from tests.chart.chart import ACCOUNT, EACH_CASE, Object, case, kinds, objects_of, one, render

READ = [{"apiGroups": [""], "resources": ["serviceaccounts"], "verbs": ["get", "list", "watch"]}]
CLUSTER_KINDS = ("ClusterRole", "ClusterRoleBinding")


def subjects_of(objects: list[Object]) -> list[Any]:
    return [subject for each in objects for subject in each.get("subjects", [])]


@EACH_CASE
def test_no_case_has_another_right(case: Any) -> None:
    """Whatever the values, no role has any right but these three, and no binding any other role of the cluster's."""
    objects = objects_of(case)
    roles = [each for each in objects if each["kind"] in ("Role", "ClusterRole")]
    own = {each["metadata"]["name"] for each in roles}

    assert all(each["rules"] == READ for each in roles if not each["metadata"]["name"].endswith(":namespaces"))
    bound = {each["roleRef"]["name"] for each in objects if each["kind"].endswith("RoleBinding")}
    assert bound <= own | {"system:service-account-issuer-discovery"}


@EACH_CASE
def test_nobody_else_gets_these_rights(case: Any) -> None:
    """Each binding has one subject: the ServiceAccount that the Pods run under."""
    objects = objects_of(case)
    deployment = one(objects, "Deployment")
    account = {
        "kind": "ServiceAccount",
        "name": deployment["spec"]["template"]["spec"]["serviceAccountName"],
        "namespace": deployment["metadata"]["namespace"],
    }

    assert all(account == subject for subject in subjects_of(objects))


def test_a_scoped_release_has_a_role_in_each_namespace_and_no_more() -> None:
    """With namespaces there is no ClusterRole at all; the issuer's keys, which are the cluster's, stay readable."""
    objects = render(ACCOUNT, "--set=namespaces={nats-auth,team-a}")

    assert "ClusterRole" not in kinds(objects)
    for kind in ("Role", "RoleBinding"):
        assert ["nats-auth", "team-a"] == [each["metadata"]["namespace"] for each in objects if each["kind"] == kind]
    assert "system:service-account-issuer-discovery" == one(objects, "ClusterRoleBinding")["roleRef"]["name"]


def test_two_releases_never_meet_in_the_cluster() -> None:
    """Releases of one name in two namespaces share no name of the cluster's, nor one in a namespace that both watch."""
    objects = [render(ACCOUNT, "--set=namespaces={team-a}", namespace=namespace) for namespace in ("one", "two")]
    whole = [render(ACCOUNT, namespace=namespace) for namespace in ("one", "two")]

    def names(objects: list[Object]) -> set[tuple[str, str, str]]:
        shared = [each for each in objects if each["kind"] in (*CLUSTER_KINDS, "Role", "RoleBinding")]
        return {(each["kind"], each["metadata"].get("namespace", ""), each["metadata"]["name"]) for each in shared}

    for first, second in (objects, whole):
        assert names(first)
        assert set() == names(first) & names(second)


def test_no_two_pairs_of_namespace_and_name_make_one_role() -> None:
    """`a-b` and `c` are not `a` and `b-c`: what joins them is in neither."""
    first = render(ACCOUNT, "--set=fullnameOverride=c", namespace="a-b")
    second = render(ACCOUNT, "--set=fullnameOverride=b-c", namespace="a")

    assert one(first, "ClusterRole")["metadata"]["name"] != one(second, "ClusterRole")["metadata"]["name"]


@pytest.mark.parametrize("kind", ["ServiceAccount", "ClusterRole", "ClusterRoleBinding"])
def test_identity_and_rights_may_be_somebody_else_s(kind: str) -> None:
    """With create: false there is none of them, and the Pods run under the ServiceAccount that is named."""
    objects = objects_of(case("openshift"))

    assert kind not in kinds(objects)
    assert "callout" == one(objects, "Deployment")["spec"]["template"]["spec"]["serviceAccountName"]
