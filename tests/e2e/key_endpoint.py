"""A key endpoint on loopback, in a thread of its own: `body` is what it serves; it can be slow, or away."""

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

from tests.fakes.nats_world import free_port


class KeyEndpoint:
    """Serves `body` at `url` while it is up, each answer after `delay` seconds. The port stays the same."""

    def __init__(self, body: bytes, *, up: bool = True) -> None:
        self.body = body
        self.delay = 0.0
        self.asked = 0
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}/openid/v1/jwks"
        self._server: ThreadingHTTPServer | None = None
        if up:
            self.up()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.down()

    def up(self) -> None:
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                endpoint.asked += 1
                time.sleep(endpoint.delay)
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(endpoint.body)))
                self.end_headers()
                self.wfile.write(endpoint.body)

            def log_message(self, *_: object) -> None:
                """Nobody reads it."""

        self._server = ThreadingHTTPServer(("127.0.0.1", self._port), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), name="key endpoint", daemon=True).start()

    def down(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None
