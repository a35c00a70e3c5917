"""The chart's NetworkPolicy, held against the sockets that its running Pods were really seen to open."""

import copy
import subprocess
from collections.abc import Mapping
from functools import partial
from typing import Any

import pytest
import yaml

from tests.e2e.chart_world import CHART, NAME, NAMESPACE, Release, shared_release
from tests.e2e.network_policy import Flow, Peer, allows, sockets
from tests.node import Pod
from tests.node.network import API_HOST, DNS_HOST, GATEWAY

pytestmark = [pytest.mark.slow, pytest.mark.e2e]

# The guide's values, with the label that the official NATS chart really gives its Pods.
GUIDE_VALUES = """
metrics:
  podMonitor:
    enabled: true
networkPolicy:
  enabled: true
  natsSelector:
    - namespaceSelector:
        matchLabels:
          kubernetes.io/metadata.name: nats-system
      podSelector:
        matchLabels:
          app.kubernetes.io/name: nats
"""
AS_GIVEN = GUIDE_VALUES.replace("app.kubernetes.io/name: nats", "app: nats")
# The cluster's DNS is no Pod here; on a cluster it is these.
DNS = Peer("10.244.3.53", "kube-system", {"k8s-app": "kube-dns"}, {"kubernetes.io/metadata.name": "kube-system"})
WANTED = {"nats", "API server", "DNS", "health and metrics"}

Policy = dict[str, Any]


@pytest.fixture(scope="module")
def release(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Release:
    return shared_release(request, tmp_path_factory)


@pytest.fixture(scope="module")
def seen(release: Release) -> dict[str, Flow]:
    """What the Pods were seen to do, since they started, by what it is."""
    release.node.wait(lambda: set(observed(release)) == WANTED, 20, f"all of {WANTED}")
    return observed(release)


def policy(release: Release, values: str = GUIDE_VALUES, *more: str) -> Policy:
    """Return the policy that the chart renders with these values."""
    command = ["helm", "template", NAME, f"./{CHART}", "-n", NAMESPACE, "--set", "nats.account=AUTH_ACCOUNT", "-f", "-"]
    done = subprocess.run(
        release.node.enter(*command, *more, "-s", "templates/networkpolicy.yaml", cwd=release.folder),
        input=values, capture_output=True, text=True, check=False, env=release.node.environment,
    )  # fmt: skip
    assert 0 == done.returncode, done.stderr
    rendered: Policy = yaml.safe_load(done.stdout)
    return rendered


def peer_of(pod: Pod) -> Peer:
    labels = pod.object["metadata"]["labels"]
    return Peer(pod.ip, pod.namespace, labels, {"kubernetes.io/metadata.name": pod.namespace})


def observed(release: Release) -> dict[str, Flow]:
    """Return every flow of the release's Pods, named by who is at the other end; one that is nobody's by its address."""
    (nats,) = release.node.pods("nats-system")
    address = release.sh("kubectl get service nats -n nats-system -o jsonpath='{.spec.clusterIP}'")
    known = {
        (address, 4222): ("nats", partial(Flow, "egress", "TCP", peer_of(nats), 4222)),
        (API_HOST, 443): ("API server", partial(Flow, "egress", "TCP", Peer(API_HOST), 443)),
    }
    found: dict[str, Flow] = {}
    for pod in release.pods():
        for _, own_port, other, port in sockets(pod.pid):
            if own_port == 8080 and other in {GATEWAY, *(one.ip for one in release.node.pods(NAMESPACE))}:
                # The kubelet's probes, and this test.
                found["health and metrics"] = Flow("ingress", "TCP", Peer(other), 8080)
            elif (other, port) in known:
                name, make = known[other, port]
                found[name] = make()
            elif other not in {pod.ip, "127.0.0.1", "::1"}:
                found[f"{other}:{port}"] = Flow("egress", "TCP", Peer(other), port)
        for line in (release.node.folder / "dns.log").read_text().splitlines():
            who, port_text, protocol, _ = line.split()
            if who == pod.ip:
                found["DNS"] = Flow("egress", protocol, DNS, int(port_text))
    return found


def refused(rules: Policy, release: Release, flows: Mapping[str, Flow]) -> set[str]:
    """Return what of these flows the policy does not let through."""
    pod = release.pods()[0].object
    return {name for name, flow in flows.items() if not allows(rules, pod, flow)}


def test_the_policy_is_accepted_and_selects_the_pods(release: Release) -> None:
    """
    The API server takes the rendered policy, and its selector takes the release's Pods and no other Pod of the cluster.
    """
    rules = policy(release)
    release.node.kubectl("apply", "--dry-run=server", "--validate=strict", "-f", "-", input=yaml.safe_dump(rules))
    selector = ",".join(f"{key}={value}" for key, value in rules["spec"]["podSelector"]["matchLabels"].items())

    assert {"Ingress", "Egress"} == set(rules["spec"]["policyTypes"])
    assert {pod.name for pod in release.pods()} == {pod.name for pod in release.node.pods(NAMESPACE, selector)}


def test_everything_that_the_pods_do_is_let_through(release: Release, seen: dict[str, Flow]) -> None:
    """
    With the guide's natsSelector every socket that the Pods opened is allowed: NATS, the API server, DNS, and 8080.
    """
    assert WANTED == set(seen)
    assert set() == refused(policy(release), release, seen)
    tcp = Flow("egress", "TCP", DNS, 53)
    assert set() == refused(policy(release), release, {"DNS by TCP": tcp, "API server behind its Service": api(6443)})


def api(port: int, address: str = "192.0.2.7") -> Flow:
    return Flow("egress", "TCP", Peer(address), port)


def test_what_they_do_not_do_is_not(release: Release, seen: dict[str, Flow]) -> None:
    """
    Another port of NATS, its port at another Pod, another Pod's HTTP and another port of ours are refused.
    """
    nats = seen["nats"].peer
    other = Peer("10.244.1.99", "shop", {"app.kubernetes.io/name": "nats"}, {"kubernetes.io/metadata.name": "shop"})
    beside = Peer("10.244.1.98", "nats-system", {"app": "box"}, {"kubernetes.io/metadata.name": "nats-system"})
    flows = {
        "NATS' monitor": Flow("egress", "TCP", nats, 8222),
        "NATS' cluster port": Flow("egress", "TCP", nats, 6222),
        "a NATS of another namespace": Flow("egress", "TCP", other, 4222),
        "a Pod beside NATS": Flow("egress", "TCP", beside, 4222),
        "the port of NATS on the internet": api(4222),
        "HTTP of another Pod": Flow("egress", "TCP", other, 80),
        "NATS by UDP": Flow("egress", "UDP", nats, 4222),
        "etcd": api(2379, API_HOST),
        "another port of ours": Flow("ingress", "TCP", other, 9090),
    }

    assert set(flows) == refused(policy(release), release, flows)


def test_the_api_server_can_be_named_by_address(release: Release, seen: dict[str, Flow]) -> None:
    """
    With apiServer.cidrs the API server's ports are open there only.
    """
    rules = policy(release, GUIDE_VALUES, "--set", f"networkPolicy.apiServer.cidrs={{{API_HOST}/32}}")

    assert set() == refused(rules, release, seen)
    assert {"elsewhere"} == refused(rules, release, {"elsewhere": api(443)})


def test_scrapers_can_be_named(release: Release) -> None:
    """
    With ingress.from only those Pods, and the one of `helm test`, reach 8080; without it that one, or beside a monitor all.
    """
    monitoring = {"kubernetes.io/metadata.name": "monitoring"}
    scrapers = "  ingress: {from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: monitoring}}}]}\n"
    test_labels = {"app.kubernetes.io/name": f"{NAME}-test", "app.kubernetes.io/instance": NAME}
    callers = {
        "Prometheus": Peer("10.244.1.90", "monitoring", {}, monitoring),
        "a tenant": Peer("10.244.1.91", "shop", {}, {"kubernetes.io/metadata.name": "shop"}),
        "a tenant's helm test": Peer("10.244.1.92", "shop", test_labels, {"kubernetes.io/metadata.name": "shop"}),
        "helm test": Peer("10.244.1.93", NAMESPACE, test_labels, {"kubernetes.io/metadata.name": NAMESPACE}),
    }
    flows = {name: Flow("ingress", "TCP", peer, 8080) for name, peer in callers.items()}
    no_monitor = "--set=metrics.podMonitor.enabled=false"

    assert {"a tenant", "a tenant's helm test"} == refused(policy(release, GUIDE_VALUES + scrapers), release, flows)
    assert set(flows) - {"helm test"} == refused(policy(release, GUIDE_VALUES, no_monitor), release, flows)
    assert set() == refused(policy(release), release, flows)


def test_the_guides_label_as_given_shuts_nats_out(release: Release, seen: dict[str, Flow]) -> None:
    """
    `app: nats`, the label of the guide as it was given, is on no Pod of the official chart: NATS could not be reached.
    """
    assert {"nats"} == refused(policy(release, AS_GIVEN), release, seen)


@pytest.mark.parametrize("forgotten", sorted(WANTED))
def test_a_policy_that_forgets_one_is_noticed(release: Release, seen: dict[str, Flow], forgotten: str) -> None:
    """
    Without the rule for NATS, DNS, the API server or 8080 just that is found to be refused.
    """
    rules, flow = copy.deepcopy(policy(release)), seen[forgotten]
    pod, spec = release.pods()[0].object, rules["spec"]
    spec[flow.direction] = [
        rule
        for rule in spec[flow.direction]
        if not allows({**rules, "spec": {**spec, flow.direction: [rule]}}, pod, flow)
    ]

    assert {forgotten} == refused(rules, release, seen)


def test_names_are_asked_of_the_clusters_dns_only(release: Release) -> None:
    """
    A Pod's resolver file names the cluster's DNS and nothing else, so that DNS is the one place that it asks.
    """
    printed = release.sh(f"kubectl exec -n {NAMESPACE} deployment/{NAME} -- cat /etc/resolv.conf")

    assert [f"nameserver {DNS_HOST}"] == [line for line in printed.splitlines() if line.startswith("nameserver")]
