"""Good logins beside a flood of bad ones: `python bench/flood.py [--seconds 30] [--bad 2000] [--good 100]`.

Signed requests are published straight at the responder, on a server without a callout: a real one spends 550 µs on each
login itself, and would be what is measured. Prints the latency of the good ones, quiet and in the flood, of one run.
"""

import argparse
import asyncio
import json
import random
import secrets
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg

sys.path[:0] = [str(Path(__file__).parents[1])]

from nats_k8s_oidc_callout.core import nkeys  # noqa: E402  after the path is set
from nats_k8s_oidc_callout.core.nkeys import Kind  # noqa: E402
from tests.e2e.responder import ResponderProcess  # noqa: E402
from tests.fakes.issuer import Issuer, issuer_key  # noqa: E402
from tests.fakes.nats_modes import Pair  # noqa: E402
from tests.fakes.nats_world import NatsServer  # noqa: E402
from tests.fakes.server import Server  # noqa: E402

TICK_SECONDS = 0.002
ACCOUNT = "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: orders, namespace: team-a, uid: uid-1}\n"


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


class Asker:
    """A NATS server's side of the callout: it has signed everything it will ask before it asks."""

    def __init__(self, client: Client, issuer: Pair) -> None:
        self._client = client
        self._server = Server(sub=issuer.public)
        self._issuer = Issuer()
        self._sent: dict[str, float] = {}
        self.latencies: list[float] = []
        self.lost = 0

    def prepare(self, good: int, bad: int) -> tuple[list[bytes], list[bytes]]:
        """Return so many requests with a good token, and so many with one of many bad ones."""
        now = time.time()
        fresh = [self._issuer.token(uid="uid-1", pod="", now=now) for _ in range(200)]
        expired = self._issuer.token(uid="uid-1", pod="", now=now - 9000)
        forged = self._issuer.token(now=now, key=issuer_key("RS256", 5), header={"kid": issuer_key().kid})

        def rubbish() -> str:
            unknown = self._issuer.token(now=now, header={"kid": secrets.token_urlsafe(32)})
            return random.choice([unknown, expired, forged, "a.b.c", secrets.token_urlsafe(600)])

        return (
            [self._sign(random.choice(fresh), "10.0.0.1") for _ in range(good)],
            [self._sign(rubbish(), f"10.9.0.{random.randrange(16)}") for _ in range(bad)],
        )

    def _sign(self, token: str, host: str) -> bytes:
        claims = self._server.claims(token)
        # The responder drops what a server has given up on; all of this is signed before the first is sent.
        claims["iat"], claims["exp"] = int(time.time()), int(time.time()) + 600
        claims["nats"]["user_nkey"] = nkeys.encode_public(Kind.USER, secrets.token_bytes(32))
        claims["nats"]["client_info"]["host"] = host
        return self._server.sign(claims)

    async def heard(self, message: Msg) -> None:
        began = self._sent.pop(message.subject, None)
        if began is not None:
            self.latencies.append(time.perf_counter() - began)

    async def ask(self, good: list[bytes], bad: list[bytes], seconds: float) -> None:
        """Send all of it, evenly over the time."""
        ticks = int(seconds / TICK_SECONDS)
        began = time.perf_counter()
        for tick in range(ticks):
            await asyncio.sleep(max(0.0, began + tick * TICK_SECONDS - time.perf_counter()))
            batch = [(data, False) for data in bad[len(bad) * tick // ticks : len(bad) * (tick + 1) // ticks]]
            batch += [(data, True) for data in good[len(good) * tick // ticks : len(good) * (tick + 1) // ticks]]
            random.shuffle(batch)
            for data, wanted in batch:
                reply = f"_R.{secrets.token_hex(8)}"
                if wanted:
                    self._sent[reply] = time.perf_counter()
                await self._client.publish("$SYS.REQ.USER.AUTH", data, reply=reply)
        await asyncio.sleep(1.6)
        self.lost, self._sent = len(self._sent), {}

    def take(self) -> dict[str, float]:
        """Return what was measured since the last time."""
        found = sorted(self.latencies)
        self.latencies = []
        return {
            "answered": len(found),
            "lost": self.lost,
            "p50_ms": 1000 * statistics.median(found),
            "p99_ms": 1000 * found[int(len(found) * 0.99)],
        }


def rss_mib(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    raise LookupError("no VmRSS")


async def run(options: argparse.Namespace) -> dict[str, object]:
    issuer, login = Pair.new(Kind.ACCOUNT), Pair.new(Kind.USER)
    text = f"accounts {{ AUTH {{ users: [ {{ nkey: {login.public} }}, {{ user: server, password: server }} ] }} }}\n"
    with tempfile.TemporaryDirectory() as scratch, key_server(Issuer().jwks()) as url, NatsServer(text) as server:
        folder = Path(scratch)
        (folder / "accounts").mkdir()
        (folder / "accounts" / "orders.yaml").write_text(ACCOUNT)
        (folder / "login.seed").write_text(login.seed)
        (folder / "signing.seed").write_text(issuer.seed)
        env = {
            "NATS_URL": server.url,
            "NATS_ACCOUNT": "APP",
            "NATS_CREDS_FILE": str(folder / "login.seed"),
            "NATS_SIGNING_KEY_FILE": str(folder / "signing.seed"),
            "JWKS_URL": url,
            "JWT_ISSUER": Issuer().url,
            "SERVICE_ACCOUNTS_DIR": str(folder / "accounts"),
            "LOG_LEVEL": "info",
        }
        with ResponderProcess(env, name="flood") as responder:
            responder.wait_ready()
            client = await nats.connect(f"nats://server:server@127.0.0.1:{server.port}")
            asker = Asker(client, issuer)
            await client.subscribe("_R.>", cb=asker.heard, pending_msgs_limit=-1, pending_bytes_limit=-1)
            results: dict[str, object] = {}
            pid = responder.pid
            await asker.ask(*asker.prepare(500, 0), seconds=2)
            asker.take()
            memory = [rss_mib(pid)]
            phases = (("quiet", 0), ("flood", options.bad), ("flood again", options.bad), ("keys hang", options.bad))
            for name, bad in phases:
                # An endpoint that takes the question and never answers, while strangers ask for keys that do not exist.
                KeyServer.hanging = name == "keys hang"
                total = int(options.good * options.seconds), int(bad * options.seconds)
                fetches = KeyServer.fetches
                await asker.ask(*asker.prepare(*total), seconds=options.seconds)
                results[name] = {**asker.take(), "key_fetches": KeyServer.fetches - fetches}
                memory.append(rss_mib(pid))
            await asyncio.sleep(options.rest)
            memory.append(rss_mib(pid))
            results["rss_mib"] = dict(zip(("start", *(name for name, _ in phases), "after"), memory, strict=True))
            results["slowed"] = responder.metrics()["nats_auth_slowed_requests_total"]
            await client.close()
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--bad", type=int, default=2000, help="a second")
    parser.add_argument("--good", type=int, default=100, help="a second")
    parser.add_argument("--rest", type=float, default=60, help="seconds to wait before memory is read a last time")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    results = asyncio.run(run(options))
    for name in ("quiet", "flood", "flood again", "keys hang"):
        print(f"{name:<12}", " ".join(f"{key}={value:.2f}" for key, value in results[name].items()))  # type: ignore[attr-defined]
    for name in ("flood", "keys hang"):
        print(f"p99 {name} / quiet: {results[name]['p99_ms'] / results['quiet']['p99_ms']:.2f}")  # type: ignore[index]
    print("VmRSS MiB    ", " ".join(f"{key}={value:.1f}" for key, value in results["rss_mib"].items()))  # type: ignore[attr-defined]
    print(f"slowed        {results['slowed']:.0f}")
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
