"""Which key endpoints may see our own token: the exact hosts, and every URL that only looks like one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nats_k8s_oidc_callout.core import base64url
from nats_k8s_oidc_callout.core.identity import own_token
from nats_k8s_oidc_callout.core.identity.own_token import Trust

HOST = "10.96.0.1"
HOST6 = "fd00:10:96::1"


def trusted(url: str, service_host: str = HOST, service_port: int = 6443) -> Trust:
    return own_token.trust_for(url, service_host, service_port, "cluster.local")


@pytest.mark.parametrize(
    "origin",
    [
        *("https://kubernetes.default", "https://kubernetes.default.svc"),
        *("https://kubernetes.default.svc.cluster.local", "https://KUBERNETES.default.SVC"),
        *("HTTPS://kubernetes.default.svc", "https://10.96.0.1", "https://kubernetes.default.svc:443"),
        *("https://kubernetes.default.svc:6443", "https://10.96.0.1:6443"),
    ],
)
@pytest.mark.parametrize("path", ["", "/", "/openid/v1/jwks", "/x?y=z"])
def test_our_api_server(origin: str, path: str) -> None:
    """The API server's own names and address, at its two ports, see our token."""
    assert Trust.CLUSTER == trusted(origin + path)


@pytest.mark.parametrize("host", ["fd00:10:96::1", "FD00:10:96:0:0:0:0:1"])
def test_our_api_server_by_ipv6(host: str) -> None:
    """An IPv6 service address is known in any of its spellings."""
    assert Trust.CLUSTER == trusted(f"https://[{host}]:6443/openid/v1/jwks", HOST6)


@pytest.mark.parametrize(
    "url",
    [
        *("https://kubernetes.default.svc.evil.com/", "https://kubernetes.default.svc.cluster.local.evil.com/"),
        *("https://kubernetes.default.svc.cluster/", "https://kubernetes.default.svc."),
        *("https://kubernetes.default.svc./", "https://kubernetes.default.svc.cluster.local./"),
        *("https://kubernetes.default.evil.com/", "https://kubernetes/", "https://xkubernetes.default.svc/"),
        *("https://kubernetes-default.svc/", "https://evil.com/kubernetes.default.svc"),
        *("https://evil.com?kubernetes.default.svc", "https://kubernetes.default.svc:8443/"),
        *("https://kubernetes.default.svc:80/", "https://10.96.0.10/", "https://10.96.0.1.evil.com/"),
        *("https://0x0a600001/", "https://174063617/", "https://[::ffff:10.96.0.1]/"),
        *("https://[fd00:10:96::1]/", "https://oidc.eks.eu-west-1.amazonaws.com/id/X/keys"),
        *("https://169.254.169.254/",),
    ],
)
def test_everybody_else(url: str) -> None:
    """Any other host or port is asked without our token."""
    assert Trust.PUBLIC == trusted(url)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.8.8", "[::1]", "LOCALHOST"])
def test_http_on_loopback(host: str) -> None:
    """Clear http works on the machine itself, without our token."""
    assert Trust.PUBLIC == trusted(f"http://{host}:8080/jwks")


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://kubernetes.default.svc/openid/v1/jwks", "http is only for loopback"),
        ("http://10.96.0.1:6443/", "http is only for loopback"),
        ("http://localhost.evil.com/", "http is only for loopback"),
        ("http://127.0.0.1.evil.com/", "http is only for loopback"),
        ("http://0.0.0.0/", "http is only for loopback"),
        ("https://user:secret@kubernetes.default.svc/", "user info"),
        ("https://kubernetes.default.svc@evil.com/", "user info"),
        ("https://kubernetes.default.svc\\@evil.com/", "user info"),
        ("https://kubernetes.default.svc%40evil.com/", "plain ASCII"),
        ("https://kubernetes.default.svc/#x", "fragment"),
        ("https://kubernetes.default.svc#@evil.com/", "user info"),
        ("https://kubernetes.default.svc\\.evil.com/", "plain ASCII"),
        ("https:\\\\kubernetes.default.svc/", "plain ASCII"),
        ("https:kubernetes.default.svc", "plain ASCII"),
        ("//kubernetes.default.svc/", "plain ASCII"),
        ("file:///etc/passwd", "plain ASCII"),
        ("ftp://kubernetes.default.svc/", "plain ASCII"),
        ("https://", "plain ASCII"),
        ("https:///jwks", "plain ASCII"),
        ("", "plain ASCII"),
        (" https://kubernetes.default.svc/", "plain ASCII"),
        ("https://kubernetes.default.svc/\n", "plain ASCII"),
        ("https://kubernetes.default.svc\t.evil.com/", "plain ASCII"),
        ("https://kubernetes\u3002default\u3002svc/", "plain ASCII"),
        ("https://kubernetes.default.svc/\u00e4", "plain ASCII"),
        ("https://\u212aubernetes.default.svc/", "plain ASCII"),
        ("https://kubernetes.default.svc:/", "plain ASCII"),
        ("https://kubernetes.default.svc:0/", "between 1 and 65535"),
        ("https://kubernetes.default.svc:65536/", "between 1 and 65535"),
        ("https://[fd00::1%25eth0]/", "plain ASCII"),
        ("https://[fd00:::1]/", "no IPv6 address"),
        ("https://[10.96.0.1]/", "no IPv6 address"),
    ],
)
def test_url_that_is_refused(url: str, why: str) -> None:
    """
    A URL that two parsers could read differently, carries a credential, or is clear to another machine is refused.
    """
    with pytest.raises(ValueError, match=why):
        trusted(url)


def test_refusal_does_not_show_the_url() -> None:
    """A refused URL may hold a password, so no refusal quotes it."""
    with pytest.raises(ValueError, match="user info") as caught:
        trusted("https://user:secret@kubernetes.default.svc/")

    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("domain", ["corp.example", "Corp.Example."])
def test_other_cluster_domain(domain: str) -> None:
    """The cluster's domain is what we are told it is, and no other."""
    assert Trust.CLUSTER == own_token.trust_for("https://kubernetes.default.svc.corp.example/", cluster_domain=domain)
    assert Trust.PUBLIC == own_token.trust_for("https://kubernetes.default.svc.cluster.local/", cluster_domain=domain)


@pytest.mark.parametrize("domain", ["", ".", "a..b", "evil.com/", "*"])
def test_cluster_domain_that_is_none(domain: str) -> None:
    """A text that is no domain adds no name."""
    assert Trust.PUBLIC == own_token.trust_for("https://kubernetes.default.svc.evil.com/", cluster_domain=domain)
    assert Trust.CLUSTER == own_token.trust_for("https://kubernetes.default.svc/", cluster_domain=domain)


def test_outside_a_cluster() -> None:
    """Without a service host no address is ours."""
    assert Trust.PUBLIC == own_token.trust_for("https://10.96.0.1/")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://api.example:6443/openid/v1/jwks", Trust.CLUSTER),
        ("https://API.example:6443", Trust.CLUSTER),
        ("https://api.example/openid/v1/jwks", Trust.PUBLIC),
        ("https://api.example.evil.com:6443/", Trust.PUBLIC),
    ],
)
def test_server_of_a_kubeconfig(url: str, expected: Trust) -> None:
    """With a kubeconfig its server is trusted with its credential, at exactly its host and port."""
    assert expected == own_token.trust_for(url, api_server="https://api.example:6443/some/path")


@given(st.text(alphabet="abk.:/@#?[]\\%\t 0é", max_size=30))
def test_any_text_is_decided(text: str) -> None:
    """Any text is refused by ValueError or is somebody else's."""
    try:
        found = trusted("https://" + text)
    except ValueError:
        return
    assert Trust.PUBLIC == found


# --- the cluster's domain ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("resolv_conf", "expected"),
    [
        pytest.param("search ns.svc.cluster.local svc.cluster.local cluster.local\n", "cluster.local", id="usual"),
        pytest.param(
            "nameserver 10.96.0.10\nsearch ns.svc.corp.example svc.corp.example corp.example eu.compute.internal\n"
            "options ndots:5\n",
            "corp.example",
            id="with the node's own",
        ),
        pytest.param("search ns.svc.k.io. svc.k.io. k.io.", "k.io", id="absolute names"),
        pytest.param("search a b\nsearch ns.svc.k.io svc.k.io k.io", "k.io", id="last line counts"),
        pytest.param("search eu.compute.internal", None, id="a node's"),
        pytest.param("search other.svc.k.io svc.k.io k.io", None, id="another namespace"),
        pytest.param("search ns.svc.k.io svc.evil.com evil.com", None, id="disagreeing"),
        pytest.param("search evil.com ns.svc.k.io svc.k.io k.io", None, id="another first"),
        pytest.param("# search ns.svc.k.io svc.k.io k.io", None, id="comment"),
        pytest.param("", None, id="empty"),
    ],
)
def test_cluster_domain_by_resolv_conf(resolv_conf: str, expected: str | None) -> None:
    """A pod's resolv.conf shows the cluster's domain where it is written as the kubelet writes it."""
    assert expected == own_token.cluster_domain(resolv_conf, "ns")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"iss":"i","aud":["a"],"kubernetes.io":{"namespace":"n","serviceaccount":{"name":"s"}}}', ("i", "n", "s")),
        (b"{}", ("", "", "")),
        (b'{"iss":1}', None),
        (b'{"iss":"\xff"}', None),
    ],
    ids=["whole", "empty", "number", "not-utf-8"],
)
def test_claims_of_our_own_token(body: bytes, expected: tuple[str, str, str] | None) -> None:
    """What a token of ours says about itself is read, or nothing of it."""
    claims = own_token.claims_of(b"e30." + base64url.encode(body) + b".c2ln\n")

    told = claims and (claims.iss, claims.kubernetes.namespace, claims.kubernetes.serviceaccount.name)
    assert expected == told


@pytest.mark.parametrize("text", [b"", b"opaque", b"e30.!.c2ln"])
def test_what_is_no_token_claims_nothing(text: bytes) -> None:
    """A file that holds no token is no error: whoever asks has words of its own for that."""
    assert own_token.claims_of(text) is None
