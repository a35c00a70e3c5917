"""What the outside sees of us: metrics, one log line a decision, and the log itself.

Read in this order: `decisions` (what one verdict counts and writes), `metrics`, `policy`, `sessions`, `logs` (set-up
and rendering), `sampling`, `redaction` (the second net under every line), `output` (bytes to the device).
"""

from nats_k8s_oidc_callout.adapters.telemetry.decisions import Telemetry
from nats_k8s_oidc_callout.adapters.telemetry.logs import Logs, configure
from nats_k8s_oidc_callout.adapters.telemetry.metrics import Count, Gauge, LabelledCount, LabelledGauge, Metrics
from nats_k8s_oidc_callout.adapters.telemetry.policy import PolicyMetric, PolicyMetrics
from nats_k8s_oidc_callout.adapters.telemetry.redaction import clean, redact
from nats_k8s_oidc_callout.adapters.telemetry.sessions import SessionMetric, SessionMetrics

__all__ = [
    "Count",
    "Gauge",
    "LabelledCount",
    "LabelledGauge",
    "Logs",
    "Metrics",
    "PolicyMetric",
    "PolicyMetrics",
    "SessionMetric",
    "SessionMetrics",
    "Telemetry",
    "clean",
    "configure",
    "redact",
]
