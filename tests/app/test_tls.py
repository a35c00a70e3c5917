"""TLS files that change one after the other under a running process."""

import ssl
from pathlib import Path

import pytest

from nats_k8s_oidc_callout.adapters.files import FileWatch
from nats_k8s_oidc_callout.app.tls import TlsFiles
from nats_k8s_oidc_callout.errors import ConfigurationError
from nats_k8s_oidc_callout.settings import Settings
from tests.fakes.nats_tls import mint_tls


def settings(folder: Path) -> Settings:
    """Return settings with CA, certificate and key in this folder."""
    return Settings(
        nats_tls_ca_file=folder / "ca.pem",
        nats_tls_cert_file=folder / "client.pem",
        nats_tls_key_file=folder / "client.key",
    )


def made(folder: Path) -> tuple[TlsFiles, FileWatch]:
    watch = FileWatch()
    return TlsFiles(settings(folder), watch.watch), watch


@pytest.fixture
def mounted(tmp_path: Path) -> Path:
    mint_tls(tmp_path)
    return tmp_path


def test_a_pair_that_changes_one_by_one(mounted: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Between the new certificate and its key the old context stays in use; with the key the new one takes over."""
    fresh = tmp_path_factory.mktemp("fresh")
    mint_tls(fresh)
    files, watch = made(mounted)
    old = files.context
    (mounted / "client.pem").write_bytes((fresh / "client.pem").read_bytes())
    watch.poll()
    between, failing = files.context, files.failing
    (mounted / "client.key").write_bytes((fresh / "client.key").read_bytes())
    watch.poll()

    assert old is not None
    assert old is between
    assert "do not go together" in failing
    assert isinstance(files.context, ssl.SSLContext)
    assert files.context is not old
    assert "" == files.failing


def test_when_the_certificates_end(mounted: Path) -> None:
    """The ends of certificate and CA are known, for their metric."""
    files, _ = made(mounted)

    assert all(end is not None and end > 0 for end in files.expiries().values())


def test_files_that_never_went_together(mounted: Path) -> None:
    """At the start there is no older context to keep: that is an error, which quotes no key."""
    (mounted / "client.key").write_text("-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n")

    with pytest.raises(ConfigurationError) as raised:
        made(mounted)

    assert "c2VjcmV0" not in str(raised.value)
