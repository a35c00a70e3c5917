"""An issuer's key endpoint on loopback that counts its callers, and can hang."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class KeyServer(BaseHTTPRequestHandler):
    """Serves the issuer's keys and counts how often it is asked."""

    body = b""
    fetches = 0
    hanging = False

    def do_GET(self) -> None:
        type(self).fetches += 1
        if self.hanging:
            time.sleep(8)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def key_server(body: bytes) -> Iterator[str]:
    KeyServer.body = body
    server = ThreadingHTTPServer(("127.0.0.1", 0), KeyServer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/jwks"
    server.shutdown()
