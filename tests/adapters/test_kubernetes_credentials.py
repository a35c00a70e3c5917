"""Who we are to the API server: mounted files that rotate, and a kubeconfig."""

import builtins
import ssl
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
from structlog.testing import capture_logs

from nats_k8s_oidc_callout.adapters.kubernetes import (
    ApiServer,
    KubeconfigCredentials,
    MountedCredentials,
)
from nats_k8s_oidc_callout.errors import ConfigurationError
from tests.fakes.api_server import FakeApiServer
from tests.fakes.authority import Authority

URL = "https://10.0.0.1:443"


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture
def mounted(tmp_path: Path, authority: Authority) -> Path:
    folder = tmp_path / "serviceaccount"
    folder.mkdir()
    (folder / "token").write_text("token-1\n")
    (folder / "ca.crt").write_bytes(authority.certificate)
    return folder


def bearer(source: MountedCredentials | KubeconfigCredentials) -> str:
    return source.current().headers["Authorization"]


def test_the_token_is_read_anew_and_stripped(mounted: Path) -> None:
    """A rotated token counts from the next request on; its line end does not."""
    source = MountedCredentials(mounted, URL)
    assert "Bearer token-1" == bearer(source)
    (mounted / "token").write_text("  token-2\n")

    assert "Bearer token-2" == bearer(source)


@pytest.mark.parametrize(
    "content",
    [b"", b" \n", b"a\nb", b"a b", b"\xff\xfe", None],
    ids=["empty", "blank", "lines", "space", "raw", "gone"],
)
def test_a_token_that_cannot_be_used_keeps_the_last_one(mounted: Path, content: bytes | None) -> None:
    """An empty, broken or missing token file keeps the last good token, with one warning that quotes nothing."""
    source = MountedCredentials(mounted, URL)
    (mounted / "token").unlink()
    if content is not None:
        (mounted / "token").write_bytes(content)
    with capture_logs() as logs:
        bearer(source)

        assert "Bearer token-1" == bearer(source)
    assert ["kubernetes credential unreadable, keeping the last"] == [entry["event"] for entry in logs]


def test_the_tls_context_is_built_anew_only_when_the_ca_changes(mounted: Path) -> None:
    """Connections are pooled by context: the same CA keeps it, another CA makes another."""
    source = MountedCredentials(mounted, URL)
    first = source.current().tls
    assert first is source.current().tls
    (mounted / "ca.crt").write_bytes(Authority().certificate)

    assert first is not source.current().tls


def test_a_broken_ca_keeps_the_last_one(mounted: Path) -> None:
    """A ca.crt that is no certificate keeps the trust we had."""
    source = MountedCredentials(mounted, URL)
    first = source.current().tls
    (mounted / "ca.crt").write_text("nonsense")

    assert first is source.current().tls


def test_the_first_read_reports_every_problem(mounted: Path) -> None:
    """At the start there is nothing to keep: both files are named in one error."""
    (mounted / "token").write_text("")
    (mounted / "ca.crt").unlink()
    with pytest.raises(ConfigurationError) as caught:
        MountedCredentials(mounted, URL)

    assert 2 == len(caught.value.problems)
    assert all(problem.startswith("K8S_CREDENTIALS_DIR: ") for problem in caught.value.problems)


def test_credentials_have_no_repr(mounted: Path) -> None:
    """Printing credentials prints no token."""
    assert "token-1" not in repr(MountedCredentials(mounted, URL).current())


async def test_the_server_must_show_a_certificate_of_the_mounted_ca(
    mounted: Path, tmp_path: Path, authority: Authority
) -> None:
    """Only the mounted CA is trusted; when it rotates the next connection trusts the new one."""
    server = await FakeApiServer(authority.server_context(tmp_path)).start()
    server.tokens = {"token-1"}
    source = MountedCredentials(mounted, server.base_url)
    api = ApiServer(source)
    try:
        assert 200 == await _status(api)
        (mounted / "ca.crt").write_bytes(Authority().certificate)
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await _status(api)
        (mounted / "ca.crt").write_bytes(authority.certificate)
        assert 200 == await _status(api)
    finally:
        await api.close()
        await server.stop()


async def test_a_rotated_token_is_used_after_a_401(mounted: Path, tmp_path: Path, authority: Authority) -> None:
    """The kubelet swaps the file while we ask: the 401 is answered with the new token."""
    server = await FakeApiServer(authority.server_context(tmp_path)).start()
    server.tokens = {"token-2"}
    source = MountedCredentials(mounted, server.base_url)
    original = source.current

    def rotates(refused: bool = False) -> Any:
        if refused:
            (mounted / "token").write_text("token-2")
        return original(refused)

    source.current = rotates  # type: ignore[method-assign]  # the kubelet's hand
    api = ApiServer(source)
    try:
        assert 200 == await _status(api)
        assert 2 == server.count("list")
    finally:
        await api.close()
        await server.stop()


async def test_a_proxy_variable_is_not_heeded(
    mounted: Path, tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HTTPS_PROXY must not see a cluster credential."""
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    server = await FakeApiServer(authority.server_context(tmp_path)).start()
    api = ApiServer(MountedCredentials(mounted, server.base_url))
    try:
        assert 200 == await _status(api)
    finally:
        await api.close()
        await server.stop()


async def _status(api: ApiServer) -> int:
    params = {"limit": "1"}
    async with api.get("/api/v1/serviceaccounts", params, total_seconds=5, silence_seconds=5) as response:
        await response.read()
        return response.status


# --- kubeconfig


def kubeconfig(folder: Path, user: dict[str, Any], **cluster: Any) -> str:
    path = folder / "kubeconfig"
    content = {
        "current-context": "here",
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:6443/", **cluster}}],
        "users": [{"name": "u", "user": user}],
    }
    path.write_text(yaml.safe_dump(content))
    return str(path)


def test_a_kubeconfig_gives_host_ca_and_token(tmp_path: Path, authority: Authority) -> None:
    """Host, CA and token of the current context; the token is read again after a 401."""
    pytest.importorskip("kubernetes")
    certificate, _ = authority.write(tmp_path)
    ca = {"certificate-authority": str(certificate)}
    source = KubeconfigCredentials(kubeconfig(tmp_path, {"token": "token-1"}, **ca))
    kubeconfig(tmp_path, {"token": "token-2"}, **ca)

    assert "https://127.0.0.1:6443" == source.base_url
    assert "Bearer token-1" == bearer(source)
    assert "Bearer token-2" == source.current(refused=True).headers["Authorization"]


async def test_a_kubeconfig_with_a_client_certificate(tmp_path: Path, authority: Authority) -> None:
    """A client certificate is shown to a server that wants one, and no header is sent."""
    pytest.importorskip("kubernetes")
    certificate, key = authority.write(tmp_path)
    wants_one = authority.server_context(tmp_path)
    wants_one.verify_mode = ssl.CERT_REQUIRED
    wants_one.load_verify_locations(certificate)
    server = await FakeApiServer(wants_one).start()
    user = {"client-certificate": str(certificate), "client-key": str(key)}
    where = {"server": server.base_url, "certificate-authority": str(certificate)}
    api = ApiServer(KubeconfigCredentials(kubeconfig(tmp_path, user, **where)))
    try:
        assert 200 == await _status(api)
        assert "" == server.last("list").authorization
    finally:
        await api.close()
        await server.stop()


@pytest.mark.parametrize(
    ("cluster", "text"),
    [
        ({"insecure-skip-tls-verify": True}, "insecure-skip-tls-verify is not supported"),
        ({"proxy-url": "http://127.0.0.1:1"}, "proxy-url is not supported"),
        ({"certificate-authority": "/nowhere/ca.crt"}, "gives no cluster and credential"),
    ],
    ids=["unverified", "proxy", "no ca file"],
)
def test_what_a_kubeconfig_may_not_ask(tmp_path: Path, cluster: dict[str, Any], text: str) -> None:
    """What we would have to leave out silently is refused by name instead."""
    pytest.importorskip("kubernetes")
    with pytest.raises(ConfigurationError, match=rf"^KUBECONFIG: .*{text}"):
        KubeconfigCredentials(kubeconfig(tmp_path, {"token": "token-1"}, **cluster))


@pytest.mark.parametrize("content", ["", "a: [", "users: 5", "\x00"], ids=["empty", "no yaml", "number", "zero byte"])
def test_a_broken_kubeconfig_is_one_clear_error(tmp_path: Path, content: str) -> None:
    """A file that is no kubeconfig is one sentence that quotes nothing of it."""
    pytest.importorskip("kubernetes")
    path = tmp_path / "kubeconfig"
    path.write_text(content)
    with pytest.raises(ConfigurationError, match=r"gives no cluster and credential \(\w+\)$"):
        KubeconfigCredentials(str(path))


def test_a_missing_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the official client the error says what to install."""
    real = builtins.__import__

    def refuse(name: str, *rest: Any, **more: Any) -> Any:
        if name.startswith("kubernetes"):
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(ConfigurationError, match=r"nats-k8s-oidc-callout\[kubeconfig\]"):
        KubeconfigCredentials(str(tmp_path / "kubeconfig"))
