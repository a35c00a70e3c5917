"""A pod as far as wget sees it: mounted credentials, and a network in which every way leads to one recording peer."""

import io
import socket
import ssl
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from image import wget
from tests.fakes.nats_tls import TlsFiles

TOKEN = "header.payload.signature"
KEYS = b'{"keys": []}'
API = "https://kubernetes.default.svc/openid/v1/jwks"
LINE = ("-O-", API)
"""The guide's."""
NAMES = (
    "kubernetes.default.svc",
    "kubernetes.default",
    "kubernetes.default.svc.cluster.local",
    "10.96.0.1",
    "127.0.0.1",
)
EVERY_NAME = (*NAMES, "issuer.example", "kubernetes.default.svc.evil.example", "kubernetes")


def answer(body: bytes = KEYS, status: str = "200 OK", headers: str = "") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{headers}\r\n".encode() + body


@dataclass
class Peer:
    """A server on loopback that takes what comes, whoever it was meant for, and remembers all of it."""

    answers: bytes
    tls: ssl.SSLContext | None
    heard: list[bytes] = field(default_factory=list)
    asked_for: list[tuple[str, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._address = self._listener.getsockname()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        return int(self._address[1])

    def connect(self, address: tuple[str, int], timeout: float) -> socket.socket:
        """Connect here instead of there, as an attacker with the cluster's DNS in hand would have it."""
        self.asked_for.append(address)
        return socket.create_connection(self._address, timeout)

    def _serve(self) -> None:
        while True:
            try:
                plain, _ = self._listener.accept()
            except OSError:
                return
            try:
                self._answer(plain)
            except OSError:
                plain.close()

    def _answer(self, plain: socket.socket) -> None:
        plain.settimeout(5)
        with self.tls.wrap_socket(plain, server_side=True) if self.tls else plain as peer:
            said = b""
            while b"\r\n\r\n" not in said and (chunk := peer.recv(65536)):
                said += chunk
            self.heard.append(said)
            peer.sendall(self.answers)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)


@dataclass
class Done:
    code: int
    out: bytes
    err: str
    peer: Peer

    @property
    def told(self) -> bool:
        """Whether anybody saw our token, over any connection."""
        return TOKEN.encode() in b"".join(self.peer.heard)


class Output(io.RawIOBase):
    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()

    def write(self, chunk: object) -> int:
        self.written += bytes(memoryview(chunk))  # type: ignore[arg-type]  # RawIOBase takes any buffer
        return len(memoryview(chunk))  # type: ignore[arg-type]  # see above


@dataclass
class Pod:
    """What a pod has: its mounted credentials, and a network where everything leads to one peer."""

    folder: Path
    certificates: TlsFiles
    env: dict[str, str]
    _peers: list[Peer] = field(default_factory=list)

    def wget(
        self, *arguments: str, answers: bytes | None = None, tls: bool = True, listening: bool = True, **env: str
    ) -> Done:
        context = None
        if tls:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(self.certificates.path("server.pem"), self.certificates.path("server.key"))
        peer = Peer(answer() if answers is None else answers, context)
        if listening:
            self._peers.append(peer)
        else:
            peer.close()
        out, err = Output(), io.StringIO()
        try:
            code = wget.main(arguments, self.env | env, out, err, peer.connect)
        except SystemExit as ended:
            code = int(str(ended.code))
        return Done(code, bytes(out.written), err.getvalue(), peer)

    def close(self) -> None:
        for peer in self._peers:
            peer.close()


def headers(done: Done) -> Mapping[str, str]:
    lines = done.peer.heard[0].decode().split("\r\n")[1:-2]
    return dict(line.split(": ", 1) for line in lines)
