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
    notes_of,
    objects_of,
    one,
    render,
)

POLICY = "--set=networkPolicy.enabled=true"
RULES = (CHART / "files" / "rules.yaml").read_text(encoding="utf-8")


def ports(rule: Object) -> list[tuple[str, Any]]:
    return [(port["protocol"], port["port"]) for port in rule["ports"]]


@pytest.mark.parametrize(("named", "peers"), [(False, 1), (True, 2)])
def test_a_policy_lets_in_to_one_port(named: bool, peers: int) -> None:
    """Health and metrics, for whom the values name and the Pod of `helm test`; without names for that Pod alone."""
    objects = objects_of(case("scoped")) if named else render(ACCOUNT, POLICY)
    rule, *_ = one(objects, "NetworkPolicy")["spec"]["ingress"]

    assert ([("TCP", "http")], peers) == (ports(rule), len(rule["from"]))
    assert ["podSelector"] == list(rule["from"][-1])
    test = one(objects, "Pod")["metadata"]["labels"]
    assert rule["from"][-1]["podSelector"]["matchLabels"].items() <= test.items()


@pytest.mark.parametrize("monitor", ["podMonitor", "serviceMonitor"])
def test_a_policy_beside_a_monitor_names_prometheus_or_lets_anybody_in(monitor: str) -> None:
    """The guide's values have a monitor and name nobody: then it is open and NOTES warn; not where Prometheus is named."""
    path, warning = case("quick-start"), "networkPolicy.ingress.from is empty"
    on = f"{POLICY},metrics.{monitor}.enabled=true"
    named = (on, "--set=networkPolicy.ingress.from[0].namespaceSelector.matchLabels.team=monitoring")

    assert "from" not in one(render(f"--values={path}", on), "NetworkPolicy")["spec"]["ingress"][0]
    assert 2 == len(one(render(f"--values={path}", *named), "NetworkPolicy")["spec"]["ingress"][0]["from"])
    assert [True, False, False] == [warning in notes_of(path, *more) for more in ((on,), named, (POLICY,))]


def test_monitors_and_rules_stand_where_prometheus_looks() -> None:
    """In a namespace of their own they still speak of this release's."""
    arguments = [
        f"--set=metrics.{kind}.enabled=true,metrics.{kind}.namespace=monitoring"
        for kind in ("podMonitor", "prometheusRule")
    ]
    objects = [*render(ACCOUNT, *arguments), *objects_of(case("operator-mode"))]
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
