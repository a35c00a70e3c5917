"""The Deployment: how its Pods are replaced, spread, secured, and what is mounted into them."""

from typing import Any

import pytest

from tests.chart.chart import (
    ACCOUNT,
    CASES,
    EACH_CASE,
    Object,
    case,
    container_of,
    environment_of,
    kinds,
    objects_of,
    one,
    pod_of,
    render,
)

SELECTOR = {"app.kubernetes.io/name": "nats-k8s-oidc-callout", "app.kubernetes.io/instance": "nats-k8s-oidc-callout"}


@EACH_CASE
def test_service_and_budget_lead_to_the_pods_and_to_nothing_else(case: Any) -> None:
    """Whatever the labels are, the selectors are two of the Pods' labels, and the test's Pod has other ones."""
    objects = objects_of(case)
    selector = one(objects, "Deployment")["spec"]["selector"]["matchLabels"]

    assert {"app.kubernetes.io/name", "app.kubernetes.io/instance"} == selector.keys()
    assert selector.items() <= pod_of(objects)["metadata"]["labels"].items()
    assert selector == one(objects, "Service")["spec"]["selector"]
    for other in (one(objects, "Pod"), *(each["spec"]["template"] for each in objects if each["kind"] == "Job")):
        assert not selector.items() <= other["metadata"]["labels"].items()
    for kind in ("PodDisruptionBudget", "NetworkPolicy", "PodMonitor", "ServiceMonitor", "PodLogs"):
        for each in (each for each in objects if each["kind"] == kind):
            spec = each["spec"]
            assert selector == (spec.get("selector") or spec["podSelector"])["matchLabels"], kind


def test_a_spread_of_one_s_own_keeps_its_selector() -> None:
    """Only an entry without selector gets the release's."""
    spread = pod_of(objects_of(case("openshift")))["spec"]["topologySpreadConstraints"]

    assert [SELECTOR, {"app.kubernetes.io/part-of": "nats"}] == [
        each["labelSelector"]["matchLabels"] for each in spread
    ]


@pytest.mark.parametrize(("replicas", "budgets"), [("1", 0), ("2", 1), ("3", 1), ("null", 1)])
def test_there_is_a_budget_only_for_several_replicas(replicas: str, budgets: int) -> None:
    """With one replica a budget would make the drain of its node hang; with an autoscaler there may be several."""
    objects = render(ACCOUNT, f"--set=replicaCount={replicas}")

    assert budgets == kinds(objects).count("PodDisruptionBudget")
    assert replicas == str(one(objects, "Deployment")["spec"].get("replicas", "null"))


@pytest.mark.parametrize(
    ("values", "spec"),
    [
        pytest.param("maxUnavailable=1", {"maxUnavailable": 1}, id="one"),
        pytest.param("maxUnavailable=34%", {"maxUnavailable": "34%"}, id="share"),
        pytest.param("maxUnavailable=null,podDisruptionBudget.minAvailable=2", {"minAvailable": 2}, id="least"),
        pytest.param(
            "maxUnavailable=null,podDisruptionBudget.minAvailable=7,replicaCount=null",
            {"minAvailable": 7},
            id="unknown",
        ),
        pytest.param(
            "maxUnavailable=null,podDisruptionBudget.minAvailable=66%", {"minAvailable": "66%"}, id="least-share"
        ),
    ],
)
def test_a_budget_lets_a_pod_go(values: str, spec: Object) -> None:
    """What leaves room is taken as it is; what does not has a file among the refusals. Unready Pods never hold a node."""
    budget = one(render(ACCOUNT, f"--set=replicaCount=3,podDisruptionBudget.{values}"), "PodDisruptionBudget")["spec"]

    assert spec == {name: budget[name] for name in ("maxUnavailable", "minAvailable") if name in budget}
    assert "AlwaysAllow" == budget["unhealthyPodEvictionPolicy"]


@pytest.mark.parametrize(
    ("repository", "expected"),
    [
        pytest.param("callout", "mirror.example:5000/all/callout", id="plain"),
        pytest.param("team/callout", "mirror.example:5000/all/team/callout", id="folder"),
        pytest.param("ghcr.io/team/callout", "mirror.example:5000/all/team/callout", id="another-registry"),
        pytest.param("localhost/callout", "mirror.example:5000/all/callout", id="localhost"),
    ],
)
def test_a_registry_for_all_charts_is_every_image_s(repository: str, expected: str) -> None:
    """`global.imageRegistry` stands before the image of each Pod, the test's too, in place of the image's own registry."""
    values = f"image.repository={repository},image.tag=v1,global.imageRegistry=mirror.example:5000/all"
    objects = render(ACCOUNT, f"--set={values}")

    assert f"{expected}:v1" == container_of(objects)["image"]
    assert f"{expected}:v1" == one(objects, "Pod")["spec"]["containers"][0]["image"]


def test_secrets_for_registries_are_every_pod_s() -> None:
    """Those for all charts, names or objects, and the release's own, each once; the test's Pod has them, too."""
    objects = objects_of(case("additions"))

    assert [{"name": "everybody-s"}, {"name": "ours"}] == pod_of(objects)["spec"]["imagePullSecrets"]
    assert pod_of(objects)["spec"]["imagePullSecrets"] == one(objects, "Pod")["spec"]["imagePullSecrets"]


def test_common_annotations_are_every_object_s() -> None:
    """Every object has them, what it says itself wins, and no change of them replaces a Pod."""
    common = "--set=commonAnnotations.team=platform,service.annotations.team=network"
    cases = map(case, ("operator-mode", "production", "scoped"))
    objects = [each for path in cases for each in render(f"--values={path}", common)]
    owners = {each["kind"]: each["metadata"].get("annotations", {}).get("team") for each in objects}

    assert {"network"} == {owners.pop("Service")}
    assert {"PrometheusRule", "ConfigMap", "PodLogs", "ServiceMonitor", "Role", "NetworkPolicy", "Pod"} < owners.keys()
    assert {"platform"} == set(owners.values())
    assert "annotations" not in pod_of(render(ACCOUNT, common))["metadata"]


@pytest.mark.parametrize("kind", ["Deployment", "Pod", "Job"])
def test_pods_may_do_nothing(kind: str) -> None:
    """As the restricted Pod Security Standard wants it and beyond, for the Pods of tests and checks as for the service's."""
    each = one(render(ACCOUNT, "--set=policy.existingConfigMap=policy"), kind)
    spec = each["spec"] if kind == "Pod" else each["spec"]["template"]["spec"]
    container = spec["containers"][0]

    assert {"type": "RuntimeDefault"} == spec["securityContext"]["seccompProfile"]
    assert (True, 65532) == (spec["securityContext"]["runAsNonRoot"], spec["securityContext"]["runAsUser"])
    assert {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    } == container["securityContext"]
    assert spec["enableServiceLinks"] is False
    assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys()


def test_the_api_token_is_mounted_where_it_is_used_and_nowhere_else() -> None:
    """The Deployment's Pods have it; the ServiceAccount hands it to no other Pod; the test's Pod has none, nor a Secret."""
    objects = render(ACCOUNT)
    test = one(objects, "Pod")["spec"]

    assert pod_of(objects)["spec"]["automountServiceAccountToken"] is True
    assert one(objects, "ServiceAccount")["automountServiceAccountToken"] is False
    assert test["automountServiceAccountToken"] is False
    assert not {"volumes", "serviceAccountName"} & test.keys()
    assert not {"env", "envFrom"} & test["containers"][0].keys()


@EACH_CASE
def test_secrets_are_folders(case: Any) -> None:
    """No subPath, which would keep the old content for the Pod's life; nobody but the group reads; nothing is writable."""
    pod = pod_of(objects_of(case))["spec"]
    mounts = {mount["name"]: mount for mount in pod["containers"][0]["volumeMounts"]}

    for volume in (volume for volume in pod["volumes"] if volume["name"] not in ("tmp", "more", "my-tls")):
        assert mounts[volume["name"]]["readOnly"] is True
        assert "subPath" not in mounts[volume["name"]]
        assert 0o440 == volume.get("secret", {}).get("defaultMode", 0o440)
    assert {"sizeLimit": "16Mi"} == next(volume for volume in pod["volumes"] if volume["name"] == "tmp")["emptyDir"]


@EACH_CASE
def test_no_secret_stands_in_an_object(case: Any) -> None:
    """The chart makes no Secret and quotes none: it names those that exist."""
    assert "Secret" not in kinds(objects_of(case))


@pytest.mark.parametrize(
    ("values", "there"),
    [
        pytest.param("logLevel=info", True, id="all-namespaces"),
        pytest.param("namespaces={nats-auth,team-a}", True, id="own-namespace-among-them"),
        pytest.param("namespaces={team-a}", False, id="own-namespace-not-among-them"),
        pytest.param("selfTest.enabled=false", False, id="switched-off"),
    ],
)
def test_the_self_test_is_there_where_it_can_succeed(values: str, there: bool) -> None:
    """Out of scope nobody would answer its login; variable, volume and mount come and go together."""
    objects = render(ACCOUNT, f"--set={values}")
    pod = pod_of(objects)["spec"]

    assert there == ("SELF_TEST_TOKEN_FILE" in environment_of(objects))
    assert there == ("nats-self-test" in {volume["name"] for volume in pod["volumes"]})
    assert there == ("nats-self-test" in {mount["name"] for mount in container_of(objects)["volumeMounts"]})
    assert f"SELF_TEST = {there}" in one(objects, "Pod")["spec"]["containers"][0]["command"][2]


@pytest.mark.parametrize(("name", "audience"), [("quick-start", "nats"), ("production", "my-custom-audience")])
def test_the_self_test_s_token_is_for_nats(name: str, audience: str) -> None:
    """It has the audience that the service wants, so the API server does not take it."""
    volumes = {volume["name"]: volume for volume in pod_of(objects_of(case(name)))["spec"]["volumes"]}

    assert audience == volumes["nats-self-test"]["projected"]["sources"][0]["serviceAccountToken"]["audience"]


def test_no_two_variables_have_one_name() -> None:
    """Helm 4 applies on the server's side, which refuses a list with a name twice."""
    for path in CASES:
        names = [each["name"] for each in container_of(objects_of(path))["env"]]
        assert len(set(names)) == len(names), path.stem
