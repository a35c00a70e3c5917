"""What the chart makes of the files, and that its monitors lead to where the metrics really are."""

import json
import re
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.monitoring.shipped import (
    NAMESPACE,
    ROOT,
    RUNBOOKS,
    UNIT_TESTS,
    dashboard,
    groups,
    run_promtool,
    run_unit_tests,
)
from tools import build

VALUES = (
    "nats.account=APP",
    "metrics.dashboard.enabled=true",
    "metrics.prometheusRule.enabled=true",
    f"metrics.prometheusRule.runbookUrl={RUNBOOKS}",
)


@cache
def rendered(
    release: str = "nats-k8s-oidc-callout", monitor: str = "serviceMonitor", *more: str
) -> dict[str, dict[str, Any]]:
    """Return what the chart renders with everything for monitoring on, and with these arguments, by kind."""
    helm = build.path("helm")
    if helm is None:
        pytest.skip("helm is not built (make tools)")
    chosen = (*VALUES, f"metrics.{monitor}.enabled=true")
    command = [str(helm), "template", release, str(ROOT / "helm" / "nats-k8s-oidc-callout"), f"--namespace={NAMESPACE}"]
    done = subprocess.run(
        [*command, *(f"--set={one}" for one in chosen), *more], check=True, capture_output=True, text=True
    )
    return {one["kind"]: one for one in yaml.load_all(done.stdout, yaml.CSafeLoader) if one}


def test_rules_are_those_of_the_file(tmp_path: Path) -> None:
    """The PrometheusRule has every rule, for the release's namespace, with its links, and promtool takes it."""
    spec = rendered()["PrometheusRule"]["spec"]
    file = tmp_path / "rules.yml"
    file.write_text(yaml.safe_dump(spec))

    assert {"groups": groups()} == spec
    assert 0 == run_promtool("check", "rules", str(file))[0]


def test_a_policy_of_the_chart_is_missed_from_the_start() -> None:
    """Where the chart sets a policy file, a replica without one is told of also if no replica ever had one."""
    name = "NatsAuthCalloutWithoutPolicy"
    usual, with_policy = (
        next(
            rule["expr"]
            for group in rendered("c", "serviceMonitor", *more)["PrometheusRule"]["spec"]["groups"]
            for rule in group["rules"]
            if rule.get("alert") == name
        )
        for more in ((), ("--set=policy.existingConfigMap=policy",))
    )

    assert with_policy.split() == usual.split()[: len(with_policy.split())]
    assert "and on (namespace, job) max_over_time" in " ".join(usual.split()[len(with_policy.split()) :])


# Each so far off that what fires in the unit tests does not any more.
MOVED = {
    "failureRatio": (0.5, "NatsAuthCalloutHighFailureRate"),
    "cacheHitRatio": (0.5, "NatsAuthCalloutLowCacheHitRate"),
    "answerSeconds": (1.49, "NatsAuthCalloutSlowAnswers"),
    "requestsTooLate": (1_000_000, "NatsAuthCalloutRequestsTooLate"),
    "floodPerSecond": (1_000_000, "NatsAuthCalloutFlood"),
    "credentialDays": (0.5, "NatsAuthCalloutCredentialExpiringSoon"),
    "keySetHours": (23.9, "NatsAuthCalloutKeySetStale"),
    "watchSilentSeconds": (1_000_000, "NatsAuthCalloutWatchSilent"),
}
OFF = ("NatsAuthCalloutRestarting", "NatsAuthCalloutLogLinesLost", "NatsAuthCalloutAnswersRejected")


def test_thresholds_and_single_alerts_are_values(tmp_path: Path) -> None:
    """
    With every threshold moved, and three alerts off, the unit tests miss exactly these alerts, and see no other change.
    """
    value = "metrics.prometheusRule"
    thresholds = yaml.safe_load((ROOT / "helm/nats-k8s-oidc-callout/values.yaml").read_text())["metrics"]
    moved = [f"--set-json={value}.thresholds.{name}={number}" for name, (number, _) in MOVED.items()]
    rules = rendered("c", "podMonitor", *moved, f"--set={value}.disabledAlerts={{{','.join(OFF)}}}")["PrometheusRule"][
        "spec"
    ]
    names = [file.stem for file in UNIT_TESTS if file.stem != "unscoped"]
    code, said = run_unit_tests(tmp_path, yaml.safe_dump(rules), *names)

    assert MOVED.keys() == thresholds["prometheusRule"]["thresholds"].keys()
    assert 0 != code
    assert {*OFF, *(alert for _, alert in MOVED.values())} == set(re.findall(r"alertname: (\w+)", said)), said
    assert 0 == run_promtool("check", "rules", str(tmp_path / "rules.yml"))[0]


def test_dashboard_is_that_of_the_file() -> None:
    """The ConfigMap holds the dashboard as it is, under the label by which Grafana's sidecar finds it."""
    shipped = rendered()["ConfigMap"]

    assert [dashboard()] == [json.loads(text) for text in shipped["data"].values()]
    assert "1" == shipped["metadata"]["labels"]["grafana_dashboard"]


@pytest.mark.parametrize("release", ["nats-k8s-oidc-callout", "blue"])
@pytest.mark.parametrize(("kind", "ends"), [("ServiceMonitor", "endpoints"), ("PodMonitor", "podMetricsEndpoints")])
def test_monitor_leads_to_the_metrics(release: str, kind: str, ends: str) -> None:
    """
    Path and port are those that the responder serves, the selector finds it, and the job that the operator makes of it
    ends in the Deployment's name, by which an alert finds that.
    """
    objects = rendered(release, kind[0].lower() + kind[1:])
    service, deployment, monitor = objects["Service"], objects["Deployment"], objects[kind]
    pod = deployment["spec"]["template"]
    ports = {port["name"]: port["containerPort"] for port in pod["spec"]["containers"][0]["ports"]}
    selected = {"ServiceMonitor": service, "PodMonitor": pod}[kind]["metadata"]["labels"]
    (end,) = monitor["spec"][ends]

    assert ("http", "/metrics", "30s") == (end["port"], end["path"], end["interval"])
    assert 8080 == ports["http"]
    assert [("http", "http")] == [(port["name"], port["targetPort"]) for port in service["spec"]["ports"]]
    assert monitor["spec"]["selector"]["matchLabels"].items() <= selected.items()
    # The operator's job is the Service's name, or the PodMonitor's behind its namespace.
    source = {"ServiceMonitor": service, "PodMonitor": monitor}[kind]
    assert deployment["metadata"]["name"] == source["metadata"]["name"]
