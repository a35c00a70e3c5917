"""The image's wget: the guide's line works, and our token goes to the API server and to nobody else."""

from pathlib import Path

import pytest

from image import wget
from nats_k8s_oidc_callout.settings import Settings
from tests.fakes.nats_tls import TlsFiles, mint_tls
from tests.image.pod import KEYS, LINE, NAMES, TOKEN, Pod, answer, headers


def test_the_line_of_the_guide(pod: Pod) -> None:
    """`wget -O- https://kubernetes.default.svc/openid/v1/jwks` prints the keys, asked for with our token."""
    done = pod.wget(*LINE)

    assert (0, KEYS) == (done.code, done.out), done.err
    assert f"Bearer {TOKEN}" == headers(done)["Authorization"]
    assert [("kubernetes.default.svc", 443)] == done.peer.asked_for
    assert "HTTP request sent, awaiting response... 200 OK\n" in done.err


@pytest.mark.parametrize("host", [*NAMES[:4], "KUBERNETES.default.SVC", "kubernetes.default.svc:443"])
def test_every_name_of_the_api_server_gets_the_token(pod: Pod, host: str) -> None:
    """Each name that the responder itself trusts is trusted here."""
    done = pod.wget("-O-", f"https://{host}/version")

    assert (0, True) == (done.code, done.told), done.err


def test_the_port_of_the_api_server_gets_the_token(pod: Pod) -> None:
    """The kubelet's KUBERNETES_SERVICE_PORT counts, where it is not 443."""
    done = pod.wget("-O-", "https://10.96.0.1:6443/version", KUBERNETES_SERVICE_PORT="6443")

    assert (0, True) == (done.code, done.told), done.err


def test_domain_of_the_cluster_counts(pod: Pod) -> None:
    """Where resolv.conf shows another cluster domain, that name is trusted, and the usual one no more."""
    wget.RESOLV_CONF.write_text("search nats-auth.svc.evil.example svc.evil.example evil.example\n")
    other = pod.wget("-O-", "https://kubernetes.default.svc.evil.example/version")
    usual = pod.wget("-O-", "https://kubernetes.default.svc.cluster.local/version")

    assert (True, False) == (other.told, usual.told)


@pytest.mark.parametrize(
    "url",
    [
        "https://issuer.example/openid/v1/jwks",
        "https://kubernetes.default.svc.evil.example/",
        "https://kubernetes.default.svc./",
        "https://kubernetes/",
        "https://kubernetes.default.svc:6443/",
        "https://kubernetes.default.svc:4430/",
        "https://10.96.0.2/",
        "https://0x0a600001/",
        "https://issuer.example/?https://kubernetes.default.svc/",
        "https://issuer.example/@kubernetes.default.svc/",
        "https://kubernetes.default.svc@issuer.example/",
        "https://kubernetes.default.svc:443@issuer.example/",
        "https://issuer.example#@kubernetes.default.svc/",
        "https://issuer.example\\@kubernetes.default.svc/",
        "https://kubernetes.default.svc\\.evil.example/",
        "https://kubernetes.default.svc%2eevil.example/",
        "https://kubernetes.default.svc\t.evil.example/",
        "https://kubernetes.default.svc\n.evil.example/",
        "https://kubernetes。default。svc/",
        "https:kubernetes.default.svc/",
        "https:///kubernetes.default.svc/",
        "//kubernetes.default.svc/",
        "ftp://kubernetes.default.svc/",
        "file:///var/run/secrets/kubernetes.io/serviceaccount/token",
    ],
)
def test_nobody_else_gets_the_token(pod: Pod, url: str) -> None:
    """Lookalikes, other ports and URLs that two readers could read in two ways get no token, whoever answers."""
    done = pod.wget("-O-", url)

    assert not done.told
    assert done.code in (0, 1, 5), done.err


@pytest.mark.parametrize("url", ["http://kubernetes.default.svc/", "http://10.96.0.1:443/", "http://issuer.example/"])
def test_plain_http_leaves_the_machine_for_nobody(pod: Pod, url: str) -> None:
    """Plain http is refused before anything is connected; nothing of ours could be seen on the way."""
    done = pod.wget("-O-", url, tls=False)

    assert (1, []) == (done.code, done.peer.asked_for)
    assert "http is only for loopback addresses" in done.err


def test_plain_http_to_this_machine(pod: Pod) -> None:
    """The pod's own pages can be read, without the token."""
    done = pod.wget("-q", "-O", "-", "http://127.0.0.1:8080/readyz?verbose", tls=False)

    assert (0, KEYS, "") == (done.code, done.out, done.err)
    assert not done.told
    assert done.peer.heard[0].startswith(b"GET /readyz?verbose HTTP/1.1\r\n")


@pytest.mark.parametrize("status", ["301 Moved Permanently", "302 Found", "307 Temporary Redirect", "308 Permanent"])
@pytest.mark.parametrize(
    "target", ["https://issuer.example/", "https://kubernetes.default.svc/other", "http://127.0.0.1/"]
)
def test_redirects_are_not_followed(pod: Pod, status: str, target: str) -> None:
    """A redirect is told and ends with 8: neither the token nor anything else goes there."""
    done = pod.wget(*LINE, answers=answer(b"", status, f"Location: {target}\r\n"))

    assert (8, b"", 1) == (done.code, done.out, len(done.peer.heard))
    assert f"Location: '{target}' (not followed)" in done.err


def test_proxies_are_not_asked(pod: Pod) -> None:
    """What the environment says about proxies changes nothing: a proxy would be somebody else."""
    proxy = "http://proxy.example:3128"
    done = pod.wget(*LINE, https_proxy=proxy, HTTPS_PROXY=proxy, all_proxy=proxy)

    assert [("kubernetes.default.svc", 443)] == done.peer.asked_for


def test_a_server_without_the_clusters_ca_gets_nothing(pod: Pod, tmp_path: Path) -> None:
    """A peer that the mounted CA does not vouch for ends with 5, before a byte of the request."""
    other = tmp_path / "other"
    other.mkdir()
    (Path(pod.env["K8S_CREDENTIALS_DIR"]) / "ca.crt").write_bytes(mint_tls(other, "x").path("ca.pem").read_bytes())
    done = pod.wget(*LINE)

    assert (5, False) == (done.code, done.told)
    assert "certificate" in done.err


def test_a_certificate_for_another_name_gets_nothing(pod: Pod, tmp_path: Path) -> None:
    """The cluster's CA signs for others, too; the name must be the one that was asked for."""
    pod.certificates = mint_tls(tmp_path, "issuer.example")
    (Path(pod.env["K8S_CREDENTIALS_DIR"]) / "ca.crt").write_bytes(pod.certificates.path("ca.pem").read_bytes())
    done = pod.wget(*LINE)

    assert (5, False) == (done.code, done.told)


def test_with_another_ca_no_token_is_sent(pod: Pod, certificates: TlsFiles) -> None:
    """Who names a CA decides whom to believe; the token stays with the mounted one."""
    done = pod.wget("--ca-certificate", str(certificates.path("ca.pem")), *LINE)

    assert (0, False) == (done.code, done.told)


def test_default_folder_is_the_settings(pod: Pod) -> None:
    """Without K8S_CREDENTIALS_DIR the credentials are where the responder looks for them."""
    assert wget.CREDENTIALS == str(Settings.model_fields["k8s_credentials_dir"].default)


def test_name_of_the_token_is_never_said(pod: Pod) -> None:
    """Whatever is printed about a request, the token is not."""
    done = pod.wget("-S", *LINE, answers=answer(b"no", "403 Forbidden"))

    assert TOKEN not in done.err
