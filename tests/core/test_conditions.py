"""How a client may connect under a rule."""

from dataclasses import replace
from ipaddress import ip_network

import pytest

from nats_k8s_oidc_callout.core.grants import conditions
from nats_k8s_oidc_callout.core.model import ConnectionKind, Reason
from tests.fakes.rules import RULE

NATS, MQTT = ConnectionKind.NATS, ConnectionKind.MQTT
STRICT = replace(
    RULE,
    kinds=frozenset({NATS}),
    networks=(ip_network("10.0.0.0/8"), ip_network("fd00::/8")),
    require_pod_bound=True,
)


@pytest.mark.parametrize(
    ("kind", "host", "pod", "expected"),
    [
        (NATS, "10.1.2.3", "web-1", None),
        (NATS, "fd00::1", "web-1", None),
        (NATS, "::ffff:10.1.2.3", "web-1", None),
        (NATS, "11.0.0.1", "web-1", Reason.SOURCE_NETWORK),
        (NATS, "fe80::1%eth0", "web-1", Reason.SOURCE_NETWORK),
        (NATS, "localhost", "web-1", Reason.SOURCE_NETWORK),
        (NATS, "", "web-1", Reason.SOURCE_NETWORK),
        (MQTT, "10.1.2.3", "web-1", Reason.CONNECTION_KIND),
        (None, "10.1.2.3", "web-1", Reason.CONNECTION_KIND),
        (NATS, "10.1.2.3", "", Reason.NOT_POD_BOUND),
    ],
)
def test_conditions(kind: ConnectionKind | None, host: str, pod: str, expected: Reason | None) -> None:
    """A kind, a network and a pod that a rule wants are each looked at; what cannot be told fails."""
    assert expected == conditions.problem(STRICT, (kind, host), pod)
    assert conditions.problem(RULE, (kind or NATS, host), pod) is None


def test_without_a_connection_only_the_pod_counts() -> None:
    """Whoever only asks what a token is worth is turned away for no connection."""
    assert conditions.problem(STRICT, None, "web-1") is None
    assert Reason.NOT_POD_BOUND == conditions.problem(STRICT, None, "")
