"""The script of `helm test`, run for real against small servers that answer as the Service would."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.chart.chart import ACCOUNT, one, render

ADDRESS = "http://nats-k8s-oidc-callout.nats-auth.svc:8080"


@contextmanager
def service(ready: int, metrics: str) -> Iterator[str]:
    """A server that answers as ready or not, with these metrics."""

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(ready if self.path.startswith("/readyz") else 200)
            self.end_headers()
            self.wfile.write(metrics.encode() if self.path == "/metrics" else b"[+]subscription ok\n")

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the library's signature
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def run(address: str, *arguments: str) -> tuple[int, str]:
    """Run the script against another address and with a patience of no seconds; return exit code and what it said."""
    command = one(render(ACCOUNT, *arguments), "Pod")["spec"]["containers"][0]["command"]
    assert ["python3", "-c"] == command[:2]
    assert f'URL = "{ADDRESS}"' in command[2]
    script = command[2].replace(ADDRESS, address).replace("within(30,", "within(0,").replace("75,", "0,")
    done = subprocess.run([sys.executable, "-I", "-c", script], check=False, capture_output=True, text=True, timeout=30)
    return done.returncode, done.stdout + done.stderr


def test_it_succeeds_when_a_client_gets_in() -> None:
    """Ready, and the self-test's client was let in: exit code 0, and every check is shown."""
    with service(200, "# HELP x\nnats_auth_selftest_success 1.0\n") as address:
        code, said = run(address)

    assert 0 == code, said
    assert "[+]subscription ok" in said
    assert "ok: a client with a token was let in" in said


def test_it_fails_when_no_client_gets_in() -> None:
    """Ready alone is not enough: NATS may not know the callout at all."""
    with service(200, "# HELP x\nnats_auth_selftest_success 0.0\n") as address:
        code, said = run(address)

    assert 1 == code
    assert "FAIL: nats_auth_selftest_success is not 1" in said


def test_it_fails_when_no_pod_is_ready() -> None:
    """Whether nothing answers or a 503: it says where it asked and where to look."""
    with service(503, "") as address:
        code, said = run(address)

    assert 1 == code
    assert f"FAIL: {address}/readyz: no Pod is ready" in said
    assert 1 == run("http://127.0.0.1:9")[0]


def test_without_a_self_test_it_says_what_it_did_not_prove() -> None:
    """Then readiness is all there is to see, and it says so."""
    with service(200, "") as address:
        code, said = run(address, "--set=selfTest.enabled=false")

    assert 0 == code
    assert "no self-test here: run doctor" in said
