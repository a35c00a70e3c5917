"""The image's wget asks as the responder asks: what its fetcher refuses is in tests/adapters/test_jwks.py."""

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from image import wget
from tests.fakes.nats_tls import mint_tls
from tests.image.peer import KEYS, Peer, answer

TOKEN = b"header.payload.signature"


class Pod:
    """Mounted credentials, an API server at 127.0.0.1, which is also `localhost`, and whose CA everybody trusts."""

    def __init__(self, folder: Path) -> None:
        tls = mint_tls(folder, "127.0.0.1", "localhost")
        for name, content in (("token", TOKEN), ("namespace", b"a"), ("ca.crt", tls.path("ca.pem").read_bytes())):
            (folder / name).write_bytes(content)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(tls.path("server.pem"), tls.path("server.key"))
        self.server = Peer(answer(), context)
        self.url = f"https://127.0.0.1:{self.server.port}/openid/v1/jwks"
        self.env = {"K8S_CREDENTIALS_DIR": str(folder), "JWKS_CA_FILE": str(folder / "ca.crt")}
        self.env |= {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(self.server.port)}

    def wget(self, *arguments: str) -> int:
        return wget.main(arguments, self.env)

    @property
    def told(self) -> bool:
        return TOKEN in b"".join(self.server.heard)


@pytest.fixture
def pod(tmp_path: Path) -> Iterator[Pod]:
    made = Pod(tmp_path)
    yield made
    made.server.close()


@pytest.mark.parametrize("arguments", [["-O-"], ["-qO-"], ["-q", "-O", "-"], ["--output-document=-"]])
def test_keys_are_printed(pod: Pod, capfdbinary: pytest.CaptureFixture[bytes], arguments: list[str]) -> None:
    """The API server's answer is printed, and nothing else; it was asked for with our token."""
    code = pod.wget(*arguments, pod.url)

    assert (0, True) == (code, pod.told)
    assert (KEYS, b"") == capfdbinary.readouterr()


def test_nobody_else_gets_the_token(pod: Pod) -> None:
    """Another name of the very same server gets none, though its certificate is good."""
    code = pod.wget("-O-", pod.url.replace("127.0.0.1", "localhost"))

    assert (0, False, 1) == (code, pod.told, len(pod.server.heard))


def test_redirects_are_not_followed(pod: Pod, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """A redirect prints no page and is told."""
    pod.server.answers = answer(b"a page", "302 Found", "Location: https://localhost/\r\n")
    code = pod.wget("-O-", pod.url)

    assert (1, 1) == (code, len(pod.server.heard))
    assert (b"", b"wget: status 302: redirects are not followed\n") == capfdbinary.readouterr()


def test_proxies_are_not_asked(pod: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the environment says about proxies changes nothing about the API server."""
    for name in ("https_proxy", "HTTPS_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")

    assert (0, True) == (pod.wget("-O-", pod.url), pod.told)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param({"K8S_CREDENTIALS_DIR": "/nowhere"}, b"/nowhere/token", id="no token"),
        pytest.param({"KUBERNETES_SERVICE_PORT": "many"}, b"wget: ", id="no port"),
    ],
)
def test_what_cannot_be_asked(
    pod: Pod, capfdbinary: pytest.CaptureFixture[bytes], change: dict[str, str], said: bytes
) -> None:
    """Without what it needs it asks nobody, prints nothing and says why, without the token."""
    pod.env |= change
    code = pod.wget("-O-", pod.url)
    out, err = capfdbinary.readouterr()

    assert (1, b"", []) == (code, out, pod.server.heard)
    assert said in err
    assert TOKEN not in err


@pytest.mark.parametrize("arguments", [["-O-"], ["-O", "file"], ["--no-check-certificate", "-O-"], []])
def test_bad_use(pod: Pod, arguments: list[str]) -> None:
    """What it does not know ends with 2 before anything is asked."""
    with pytest.raises(SystemExit) as ended:
        pod.wget(*arguments, *([pod.url] if len(arguments) > 1 else []))

    assert (2, []) == (ended.value.code, pod.server.heard)
