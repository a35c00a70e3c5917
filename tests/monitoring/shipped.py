"""What the chart ships for monitoring, read as a test wants it: rules, dashboard, and what their queries name."""

import errno
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from nats_k8s_oidc_callout.adapters.telemetry import (
    Count,
    Gauge,
    LabelledCount,
    LabelledGauge,
    PolicyMetric,
    SessionMetric,
)
from tools import build

ROOT = Path(__file__).resolve().parents[2]
FILES = ROOT / "helm" / "nats-k8s-oidc-callout" / "files"
RULES, DASHBOARD = FILES / "rules.yaml", FILES / "dashboard.json"
DOCUMENT = ROOT / "docs" / "MONITORING.md"
UNIT_TESTS = sorted(Path(__file__).parent.glob("*.yaml"))

NAMESPACE, RUNBOOKS = "nats-auth", "https://runbooks.example/MONITORING.md"
# Of others: Prometheus itself, and kube-state-metrics.
FOREIGN = {"up", "ALERTS", "kube_deployment_spec_replicas"}

_SELECTOR = re.compile(r"([a-zA-Z_:][\w:]*)\{([^{}]*)\}")


def promtool() -> str:
    """Return the program, or skip the test that needs it."""
    path = build.path("promtool")
    if path is None:
        pytest.skip("promtool is not built (make tools)")
    return str(path)


def run_promtool(
    *arguments: str, cwd: Path | None = None, stdin: str | None = None, starts: int = 3
) -> tuple[int, str]:
    """Return exit code and output of promtool."""
    command = [promtool(), *arguments]
    try:
        done = subprocess.run(command, check=False, cwd=cwd, capture_output=True, text=True, timeout=120, input=stdin)
    except OSError as error:
        # A hiccup of the machine: 2 of some 2,700 starts ended in "Bad address". With the program's name it is exec that
        # says so: the program did not run, so nothing that it would have said is hidden.
        if starts > 1 and (error.errno, error.filename) == (errno.EFAULT, command[0]):
            return run_promtool(*arguments, cwd=cwd, stdin=stdin, starts=starts - 1)
        raise
    return done.returncode, done.stdout + done.stderr


def run_unit_tests(folder: Path, rules: str, *names: str) -> tuple[int, str]:
    """Run the unit tests of these names against these rules."""
    (folder / "rules.yml").write_text(rules)
    chosen = [f"{name}.yaml" for name in names]
    for name in chosen:
        shutil.copy(Path(__file__).parent / name, folder)
    return run_promtool("test", "rules", *chosen, cwd=folder)


def rules_text(namespace: str = NAMESPACE) -> str:
    """Return the rules as the chart renders them for a namespace; an empty one is all namespaces."""
    selector = f'namespace="{namespace}"' if namespace else ""
    return RULES.read_text().replace("NAMESPACE_SELECTOR", selector).replace("RUNBOOK_URL", RUNBOOKS)


@cache
def groups(text: str = "") -> list[dict[str, Any]]:
    """Return the groups of this text, else of the rules for NAMESPACE. They are shared: change a copy."""
    return list(yaml.load(text or rules_text(), yaml.CSafeLoader)["groups"])


@cache
def alerts() -> dict[str, dict[str, Any]]:
    """Return every alert by its name."""
    return {rule["alert"]: rule for group in groups() for rule in group["rules"] if "alert" in rule}


def records() -> set[str]:
    return {rule["record"] for group in groups() for rule in group["rules"] if "record" in rule}


def dashboard() -> dict[str, Any]:
    return dict(json.loads(DASHBOARD.read_text()))


@dataclass(frozen=True, slots=True)
class Query:
    """One query of the dashboard, and the panel that shows it."""

    panel: str
    legend: str
    text: str
    instant: bool

    def concrete(self, interval: str = "5m") -> str:
        """Return it as Grafana sends it when everything is selected; `interval` is its own $__rate_interval."""
        return self.text.replace("$__rate_interval", interval).replace("$namespace", ".*").replace("$pod", ".*")


def panels() -> list[dict[str, Any]]:
    """Return what draws something: everything but the rows' titles."""
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def queries() -> Iterator[Query]:
    for panel in panels():
        for target in panel["targets"]:
            yield Query(panel["title"], target["legendFormat"], target["expr"], target["instant"])


def selectors(query: str) -> list[tuple[str, str]]:
    """Return name and matchers of each series that a query names; all of ours have braces."""
    return _SELECTOR.findall(query)


def known() -> set[str]:
    """Return what every responder may expose of our own, whether or not it has happened yet."""
    kinds = (Gauge, LabelledGauge, Count, LabelledCount, PolicyMetric, SessionMetric)
    return {metric.value for names in kinds for metric in names}
