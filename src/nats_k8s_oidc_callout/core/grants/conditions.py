"""How a client may connect under a rule. A failed condition refuses: it never lets a wider rule be tried."""

from ipaddress import ip_address

from nats_k8s_oidc_callout.core.grants.terms import Conditions
from nats_k8s_oidc_callout.core.model import ConnectionKind, Reason


def problem(rule: Conditions, connection: tuple[ConnectionKind | None, str] | None, pod: str) -> Reason | None:
    """Return the condition that fails, if any does; a connection is its kind and host, and None passes both."""
    if connection is not None:
        kind, host = connection
        if kind not in rule.kinds:
            return Reason.CONNECTION_KIND
        if rule.networks and not _is_within(host, rule):
            return Reason.SOURCE_NETWORK
    return Reason.NOT_POD_BOUND if rule.require_pod_bound and not pod else None


def _is_within(host: str, rule: Conditions) -> bool:
    try:
        address = ip_address(host)
    except ValueError:
        return False
    # A server that listens on both families may write an IPv4 address as one of IPv6.
    plain = getattr(address, "ipv4_mapped", None) or address
    return any(plain in network for network in rule.networks)
