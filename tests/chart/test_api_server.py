"""Every object of every case is accepted by a real API server, field by field, as is every custom one by its CRD."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.chart.chart import ACCOUNT, CASES, CHART, NAMESPACE, RELEASE, Object, helm, objects_of, one, render
from tests.e2e.cluster import Cluster, ClusterError
from tools import crds

_PODS = f"/api/v1/namespaces/{NAMESPACE}/pods?dryRun=All&fieldValidation=Strict"


def custom_definitions() -> Iterator[Object]:
    """Yield the CRDs; the two of PodLogs, which are one with two versions, as one."""
    made: dict[str, Object] = {}
    for file in dict.fromkeys(crds.files()):
        if not file.is_file():
            pytest.skip("the CRD files are not there (make tools)")
        for each in yaml.load_all(file.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader):
            there = made.setdefault(each["metadata"]["name"], each)
            if there is not each:
                there["spec"]["versions"] += [version | {"storage": False} for version in each["spec"]["versions"]]
    yield from made.values()


@pytest.fixture(scope="module")
def platform(cluster: Cluster) -> Cluster:
    """The API server with the operators' CRDs, for real, and the namespaces of all cases."""
    definitions = list(custom_definitions())
    names = [f"crd/{each['metadata']['name']}" for each in definitions]
    cluster.kubectl("apply", "--server-side", "--filename=-", stdin="\n---\n".join(map(json.dumps, definitions)))
    cluster.kubectl("wait", "--for=condition=Established", "--timeout=30s", *names)
    for namespace in (NAMESPACE, *(each["metadata"].get("namespace") for each in all_objects())):
        if namespace:
            cluster.create_namespace(namespace)
    return cluster


def all_objects() -> list[Object]:
    """Return all objects of all cases, equal ones once."""
    texts = dict.fromkeys(json.dumps(each, sort_keys=True) for path in CASES for each in objects_of(path))
    return [json.loads(text) for text in texts]


def accept(cluster: Cluster, objects: list[Object]) -> str:
    """Apply as helm does, on the server's side, without keeping anything; raise ClusterError with its complaints."""
    flags = ("--server-side", "--dry-run=server", "--validate=strict", "--field-manager=helm", "--warnings-as-errors")
    return cluster.kubectl("apply", *flags, "--filename=-", stdin="\n---\n".join(map(json.dumps, objects)))


def test_every_object_is_accepted(platform: Cluster) -> None:
    """The API server takes each object, with no field that it does not know and no warning."""
    objects = all_objects()

    answer = accept(platform, objects)

    assert len(objects) == answer.count("serverside-applied (server dry run)")


@pytest.mark.parametrize(
    ("kind", "arguments", "misspelt"),
    [
        pytest.param("Deployment", (), "enableServiceLink", id="built-in"),
        pytest.param("PodMonitor", ("--set=metrics.podMonitor.enabled=true",), "podMetricsEndpoint", id="PodMonitor"),
        pytest.param("PodLogs", ("--set=logs.podLogs.enabled=true",), "pipelineStages", id="PodLogs"),
    ],
)
def test_a_misspelt_field_is_refused(platform: Cluster, kind: str, arguments: tuple[str, ...], misspelt: str) -> None:
    """The check above is one that finds something, among Kubernetes' own kinds and among custom ones."""
    each = one(render(ACCOUNT, *arguments), kind)
    each["spec"][misspelt] = []

    with pytest.raises(ClusterError, match=misspelt):
        accept(platform, [each])


@pytest.mark.parametrize("kind", ["Deployment", "Pod", "Job"])
def test_a_restricted_namespace_takes_the_pods(platform: Cluster, kind: str) -> None:
    """The strictest Pod Security Standard has nothing against the service's Pods, the test's nor the policy check's."""
    platform.kubectl("label", "--overwrite", "namespace", NAMESPACE, "pod-security.kubernetes.io/enforce=restricted")
    each = one(render(ACCOUNT, "--set=policy.existingConfigMap=policy"), kind)
    spec = each["spec"] if kind == "Pod" else each["spec"]["template"]["spec"]

    def ask(change: dict[str, Any]) -> tuple[int, Any]:
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": spec | change}
        return platform.request("POST", _PODS, pod)

    try:
        refused, accepted = ask({"hostNetwork": True}), ask({})
    finally:
        platform.kubectl("label", "namespace", NAMESPACE, "pod-security.kubernetes.io/enforce-")
    assert 201 == accepted[0], accepted
    assert 403 == refused[0]


def test_what_an_autoscaler_says_survives_an_upgrade(cluster: Cluster) -> None:
    """With `replicaCount: null` the number is somebody else's, whatever else an upgrade changes."""
    cluster.create_namespace("scaled")
    kubectl = ("--namespace=scaled", f"deployment/{RELEASE}")
    release = (RELEASE, CHART, "--namespace=scaled", f"--kubeconfig={cluster.kubeconfig}", ACCOUNT)
    seen = []
    for verb, level in (("install", "info"), ("upgrade", "debug")):
        done = helm(verb, *release, f"--set=replicaCount=null,logLevel={level}")
        assert 0 == done.code, done.errors
        seen.append(cluster.kubectl("get", *kubectl, "--output=jsonpath={.spec.replicas}"))
        cluster.kubectl("scale", *kubectl, "--replicas=4")
    helm("uninstall", RELEASE, "--namespace=scaled", f"--kubeconfig={cluster.kubeconfig}")

    assert ["1", "4"] == seen
