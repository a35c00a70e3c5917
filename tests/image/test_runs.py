"""The image runs: read-only root, as 65532, with nothing but its configuration. Slow: it is built first."""

import json
import os
import ssl
import time
from pathlib import Path

import pytest
import yaml

from tests.fakes.issuer import ISSUER, Issuer
from tests.fakes.nats_modes import ConfigMode, config_mode
from tests.fakes.nats_tls import mint_tls
from tests.fakes.nats_world import NatsServer, knock
from tests.image.built import USER, Container, Image
from tests.image.peer import KEYS, Peer, answer
from tests.leaks import SECRETS

pytestmark = pytest.mark.slow


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder that stands at /mnt, readable for everybody as mounted Secrets are not: there fsGroup sees to that."""
    folder = tmp_path / "data"
    folder.mkdir(mode=0o755)
    return folder


@pytest.fixture
def settings(data: Path) -> tuple[ConfigMode, dict[str, str]]:
    """A config-mode server, and the environment of a responder that needs no cluster."""
    mode = config_mode()
    (data / "accounts").mkdir()
    manifest = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "orders", "namespace": "team-a"}}
    (data / "accounts" / "orders.yaml").write_text(yaml.safe_dump(manifest))
    (data / "jwks.json").write_bytes(Issuer().jwks())
    (data / "login").write_text(SECRETS.register("seed", mode.responder.seed))
    (data / "signing").write_text(SECRETS.register("seed", mode.issuer.seed))
    return mode, {
        "NATS_ACCOUNT": "APP",
        "NATS_AUTH_ACCOUNT": "AUTH",
        "NATS_CREDS_FILE": "/mnt/login",
        "NATS_SIGNING_KEY_FILE": "/mnt/signing",
        "JWT_ISSUER": ISSUER,
        "JWKS_FILE": "/mnt/jwks.json",
        "SERVICE_ACCOUNTS_DIR": "/mnt/accounts",
    }


async def test_serves_to_the_end(
    image: Image, data: Path, settings: tuple[ConfigMode, dict[str, str]], measured: list[str]
) -> None:
    """It gets ready beside a real nats-server, lets a ServiceAccount in, and ends with 0 after SIGTERM."""
    mode, env = settings
    with NatsServer(mode.text) as server:
        began = time.monotonic()
        with Container(image, env | {"NATS_URL": server.url}, data) as container:
            container.wait_ready()
            seconds, cpu = time.monotonic() - began, container.cpu_seconds()
            measured.append(f"start to ready: {seconds:.2f} s, of CPU {cpu:.2f} s; load {os.getloadavg()[0]:.1f}")
            status = container.status()
            token = SECRETS.register("token", Issuer().token(now=time.time()))
            knocked = await knock(server.url, auth_token=token)
            code = container.stop()

    assert "PONG" == knocked.said
    assert 0 == code
    assert f"Uid:\t{USER}\t{USER}\t{USER}\t{USER}\nGid:\t{USER}\t{USER}\t{USER}\t{USER}\n" in status
    assert "Groups:\t \n" in status


def test_root_is_read_only(image: Image) -> None:
    """Here as in the chart nothing of the image can be written, so what the tests saw needs no place to write."""
    done = image.run(image.program("sh", "-c", "touch /tmp/x && ! touch /opt/x && ! touch /var/tmp/x && id -u"))

    assert (0, f"{USER}\n") == (done.returncode, done.stdout), done.stderr
    assert 2 == done.stderr.count("Read-only file system")


def test_version(image: Image) -> None:
    """`docker run IMAGE version` is the package's version, and the label's."""
    done = image.run(image.command("version"))

    label = image.config["Labels"]["org.opencontainers.image.version"]
    assert (0, f"nats-k8s-oidc-callout {label}\n") == (done.returncode, done.stdout)


def test_doctor(image: Image, data: Path, settings: tuple[ConfigMode, dict[str, str]]) -> None:
    """`docker run IMAGE doctor` checks, and says with exit code 1 what fails: here, that no server is there."""
    _, env = settings
    done = image.run(image.command("doctor", "--json", env=env | {"NATS_URL": "nats://127.0.0.1:1"}, data=data))

    checks = {check["check"]: check for check in json.loads(done.stdout)["checks"]}
    assert 1 == done.returncode, done.stderr
    assert ("ok", "FAIL") == (checks["configuration"]["status"], checks["nats"]["status"])


def test_bad_configuration(image: Image) -> None:
    """Without configuration it ends with 2 and names each variable that is missing."""
    done = image.run(image.command())

    assert 2 == done.returncode
    assert "NATS_ACCOUNT" in done.stderr
    assert "SERVICE_ACCOUNTS_DIR" in done.stderr


def test_unknown_command(image: Image) -> None:
    """What stands behind the image's name is a command of ours, never a program."""
    done = image.run(image.command("sh"))

    assert 2 == done.returncode
    assert "No such command 'sh'" in done.stderr


def test_wget_reaches_the_api_server(image: Image, data: Path) -> None:
    """The image's `wget` uses the mounted token and CA for the API server, from a root that it cannot write."""
    tls = mint_tls(data, "127.0.0.1")
    for name, text in (("token", "a.b.c"), ("namespace", "nats-auth"), ("ca.crt", tls.path("ca.pem").read_text())):
        (data / name).write_text(text)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tls.path("server.pem"), tls.path("server.key"))
    peer = Peer(answer(), context)
    env = {"K8S_CREDENTIALS_DIR": "/mnt", "KUBERNETES_SERVICE_HOST": "127.0.0.1"}
    line = ("wget", "-O-", f"https://127.0.0.1:{peer.port}/openid/v1/jwks")
    try:
        done = image.run(image.program(*line, env=env | {"KUBERNETES_SERVICE_PORT": str(peer.port)}, data=data))
    finally:
        peer.close()

    assert (0, KEYS.decode()) == (done.returncode, done.stdout), done.stderr
    assert b"\r\nAuthorization: Bearer a.b.c\r\n" in peer.heard[0]
