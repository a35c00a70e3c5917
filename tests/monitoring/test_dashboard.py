"""The Grafana dashboard, without Grafana: its shape, and each of its queries by promtool on a real scrape."""

import re
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry

from nats_k8s_oidc_callout.adapters.telemetry import Metrics
from tests.monitoring.shipped import FOREIGN, Query, dashboard, known, panels, queries, records, run_promtool, selectors

pytestmark = pytest.mark.e2e

# What is exposed and not shown, and why.
LEFT_OUT = {
    "process_virtual_memory_bytes": "address space, which says nothing about memory in use",
    "nats_auth_cache_namespaces": "as many as there are; that they are listed at all is a part of readiness",
}
LABELS = {"namespace": "nats-auth", "pod": "p-1", "job": "nats-k8s-oidc-callout", "instance": "10.0.0.1:8080"}
# Of a cluster's watch: the scrape is of a responder that reads manifests.
OF_A_WATCH = "nats_auth_watch_last_event_timestamp_seconds"
# And has no policy file.
OF_A_POLICY = """
nats_auth_policy_info{sha256="3fa9c1d2"} 1
nats_auth_policy_rules 7
nats_auth_policy_reload_success 1
nats_auth_policy_reload_timestamp_seconds 5
nats_auth_rule_decisions_total{rule="teams",outcome="allowed"} 5
"""


def of_sessions() -> str:
    """Return what is exposed of sessions where they are controlled: the scrape is of a responder that does not."""
    metrics = Metrics(CollectorRegistry(), "0")
    sessions = metrics.sessions
    sessions.on = True
    sessions.sessions, sessions.pending = lambda: {"APP": 5}, lambda: {"narrowed": 1}
    sessions.kicked("narrowed", "done")
    sessions.ended(0.2)
    text = metrics.render().decode()
    return "\n".join(line for line in text.splitlines() if re.search(r"\bnats_auth_session", line)) + "\n"


_SAMPLE = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$", re.MULTILINE)


def exposed(scrape: str) -> set[str]:
    return known() | set(re.findall(r"^# TYPE (\S+) ", scrape, re.MULTILINE))


def test_identity_is_fixed() -> None:
    """
    The dashboard keeps its uid, so that an import replaces the one before, and asks the data source of its own variable.
    """
    whole = dashboard()
    variables = {variable["name"]: variable for variable in whole["templating"]["list"]}

    assert ("nats-k8s-oidc-callout", 42) == (whole["uid"], whole["schemaVersion"])
    assert ["datasource", "namespace", "pod"] == list(variables)
    assert {"${datasource}"} == {panel["datasource"]["uid"] for panel in panels()}
    # Without it a target that has no such label, as in a scrape configuration by hand, would vanish from "All".
    assert [".*", ".*"] == [variables[name]["allValue"] for name in ("namespace", "pod")]


def test_panels_do_not_overlap() -> None:
    """
    No two panels share a cell of the grid, none is wider than it, every row of panels is full, and each id is used once.
    """
    drawn = dashboard()["panels"]
    cells: dict[int, set[tuple[int, int]]] = {}
    for panel in drawn:
        box = panel["gridPos"]
        assert box["x"] + box["w"] <= 24
        cells[panel["id"]] = {
            (x, y) for x in range(box["x"], box["x"] + box["w"]) for y in range(box["y"], box["y"] + box["h"])
        }
    height = max(y for taken in cells.values() for _, y in taken) + 1

    assert len(drawn) == len(cells)
    assert [] == [(one, other) for one, other in combinations(cells, 2) if cells[one] & cells[other]]
    assert 24 * height == sum(len(taken) for taken in cells.values())


@pytest.mark.parametrize("panel", [pytest.param(panel, id=panel["title"]) for panel in panels()])
def test_panel_speaks_for_itself(panel: dict[str, Any]) -> None:
    """A panel has a title of its own, a description, a unit, thresholds, and words for when there is nothing."""
    defaults = panel["fieldConfig"]["defaults"]

    assert 1 == sum(other["title"] == panel["title"] for other in panels())
    assert len(panel["description"]) >= 40
    assert defaults["unit"]
    assert defaults["thresholds"]["steps"][0]["value"] is None
    assert panel["type"] == "timeseries" or defaults["noValue"]


@pytest.mark.parametrize("query", [pytest.param(query, id=f"{query.panel}-{query.legend}") for query in queries()])
def test_query_obeys_the_variables(query: Query) -> None:
    """
    Every series is asked for by namespace and pod, and every rate over what Grafana thinks right for the scrape interval.
    """
    for name, matchers in selectors(query.text):
        assert 'namespace=~"$namespace"' in matchers
        assert 'pod=~"$pod"' in matchers or name in FOREIGN
    assert ["$__rate_interval"] * query.text.count("[") == re.findall(r"\[(.*?)\]", query.text)


def test_queries_parse(tmp_path: Path) -> None:
    """Each query, with the variables filled in, is accepted by promtool."""
    rules = [{"record": f"query:{number}", "expr": query.concrete()} for number, query in enumerate(queries())]
    file = tmp_path / "queries.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
    code, said = run_promtool("check", "rules", str(file))

    assert 0 == code, said


def test_queries_find_something(scrape: str, tmp_path: Path) -> None:
    """Each query has a result on the series of a real scrape: no misspelt name, no label that is not there."""
    labels = ",".join(f'{name}="{value}"' for name, value in LABELS.items())
    series = [
        {
            "series": f"{name}{{{own + ',' if own else ''}{labels}}}",
            # Counters move; what is 1 or 0, or a moment, stays.
            "values": f"{value}+1x40" if re.search(r"_(total|bucket|count|sum|success|denied|hits|misses)$", name) else
            f"{value}x40",
        }
        for name, own, value in _SAMPLE.findall(f"{scrape}\n{OF_A_WATCH} 5{OF_A_POLICY}{of_sessions()}")
    ]  # fmt: skip
    asked = [
        {"expr": f"clamp_max(count({query.concrete()}), 1)", "eval_time": "15m", "exp_samples": [{"value": 1}]}
        for query in queries()
    ]
    test = {
        "evaluation_interval": "1m",
        "tests": [{"interval": "30s", "input_series": series, "promql_expr_test": asked}],
    }
    (tmp_path / "queries.yml").write_text(yaml.safe_dump({"rule_files": [], **test}))
    code, said = run_promtool("test", "rules", "queries.yml", cwd=tmp_path)

    assert 0 == code, said


def test_every_metric_is_shown(scrape: str) -> None:
    """
    What is exposed is on the dashboard, or on the list of what is left out; and the dashboard asks for nothing else.
    """
    shown = {re.sub(r"_bucket$", "", name) for query in queries() for name, _ in selectors(query.text)}

    assert set() == exposed(scrape) - shown - set(LEFT_OUT)
    assert set() == shown - exposed(scrape) - FOREIGN - records()
    assert set() == shown & set(LEFT_OUT)


def test_metrics_are_well_formed(scrape: str) -> None:
    """To promtool there is nothing to say about what a real responder exposes."""
    assert (0, "") == run_promtool("check", "metrics", stdin=scrape + of_sessions())
