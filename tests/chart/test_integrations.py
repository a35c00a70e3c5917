"""NetworkPolicy, monitors, alerts, dashboard, PodLogs and objects of one's own."""

import json
import re
from typing import Any

import pytest
import yaml

from tests.chart.chart import (
    ACCOUNT,
    CHART,
    NAMESPACE,
    Object,
    case,
    container_of,
    kinds,
    notes_of,
    objects_of,
    one,
    render,
)

RULES = (CHART / "files" / "rules.yaml").read_text(encoding="utf-8")


def policy_of(name: str) -> Any:
    return one(objects_of(case(name)), "NetworkPolicy")["spec"]


def ports(rule: Object) -> list[tuple[str, Any]]:
    return [(port["protocol"], port["port"]) for port in rule["ports"]]


def test_a_policy_lets_out_to_nats_names_and_the_api_server() -> None:
    """Three rules out, by port: DNS by UDP and TCP, the API server at the ports of its own machines."""
    egress = policy_of("network-policy-open")["egress"]

    assert [
        [("TCP", 4222)],
        [("UDP", 53), ("TCP", 53)],
        [("TCP", 443), ("TCP", 6443)],
    ] == [ports(rule) for rule in egress]
    assert [] == [rule["to"] for rule in egress if "to" in rule]


def test_the_guide_s_selector_is_taken_as_it_is() -> None:
    """The value natsSelector is a list of a NetworkPolicy's peers, verbatim."""
    peer = {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "nats-system"}},
        "podSelector": {"matchLabels": {"app": "nats"}},
    }

    assert [peer] == policy_of("network-policy")["egress"][0]["to"]


def test_a_policy_may_be_narrow() -> None:
    """Every rule can name its peers; rules of one's own come behind; nothing is open by an empty list."""
    policy = policy_of("network-policy-narrow")

    assert [[("TCP", 4223)], [("UDP", 53), ("TCP", 53)], [("TCP", 16443)], [("TCP", 443)]] == [
        ports(rule) for rule in policy["egress"]
    ]
    assert all(rule["to"] for rule in policy["egress"])
    assert [{"ipBlock": {"cidr": "10.0.0.1/32"}}, {"ipBlock": {"cidr": "fd00::1/128"}}] == policy["egress"][2]["to"]
    assert [{"namespaceSelector": {}}, {"ipBlock": {"cidr": "169.254.20.10/32"}}] == policy["egress"][1]["to"]
    assert ["Ingress", "Egress"] == policy["policyTypes"]


def test_a_policy_lets_in_to_one_port() -> None:
    """Health and metrics, for whom the values name and the Pod of `helm test`; without names for that Pod alone."""
    closed, narrow = (policy_of(name)["ingress"][0] for name in ("network-policy-open", "network-policy-narrow"))
    test = one(objects_of(case("network-policy-narrow")), "Pod")["metadata"]["labels"]

    assert [("TCP", "http")] == ports(closed) == ports(narrow)
    assert {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}} == narrow["from"][0]["namespaceSelector"]
    assert [2, 1] == [len(rule["from"]) for rule in (narrow, closed)]
    for rule in (narrow, closed):
        assert ["podSelector"] == list(rule["from"][-1])
        assert rule["from"][-1]["podSelector"]["matchLabels"].items() <= test.items()


@pytest.mark.parametrize("monitor", ["podMonitor", "serviceMonitor"])
def test_a_policy_beside_a_monitor_names_prometheus_or_lets_anybody_in(monitor: str) -> None:
    """The guide's values have a monitor and name nobody: then it is open and NOTES warn; not where Prometheus is named."""
    path, warning = case("network-policy"), "networkPolicy.ingress.from is empty"
    on = f"--set=metrics.{monitor}.enabled=true"
    named = (on, "--set=networkPolicy.ingress.from[0].namespaceSelector.matchLabels.team=monitoring")

    assert "from" not in one(render(f"--values={path}", on), "NetworkPolicy")["spec"]["ingress"][0]
    assert 2 == len(one(render(f"--values={path}", *named), "NetworkPolicy")["spec"]["ingress"][0]["from"])
    assert [True, False, False] == [warning in notes_of(path, *more) for more in ((on,), named, ())]


@pytest.mark.parametrize(("kind", "value"), [("PodMonitor", "podMonitor"), ("ServiceMonitor", "serviceMonitor")])
def test_a_monitor_finds_this_release(kind: str, value: str) -> None:
    """It looks in the release's namespace only, at the port that the container and the Service name."""
    objects = render(ACCOUNT, f"--set=metrics.{value}.enabled=true,metrics.{value}.labels.prometheus=kube-prometheus")
    monitor = one(objects, kind)
    endpoint = monitor["spec"]["podMetricsEndpoints" if kind == "PodMonitor" else "endpoints"][0]

    assert {"matchNames": [NAMESPACE]} == monitor["spec"]["namespaceSelector"]
    assert {"port": "http", "path": "/metrics", "interval": "30s"} == endpoint
    assert endpoint["port"] in {port["name"] for port in container_of(objects)["ports"]}
    assert endpoint["port"] in {port["name"] for port in one(objects, "Service")["spec"]["ports"]}
    assert "kube-prometheus" == monitor["metadata"]["labels"]["prometheus"]


@pytest.mark.parametrize("kind", ["PodMonitor", "ServiceMonitor"])
def test_the_job_s_name_ends_in_the_deployment_s(kind: str) -> None:
    """The alerts find the Deployment by the label `job`, which the operator makes of these names."""
    value = kind[0].lower() + kind[1:]
    objects = render(ACCOUNT, f"--set=metrics.{value}.enabled=true", name="other")

    assert one(objects, "Deployment")["metadata"]["name"] == one(objects, kind)["metadata"]["name"]
    assert one(objects, "Deployment")["metadata"]["name"] == one(objects, "Service")["metadata"]["name"]
    assert "jobLabel" not in one(objects, kind)["spec"]


def test_monitors_and_rules_stand_where_prometheus_looks() -> None:
    """In a namespace of their own they still speak of this release's."""
    arguments = [
        f"--set=metrics.{kind}.enabled=true,metrics.{kind}.namespace=monitoring"
        for kind in ("podMonitor", "prometheusRule")
    ]
    objects = [*render(ACCOUNT, *arguments), *objects_of(case("service-monitor"))]
    rule = one(objects, "PrometheusRule")

    for monitor in (one(objects, "PodMonitor"), one(objects, "ServiceMonitor")):
        assert ("monitoring", [NAMESPACE]) == (
            monitor["metadata"]["namespace"],
            monitor["spec"]["namespaceSelector"]["matchNames"],
        )
    assert "monitoring" == rule["metadata"]["namespace"]
    assert f'namespace="{NAMESPACE}"' in rule["spec"]["groups"][0]["rules"][0]["expr"]


def groups_of(*arguments: str) -> Any:
    return one(render(ACCOUNT, "--set=metrics.prometheusRule.enabled=true", *arguments), "PrometheusRule")["spec"][
        "groups"
    ]


def test_the_alerts_look_at_this_namespace_only() -> None:
    """Each rule of the file is there, its selectors narrowed to the release's namespace; Prometheus' templates survive."""
    groups = groups_of("--set=metrics.prometheusRule.runbookUrl=https://wiki.example/MONITORING.md")
    expected = RULES.replace("NAMESPACE_SELECTOR", f'namespace="{NAMESPACE}"')

    assert yaml.safe_load(expected.replace("RUNBOOK_URL", "https://wiki.example/MONITORING.md"))["groups"] == groups
    rules = [rule for group in groups for rule in group["rules"]]
    assert all(f'namespace="{NAMESPACE}"' in rule["expr"] for rule in rules)
    assert any("{{ $labels" in rule["annotations"]["description"] for rule in rules if "alert" in rule)


def test_without_a_place_for_runbooks_no_alert_has_a_dead_link() -> None:
    """An empty runbookUrl leaves the link out, and changes nothing else."""
    with_link = groups_of("--set=metrics.prometheusRule.runbookUrl=https://wiki.example/x")
    without = groups_of()

    assert all(
        "runbook_url" in rule["annotations"] for group in with_link for rule in group["rules"] if "alert" in rule
    )
    for group in with_link:
        for rule in group["rules"]:
            rule.get("annotations", {}).pop("runbook_url", None)
    assert with_link == without


def test_no_placeholder_is_left() -> None:
    """Both words of the file that stand for something are replaced, wherever they stand."""
    text = json.dumps(groups_of())

    assert not re.search("NAMESPACE_SELECTOR|RUNBOOK_URL", text)


def test_the_dashboard_is_where_grafana_s_sidecar_looks() -> None:
    """A ConfigMap with the file as it is, the sidecar's label, and the namespace that the values say."""
    dashboard = one(objects_of(case("alerts-and-dashboard")), "ConfigMap", "nats-k8s-oidc-callout-dashboard")
    file = (CHART / "files" / "dashboard.json").read_text(encoding="utf-8")

    assert ("monitoring", "1") == (
        dashboard["metadata"]["namespace"],
        dashboard["metadata"]["labels"]["grafana_dashboard"],
    )
    assert {"grafana_folder": "NATS"} == dashboard["metadata"]["annotations"]
    assert json.loads(file) == json.loads(dashboard["data"]["nats-k8s-oidc-callout.json"])


def test_pod_logs_for_alloy_label_each_line() -> None:
    """The guide's `job` is meant as a label of logs: it stands at the object and as a relabeling. Only our namespace."""
    logs = one(objects_of(case("pod-logs")), "PodLogs")

    assert "monitoring.grafana.com/v1alpha2" == logs["apiVersion"]
    assert "nats-auth-callout" == logs["metadata"]["labels"]["job"]
    assert [{"targetLabel": "job", "replacement": "nats-auth-callout"}] == logs["spec"]["relabelings"]
    assert {"matchLabels": {"kubernetes.io/metadata.name": NAMESPACE}} == logs["spec"]["namespaceSelector"]


def test_pod_logs_for_the_old_agent_say_it_in_its_words() -> None:
    """v1alpha1 names namespaces, and wants to be told that the lines are the container runtime's."""
    logs = one(objects_of(case("pod-logs-v1alpha1")), "PodLogs")["spec"]

    assert {"matchNames": [NAMESPACE]} == logs["namespaceSelector"]
    assert [{"cri": {}}] == logs["pipelineStages"]
    # A label of Kubernetes may hold what one of Loki's may not.
    assert {"job", "example_com_team_name"} == {each["targetLabel"] for each in logs["relabelings"]}


def test_extra_objects_are_templates() -> None:
    """As YAML or as text, they see the release and the values."""
    objects = objects_of(case("additions"))

    assert {"account": "AUTH_ACCOUNT"} == one(objects, "ConfigMap", "nats-k8s-oidc-callout-more")["data"]
    assert NAMESPACE == one(objects, "ConfigMap", "as-text")["metadata"]["namespace"]


def test_nothing_of_this_is_there_by_default() -> None:
    """What needs a CRD, or may cut off traffic, is for whoever asks for it."""
    asked_for = {"NetworkPolicy", "PodMonitor", "ServiceMonitor", "PrometheusRule", "ConfigMap", "PodLogs"}

    assert set() == asked_for & set(kinds(render(ACCOUNT)))
