"""The image once a run, and what was measured of it; pods for wget."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from image import wget
from tests.fakes.nats_tls import TlsFiles, mint_tls
from tests.image import built
from tests.image.built import Image
from tests.image.pod import EVERY_NAME, TOKEN, Pod

MEASURED: list[str] = []


@pytest.fixture(scope="session")
def image() -> Image:
    return built.image()


@pytest.fixture(scope="session")
def measured() -> list[str]:
    """Lines that the end of the run prints."""
    return MEASURED


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> TlsFiles:
    """One authority: the worst case, in which the cluster's CA has signed for other hosts, too."""
    return mint_tls(tmp_path_factory.mktemp("tls"), *EVERY_NAME)


@pytest.fixture
def pod(tmp_path: Path, certificates: TlsFiles, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pod]:
    credentials = tmp_path / "serviceaccount"
    credentials.mkdir()
    (credentials / "token").write_text(TOKEN)
    (credentials / "namespace").write_text("nats-auth")
    (credentials / "ca.crt").write_bytes(certificates.path("ca.pem").read_bytes())
    resolv = tmp_path / "resolv.conf"
    resolv.write_text("search nats-auth.svc.cluster.local svc.cluster.local cluster.local\n")
    monkeypatch.setattr(wget, "RESOLV_CONF", resolv)
    # Whoever trusts the system's CAs trusts the test's authority then, as every public host's is.
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.path("ca.pem")))
    monkeypatch.chdir(tmp_path)
    env = {"K8S_CREDENTIALS_DIR": str(credentials), "KUBERNETES_SERVICE_HOST": "10.96.0.1"}
    running = Pod(tmp_path, certificates, env | {"KUBERNETES_SERVICE_PORT": "443"})
    yield running
    running.close()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if MEASURED:
        terminalreporter.section("image")
        for line in MEASURED:
            terminalreporter.write_line(line)
