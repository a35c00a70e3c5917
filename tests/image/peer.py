"""A server that remembers what it was told, whoever it was meant for."""

import socket
import ssl
import threading
from dataclasses import dataclass, field

KEYS = b'{"keys": []}'


def answer(body: bytes = KEYS, status: str = "200 OK", headers: str = "") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{headers}\r\n".encode() + body


@dataclass
class Peer:
    """A server on loopback."""

    answers: bytes
    tls: ssl.SSLContext | None
    heard: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._address = self._listener.getsockname()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        return int(self._address[1])

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
