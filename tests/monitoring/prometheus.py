"""A real Prometheus with our rules, scraping what a test tells it to, under the labels that the operator would give."""

import json
import subprocess
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import yaml

from tests.fakes.nats_world import free_port
from tests.monitoring.shipped import NAMESPACE, rules_text
from tools import build

JOB = "nats-k8s-oidc-callout"
START_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Series:
    """One line of an answer: labels, and (time, value) pairs."""

    labels: Mapping[str, str]
    points: Sequence[tuple[float, float]]

    @property
    def last(self) -> float:
        return self.points[-1][1]


@dataclass
class Prometheus:
    """One server on loopback. `with Prometheus(seconds) as prometheus` starts it; it scrapes every so many seconds."""

    seconds: int = 1
    targets: dict[str, int] = field(default_factory=dict)
    """Port by pod; `scrape` changes it."""

    def __post_init__(self) -> None:
        self._scratch = tempfile.TemporaryDirectory(prefix="prometheus-")
        self.folder = Path(self._scratch.name)
        self._port = free_port()
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        program = build.path("prometheus")
        assert program is not None, "prometheus is not built (python tools/build.py prometheus)"
        (self.folder / "rules.yml").write_text(rules_text())
        self.scrape(self.targets)
        interval = f"{self.seconds}s"
        (self.folder / "prometheus.yml").write_text(
            yaml.safe_dump(
                {
                    "global": {"scrape_interval": interval, "evaluation_interval": interval},
                    "rule_files": ["rules.yml"],
                    "scrape_configs": [
                        {
                            "job_name": JOB,
                            "scrape_timeout": interval,
                            "file_sd_configs": [{"files": ["targets.json"], "refresh_interval": "1s"}],
                        }
                    ],
                }
            )
        )
        options = [
            f"--config.file={self.folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={self.folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{self._port}",
            "--log.level=warn",
        ]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen([program, *options], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        deadline = time.monotonic() + START_SECONDS
        while not self._ready():
            assert self._process.poll() is None, (self.folder / "log").read_text()
            assert time.monotonic() < deadline, (self.folder / "log").read_text()
            time.sleep(0.05)
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(15)
        self._scratch.cleanup()

    def _ready(self) -> bool:
        try:
            with self._opener.open(f"http://127.0.0.1:{self._port}/-/ready", timeout=5):
                return True
        except OSError:
            return False

    def scrape(self, targets: Mapping[str, int]) -> None:
        """Scrape these ports from now on, by the names of their pods."""
        self.targets = dict(targets)
        groups = [
            {"targets": [f"127.0.0.1:{port}"], "labels": {"namespace": NAMESPACE, "pod": pod, "container": JOB}}
            for pod, port in self.targets.items()
        ]
        aside = self.folder / "targets.new"
        aside.write_text(json.dumps(groups))
        aside.replace(self.folder / "targets.json")

    def ask(self, path: str, **parameters: object) -> Any:
        """Return `data` of one answer of the HTTP API."""
        query = urllib.parse.urlencode(parameters)
        with self._opener.open(f"http://127.0.0.1:{self._port}/api/v1/{path}?{query}", timeout=30) as answer:
            return json.load(answer)["data"]

    def at(self, query: str, moment: float | None = None) -> list[Series]:
        """Return what a query finds at a moment, else now."""
        found = self.ask("query", query=query, time=time.time() if moment is None else moment)["result"]
        return [Series(series["metric"], [_point(series["value"])]) for series in found]

    def over(self, query: str, start: float, end: float, step: float) -> list[Series]:
        """Return what a query finds from start to end."""
        found = self.ask("query_range", query=query, start=start, end=end, step=step)["result"]
        return [Series(series["metric"], [_point(pair) for pair in series["values"]]) for series in found]

    def firing(self) -> set[str]:
        """Return the names of the alerts that fire now."""
        return {alert["labels"]["alertname"] for alert in self.ask("alerts")["alerts"] if alert["state"] == "firing"}

    def until(self, query: str, seconds: float) -> list[Series]:
        """Return what a query finds, as soon as it finds anything."""
        deadline = time.monotonic() + seconds
        while not (found := self.at(query)):
            assert time.monotonic() < deadline, f"{query} found nothing within {seconds} s"
            time.sleep(0.2)
        return found


def _point(pair: Sequence[Any]) -> tuple[float, float]:
    return float(pair[0]), float(pair[1])
