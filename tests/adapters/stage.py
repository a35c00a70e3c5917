"""A Telemetry on a stage: in memory, on a clock that stands until it is moved."""

import io
import json
from collections.abc import Callable
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from nats_k8s_oidc_callout.adapters.telemetry import Logs, Telemetry, configure
from nats_k8s_oidc_callout.core.model import ConnectionKind, Request, Token, Verdict, Workload

NOW = 1789000000.25
WORKLOAD = Workload("team-a", "orders", "uid-1", "orders-7d9f8b6c5-abcde", "0b7a3c2e-5f7b-4a51-9a52-1c0d7f2b9e1d")


def request(client_name: str = "orders", client_host: str = "10.0.0.7") -> Request:
    return Request(
        "A1", "N1", "nats-0", "", "U1", Token("secret"), client_host, 42, client_name, ConnectionKind.NATS, 1789000002
    )


class Stage:
    """A Telemetry that writes to memory, on a clock that stands until it is moved."""

    def __init__(self, level: str = "info", form: str = "json") -> None:
        self.device = io.BytesIO()
        self.logs: Logs = configure(level, form, self.device)
        self.monotonic = 100.0
        self.telemetry = Telemetry(
            CollectorRegistry(),
            self.logs,
            "1.2.3",
            clock=lambda: NOW,
            monotonic=lambda: self.monotonic,
        )

    def record(self, *outcomes: Verdict, asked: Request | None = None) -> None:
        for outcome in outcomes:
            self.telemetry.record(outcome, asked or request(), 0.002)

    def lines(self) -> list[dict[str, Any]]:
        self.logs.output.flush()
        return [json.loads(line) for line in self.device.getvalue().splitlines()]

    def samples(self) -> dict[str, float]:
        """Every series as Prometheus would name it, by its own parser."""
        found: dict[str, float] = {}
        for family in text_string_to_metric_families(self.telemetry.metrics.render().decode()):
            for sample in family.samples:
                labels = ",".join(f'{key}="{value}"' for key, value in sorted(sample.labels.items()))
                found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
        return found


Make = Callable[..., Stage]
