"""Our own token: which key endpoints may see it, and what it claims.

A ServiceAccount token is a password for the API server. It goes to nobody else, so the question is decided from the
URL alone, before anything is resolved or opened, by one strict grammar: where two URL parsers could read one URL
differently, it is refused.
"""

import re
from enum import Enum
from ipaddress import IPv4Address, IPv6Address, ip_address

import msgspec

from nats_k8s_oidc_callout.core import base64url
from nats_k8s_oidc_callout.core.names import is_subdomain
from nats_k8s_oidc_callout.core.strangers import reader
from nats_k8s_oidc_callout.errors import Unreadable

DEFAULT_CLUSTER_DOMAIN = "cluster.local"

# No user info, no fragment, no backslash, no space, no control character, no letter outside ASCII.
_URL = re.compile(
    r"(?P<scheme>https?)://(?P<host>[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::(?P<port>[0-9]{1,5}))?"
    r"(?:[/?][!$-;=?-\[\]_a-z~]*)?",
    re.ASCII | re.IGNORECASE,
)
_DEFAULT_PORTS = {"https": 443, "http": 80}


class Trust(Enum):
    """How a key endpoint is spoken to."""

    CLUSTER = "cluster"
    """Our API server: with our token, its own CA, past no proxy."""
    PUBLIC = "public"
    """Anybody else: without our token, by the system's CA or the one that is configured."""


def trust_for(
    url: str,
    service_host: str = "",
    service_port: int = 443,
    cluster_domain: str = DEFAULT_CLUSTER_DOMAIN,
    api_server: str = "",
) -> Trust:
    """Return how to speak to a key endpoint; raise ValueError, without the URL in it, for one that is never used.

    `service_host` and `service_port` are $KUBERNETES_SERVICE_HOST and _PORT ("" outside a cluster); `cluster_domain`
    must be known, not guessed from the URL, since anybody can own kubernetes.default.svc.example.com; `api_server`
    is the server of a kubeconfig, trusted at its own scheme, host and port.
    """
    scheme, host, port = _origin(url)
    if scheme == "http":
        if not _is_loopback(host):
            raise ValueError("http is only for loopback addresses; use https")
        return Trust.PUBLIC
    if api_server and (scheme, host, port) == _origin(api_server):
        return Trust.CLUSTER
    names: set[str | IPv4Address | IPv6Address] = {"kubernetes.default", "kubernetes.default.svc"}
    domain = cluster_domain.lower().removesuffix(".")
    if is_subdomain(domain):
        names.add(f"kubernetes.default.svc.{domain}")
    if service_host:
        names.add(_host(service_host.lower()))
    return Trust.CLUSTER if host in names and port in (443, service_port) else Trust.PUBLIC


def cluster_domain(resolv_conf: str, namespace: str) -> str | None:
    """Return the cluster's domain from a pod's own resolv.conf, or None when it does not show one.

    The kubelet writes `search <namespace>.svc.<domain> svc.<domain> <domain> …`; nothing looser is believed.
    """
    search: list[str] = []
    for line in resolv_conf.splitlines():
        words = line.split()
        if words and words[0] == "search":
            # The last such line counts (resolv.conf(5)).
            search = words[1:]
    if len(search) < 3:
        return None
    domain = search[2].lower().removesuffix(".")
    expected = [f"{namespace}.svc.{domain}", f"svc.{domain}", domain]
    found = [entry.lower().removesuffix(".") for entry in search[:3]]
    return domain if found == expected and is_subdomain(domain) else None


def _origin(url: str) -> tuple[str, str | IPv4Address | IPv6Address, int]:
    if "@" in url.partition("://")[2].partition("/")[0]:
        raise ValueError("a URL with user info is not accepted")
    if "#" in url:
        raise ValueError("a URL with a fragment is not accepted")
    match = _URL.fullmatch(url)
    if match is None:
        raise ValueError("is not an http or https URL of plain ASCII")
    scheme = match["scheme"].lower()
    port = int(match["port"] or _DEFAULT_PORTS[scheme])
    if not 0 < port < 65536:
        raise ValueError("the port is not between 1 and 65535")
    return scheme, _host(match["host"].lower()), port


def _host(text: str) -> str | IPv4Address | IPv6Address:
    """Return an address as one, so that its spellings are equal; any other host as it is."""
    if text.startswith("["):
        try:
            return IPv6Address(text[1:-1])
        except ValueError:
            raise ValueError("the brackets hold no IPv6 address") from None
    try:
        return ip_address(text)
    except ValueError:
        return text


def _is_loopback(host: str | IPv4Address | IPv6Address) -> bool:
    return host == "localhost" if isinstance(host, str) else host.is_loopback


class _Account(msgspec.Struct):
    name: str = ""
    uid: str = ""


class _Kubernetes(msgspec.Struct):
    namespace: str = ""
    serviceaccount: _Account = msgspec.field(default_factory=_Account)


class OwnClaims(msgspec.Struct):
    """What a token of ours claims. Nobody verified it: good for a default, an inbox and advice, never for a client's."""

    iss: str = ""
    aud: str | list[str] = ""
    kubernetes: _Kubernetes = msgspec.field(name="kubernetes.io", default_factory=_Kubernetes)


_read_claims = reader(OwnClaims)


def claims_of(token: bytes) -> OwnClaims | None:
    """Return what a token of ours claims, or None when it is none."""
    try:
        return _read_claims(base64url.decode(token.strip().split(b".")[1]))
    except (IndexError, ValueError, Unreadable):
        return None
