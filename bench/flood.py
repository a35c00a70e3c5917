"""Good logins beside floods: `python bench/flood.py [--logins 2000] [--cpu 0.5] [--only forged,http,annotations]`.

Signed requests are published straight at the responder, on a server without a callout: a real one spends 550 µs on each
login itself, and would be what is measured. Prints the latency of the good logins in each flood, and as a multiple of the
quiet one of the same run. Everything stays on 127.0.0.1; each phase ends by its count and its time.

On a machine that does other things as well, run it as `chrt -f 1 python bench/flood.py …` (root): else what is measured
is how long everybody waits for a processor. `--cpu 0.5` gives the responder a CPU limit (quiet too): a cgroup's quota where root may make one, else
SIGSTOP and SIGCONT in its periods, which is coarser: it stops whether or not the quota is used up.
"""

import argparse
import asyncio
import json
import random
import secrets
import statistics
import sys
import tempfile
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]

from _callers import Callers  # noqa: E402  after the path is set
from _key_server import KeyServer, key_server  # noqa: E402
from _quota import limited  # noqa: E402

from bench._rows import Row, keep  # noqa: E402
from nats_k8s_oidc_callout.core import base64url  # noqa: E402
from nats_k8s_oidc_callout.core.nats import nkeys  # noqa: E402
from nats_k8s_oidc_callout.core.nats.nkeys import Kind  # noqa: E402
from tests.e2e.responder import ResponderProcess  # noqa: E402
from tests.fakes.issuer import Issuer, issuer_key  # noqa: E402
from tests.fakes.nats_modes import Pair  # noqa: E402
from tests.fakes.nats_world import NatsServer  # noqa: E402
from tests.fakes.server import Server  # noqa: E402

TICK_SECONDS = 0.002
GOOD_A_SECOND = 100
FORGED_A_SECOND = 2000
# As was found: what 80 ServiceAccounts may hold, and the few logins that they need to be dear.
HEAVY_ACCOUNTS, HEAVY_BYTES, HEAVY_A_SECOND, GOOD_BESIDE_HEAVY = 80, 252 * 1024, 30, 10
AIM = 3.0
"""How many times the quiet one the p99 of the good logins may be."""
FLOODS = {
    "2,000 forged/s": "2,000 forged logins a second",
    "forged, keys hang": "2,000 forged logins a second, the key endpoint hanging",
    "80 × 252 KiB, 30/s": "80 ServiceAccounts with 252 KiB of annotations each",
}
HTTP = [(path, times, callers) for path, times in (("/metrics", 200), ("/livez", 500)) for callers in (1, 4, 60)]


class Asker:
    """A NATS server's side of the callout: it has signed everything it will ask before it asks."""

    def __init__(self, client: Client, issuer: Pair) -> None:
        self._client = client
        self._server = Server(sub=issuer.public)
        self._issuer = Issuer()
        self._sent: dict[str, float] = {}
        self.latencies: list[float] = []
        self.refused = 0

    def good(self, count: int) -> list[bytes]:
        fresh = [self._issuer.token(uid="uid-1", pod="", now=time.time()) for _ in range(min(count, 200))]
        return [self._sign(random.choice(fresh), "10.0.0.1") for _ in range(count)]

    def forged(self, count: int) -> list[bytes]:
        """Return requests with one of many bad tokens: an invented key, forged, expired, rubbish."""
        now = time.time()
        expired = self._issuer.token(uid="uid-1", pod="", now=now - 9000)
        forged = self._issuer.token(now=now, key=issuer_key("RS256", 5), header={"kid": issuer_key().kid})
        unknown = [self._issuer.token(now=now, header={"kid": secrets.token_urlsafe(32)}) for _ in range(200)]

        def rubbish() -> str:
            return random.choice([random.choice(unknown), expired, forged, "a.b.c", secrets.token_urlsafe(600)])

        return [self._sign(rubbish(), f"10.9.0.{random.randrange(16)}") for _ in range(count)]

    def heavy(self, count: int) -> list[bytes]:
        """Return requests of the ServiceAccounts with huge annotations, in turn: allowed ones."""
        now = time.time()
        tokens = [
            self._issuer.token(namespace="heavy", name=f"sa-{n}", uid=f"h-{n}", pod="", now=now)
            for n in range(HEAVY_ACCOUNTS)
        ]
        return [self._sign(tokens[n % HEAVY_ACCOUNTS], "10.9.1.1") for n in range(count)]

    def _sign(self, token: str, host: str) -> bytes:
        claims = self._server.claims(token)
        # The responder drops what a server has given up on; all of this is signed before the first is sent.
        claims["iat"], claims["exp"] = int(time.time()), int(time.time()) + 1200
        claims["nats"]["user_nkey"] = nkeys.encode_public(Kind.USER, secrets.token_bytes(32))
        claims["nats"]["client_info"]["host"] = host
        return self._server.sign(claims)

    async def heard(self, message: Msg) -> None:
        began = self._sent.pop(message.subject, None)
        if began is None:
            return
        answer = json.loads(base64url.decode(message.data.split(b".")[1]))
        if answer["nats"].get("jwt"):
            self.latencies.append(time.perf_counter() - began)
        else:
            self.refused += 1

    async def ask(self, good: Sequence[bytes], bad: Sequence[bytes], seconds: float) -> dict[str, float]:
        """Send all of it, evenly over the time; return what became of the good ones."""
        ticks = int(seconds / TICK_SECONDS)
        began = time.perf_counter()
        self.latencies, self.refused = [], 0
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
        found = sorted(self.latencies)
        lost, self._sent = len(self._sent) + self.refused, {}
        return {
            "good": len(good),
            "lost": lost,
            "p50_ms": 1000 * statistics.median(found) if found else float("inf"),
            "p99_ms": 1000 * found[int(len(found) * 0.99)] if found else float("inf"),
        }


def rss_mib(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    raise LookupError("no VmRSS")


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def write_accounts(folder: Path, heavy: int) -> None:
    meta: dict[str, object] = {"name": "orders", "namespace": "team-a", "uid": "uid-1"}
    accounts = [meta]
    # Long entries of many tokens, on both sides: what is dearest to check and to sign.
    entries = [f"orders.{number:06}" + ".a" * 118 for number in range(HEAVY_BYTES // 500)]
    for number in range(heavy):
        subjects = ",".join(entries).replace("orders.", f"o{number:05}.")
        mine = {f"nats.io/allowed-{side}-subjects": subjects for side in ("pub", "sub")}
        accounts.append({"name": f"sa-{number}", "namespace": "heavy", "uid": f"h-{number}", "annotations": mine})
    for number, one in enumerate(accounts):
        text = json.dumps({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": one})
        (folder / f"{number}.json").write_text(text)


class Bench:
    """One responder, and the phases that it goes through."""

    def __init__(self, responder: ResponderProcess, asker: Asker, options: argparse.Namespace) -> None:
        self._responder = responder
        self._asker = asker
        self._options = options
        self.results: dict[str, dict[str, float]] = {}

    async def phase(
        self, name: str, a_second: int, *, forged: int = 0, heavy: int = 0, http: tuple[str, int, int] | None = None
    ) -> None:
        """Let `logins` good ones come, so many a second, beside this; keep and print what became of them."""
        seconds = self._options.logins / a_second
        good = self._asker.good(self._options.logins)
        bad = self._asker.forged(int(forged * seconds)) + self._asker.heavy(int(heavy * seconds))
        fetches, cpu, began = KeyServer.fetches, cpu_seconds(self._responder.pid), time.monotonic()
        with Callers(self._responder.port, *http, seconds=seconds) if http else Callers.none() as callers:
            found = await self._asker.ask(good, bad, seconds)
        took = time.monotonic() - began
        found |= {"cpu_percent": 100 * (cpu_seconds(self._responder.pid) - cpu) / took, "http_answers": callers.answers}
        found |= {"key_fetches": KeyServer.fetches - fetches, "rss_mib": rss_mib(self._responder.pid)}
        self.results[name] = found
        kind = "quiet, 10/s" if a_second == GOOD_BESIDE_HEAVY else "quiet"
        found["ratio"] = found["p99_ms"] / self.results.get(kind, found)["p99_ms"]
        print(
            f"| {name} | {found['good']} | {found['lost']} | {found['p50_ms']:.1f} | {found['p99_ms']:.1f} "
            f"| {found['ratio']:.2f} | {found['cpu_percent']:.0f} | {found['rss_mib']:.1f} | {callers.answers} |",
            flush=True,
        )

    async def run(self, only: Collection[str]) -> Mapping[str, Mapping[str, float]]:
        print("| phase | good | lost | p50 ms | p99 ms | × quiet | CPU % | VmRSS MiB | HTTP answers |")
        print("|---|---|---|---|---|---|---|---|---|")
        if "forged" in only or "http" in only:
            await self.phase("quiet", GOOD_A_SECOND)
        if "forged" in only:
            await self.phase("2,000 forged/s", GOOD_A_SECOND, forged=FORGED_A_SECOND)
            # An endpoint that takes the question and never answers, while strangers ask for keys that do not exist.
            KeyServer.hanging = True
            await self.phase("forged, keys hang", GOOD_A_SECOND, forged=FORGED_A_SECOND)
            KeyServer.hanging = False
        if "http" in only:
            for path, times, callers in HTTP:
                await self.phase(f"{callers} × {path}", GOOD_A_SECOND, http=(path, times, callers))
        if "forged" in only or "http" in only:
            await self.phase("quiet again", GOOD_A_SECOND)
        if "annotations" in only:
            await self.phase("quiet, 10/s", GOOD_BESIDE_HEAVY)
            await self.phase("80 × 252 KiB, 30/s", GOOD_BESIDE_HEAVY, heavy=HEAVY_A_SECOND)
        return self.results


async def run(options: argparse.Namespace, only: Collection[str]) -> Mapping[str, Mapping[str, float]]:
    """Return what became of the good logins in each phase of these floods, on one responder."""
    issuer, login = Pair.new(Kind.ACCOUNT), Pair.new(Kind.USER)
    text = f"accounts {{ AUTH {{ users: [ {{ nkey: {login.public} }}, {{ user: server, password: server }} ] }} }}\n"
    with tempfile.TemporaryDirectory() as scratch, key_server(Issuer().jwks()) as url, NatsServer(text) as server:
        folder = Path(scratch)
        (folder / "accounts").mkdir()
        write_accounts(folder / "accounts", HEAVY_ACCOUNTS if "annotations" in only else 0)
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
        with ResponderProcess(env, name="flood", as_shipped=True) as responder:
            responder.wait_ready()
            client = await nats.connect(f"nats://server:server@127.0.0.1:{server.port}")
            asker = Asker(client, issuer)
            await client.subscribe("_R.>", cb=asker.heard, pending_msgs_limit=-1, pending_bytes_limit=-1)
            await asker.ask(asker.good(500), [], seconds=2)
            with limited(responder.pid, options.cpu) as how:
                print(f"Python {sys.version.split()[0]}, CPU limit: {how}\n")
                results = await Bench(responder, asker, options).run(only)
            await client.close()
    return results


def rows(results: Mapping[str, Mapping[str, float]]) -> list[Row]:
    """Return what each flood was to the good logins beside it; of the callers only those who were the worst."""
    floods = {name: words for name, words in FLOODS.items() if name in results}
    if called := [name for name in results if name.endswith(tuple(path for path, _, _ in HTTP))]:
        worst = max(called, key=lambda name: (results[name]["lost"], results[name]["ratio"]))
        floods[worst] = f"callers who pipeline, the worst of {len(called)} kinds: {worst}"
    return [
        Row(f"p99 of good logins beside {words}", round(results[name]["p99_ms"], 2), "ms",
            round(results[name]["p99_ms"] / results[name]["ratio"], 2), "quiet", round(results[name]["ratio"], 3), AIM,
            int(results[name]["lost"]))
        for name, words in floods.items()
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--logins", type=int, default=200, help="good ones in each phase; 2000 for a p99 worth its name"
    )
    parser.add_argument("--only", default="forged,http,annotations", help="some of these")
    parser.add_argument("--cpu", type=float, default=0, help="processors that the responder may use; 0: no limit")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if not 1 <= options.logins <= 20_000:
        parser.error("--logins is 1 to 20000")
    only = options.only.split(",")
    # Whoever has the ServiceAccounts with huge annotations reads their manifests each 2 s: not beside the other floods.
    groups = [[one for one in only if one != "annotations"], [one for one in only if one == "annotations"]]
    results = {name: found for group in groups if group for name, found in asyncio.run(run(options, group)).items()}
    about = {"logins": options.logins, "cpu_limit": options.cpu}
    keep(options.json, rows(results), about, phases=[{"phase": name, **found} for name, found in results.items()])


if __name__ == "__main__":
    main()
