"""Eleven minutes in the life of a release, with Prometheus watching: what docs/images/dashboard.svg is drawn from.

Nothing in it is invented: real replicas, a real nats-server, a real API server and its restart, clients with good and
bad tokens. Only the time is short, so that a picture can be made again; the clients log in faster than they would.
"""

import asyncio
import datetime as dt
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from tests.e2e.session_world import pod
from tests.leaks import SECRETS
from tests.monitoring.scene import BAD, GOOD, Scene
from tests.monitoring.shipped import panels

SCRAPE_SECONDS = 2
STEP_SECONDS = 4
# What Grafana takes for $__rate_interval at this resolution: four scrapes at least.
INTERVAL = "12s"
SECONDS = 660.0

OLD = ("nats-k8s-oidc-callout-7d9c5f8b6-4xk2p", "nats-k8s-oidc-callout-7d9c5f8b6-tq8zl")
NEW = ("nats-k8s-oidc-callout-6c4bfd977-9wkqs", "nats-k8s-oidc-callout-6c4bfd977-hm5vd")

POLICY = """
version: 1
rules:
  - {name: shop, match: {namespaces: [shop]}, annotations: any}
  - {name: billing, match: {namespaces: [billing]}, account: OTHER, annotations: {publish: ["invoices.>"]}}
  - {name: search, match: {namespaces: [search]}, annotations: {publish: ["{name}.>"]}}
"""
QUARANTINE = """\
  - {name: quarantine, match: {namespaces: [search], service_accounts: [scraper]}, refuse: "INC-1234"}
"""
# So short that renewals are seen.
SHORT = {"SESSION_MAX_SECONDS": "200"}
# Of each workload that stays connected.
SESSIONS = 10
LEAVER, SCRAPER = ("search", "leaver"), ("search", "scraper")


def record(folder: Path, tell: Callable[[str], None]) -> dict[str, Any]:
    """Let it all happen, and return for each panel what each of its queries found: over time, or at the end."""
    with Scene(folder, SCRAPE_SECONDS, POLICY, SHORT) as scene:
        _renew(scene.world.folder)
        for workload in (LEAVER, SCRAPER):
            scene.cluster.create_service_account(*workload)
        scene.deploy(*OLD)
        scene.prometheus.until("count(nats_auth_selftest_success == 1) == 2", 30)
        # A rate needs some scrapes before the picture begins.
        start = time.time() + 15
        asyncio.run(_Story(scene, start, tell).run())
        end = time.time()
        found: dict[str, Any] = {"start": start, "end": end, "panels": {}}
        for panel in panels():
            found["panels"][str(panel["id"])] = [
                _found(scene, target, start, end) for target in panel["targets"]
            ]  # fmt: skip
        return found


def _found(scene: Scene, target: dict[str, Any], start: float, end: float) -> list[dict[str, Any]]:
    text = target["expr"].replace("$__rate_interval", INTERVAL).replace("$namespace", ".*").replace("$pod", ".*")
    prometheus = scene.prometheus
    series = prometheus.at(text, end) if target["instant"] else prometheus.over(text, start, end, STEP_SECONDS)
    return [{"labels": dict(one.labels), "points": [list(point) for point in one.points]} for one in series]


class _Story:
    """Everything happens at its second; ordinary logins go on all the time."""

    def __init__(self, scene: Scene, start: float, tell: Callable[[str], None]) -> None:
        self._scene = scene
        self._start = start
        self._tell = tell
        self._good = [scene.good(number) for number in range(8)]
        self._bad = [scene.expired(), scene.other_audience(), scene.forged()]
        self._scraper = scene.own_token(*SCRAPER)
        self._ghost = SECRETS.register("token", scene.cluster.sign_token(self._ghosts_claims()))

    def _ghosts_claims(self) -> dict[str, object]:
        account = {"namespace": "shop", "serviceaccount": {"name": "ghost", "uid": "none"}}
        changes = {"sub": "system:serviceaccount:shop:ghost", "kubernetes.io": account}
        return self._scene.cluster.claims("shop", "web", **changes)

    async def run(self) -> None:
        async with AsyncExitStack() as staying, asyncio.TaskGroup() as tasks:
            for token in self._good[:4]:
                await staying.enter_async_context(self._sessions(token))
            usual = tasks.create_task(self._usual())
            for second, name, happen in (
                (45, "ten sessions lose their ServiceAccount", self._delete),
                (115, "a deploy", self._deploy),
                (205, "a storm", self._storm),
                (270, "the key endpoint goes away", self._no_keys),
                (355, "the policy refuses one workload", self._quarantine),
                (390, "a flood", self._flood),
                (505, "the API server restarts", self._api_server),
                (560, "NATS restarts", self._nats),
            ):
                await self._wait_for(second)
                self._tell(f"{second} s: {name}")
                await happen()
            await self._wait_for(SECONDS)
            usual.cancel()

    async def _wait_for(self, second: float) -> None:
        await asyncio.sleep(max(0.0, self._start + second - time.time()))

    def _sessions(self, token: str, *, back: bool = True) -> AbstractAsyncContextManager[object]:
        """Stay connected; `back`: again at each end."""
        return pod(self._scene.world, str, connections=SESSIONS, fields={"auth_token": token}, back=back)

    async def _delete(self) -> None:
        async with self._sessions(self._scene.own_token(*LEAVER), back=False):
            await asyncio.sleep(15)
            await asyncio.to_thread(self._scene.cluster.delete_service_account, *LEAVER)
            await asyncio.sleep(10)

    async def _quarantine(self) -> None:
        async with self._sessions(self._scraper, back=False):
            await asyncio.sleep(15)
            (self._scene.folder / "policy.yaml").write_text(POLICY.replace("rules:\n", f"rules:\n{QUARANTINE}"))
            await asyncio.sleep(10)

    async def _usual(self) -> None:
        """Some logins a second, at no regular beat; now and then with an old token, of a ghost, of a scraper."""
        number = 0
        async with asyncio.TaskGroup() as tasks:
            while True:
                number += 1
                token = self._good[number % len(self._good)]
                if number % 50 == 0:
                    token = self._bad[0]
                elif number % 90 == 0:
                    token = self._ghost
                elif number % 15 == 0:
                    token = self._scraper
                tasks.create_task(self._scene.log_in(token, GOOD))
                await asyncio.sleep(0.12 + 0.012 * (number * 7 % 13))

    async def _deploy(self) -> None:
        for pods in ((*OLD, NEW[0]), (OLD[1], NEW[0]), (OLD[1], *NEW), NEW):
            await asyncio.to_thread(self._scene.deploy, *pods)
            await asyncio.sleep(4)

    async def _storm(self, clients: int = 500) -> None:
        """Every client comes at once, as after a restart of NATS."""
        room = asyncio.Semaphore(60)

        async def one(number: int) -> None:
            async with room:
                await self._scene.log_in(self._good[number % len(self._good)], GOOD)

        await asyncio.gather(*(one(number) for number in range(clients)))

    async def _no_keys(self) -> None:
        """The keys cannot be had, and somebody asks for an unknown one now and then, which makes us ask."""
        self._scene.world.keys.down()
        for _ in range(16):
            await self._scene.log_in(self._bad[2], GOOD)
            await asyncio.sleep(5)
        self._scene.world.keys.up()

    async def _flood(self) -> None:
        """One host, some forty logins a second, none of them good, and most with a key that nobody has."""
        async with asyncio.TaskGroup() as tasks:
            for number in range(3600):
                token = self._bad[number % 10] if number % 10 < 2 else self._bad[2]
                tasks.create_task(self._scene.log_in(token, BAD))
                await asyncio.sleep(1 / 40)

    async def _api_server(self) -> None:
        await asyncio.to_thread(self._scene.cluster.restart)

    async def _nats(self) -> None:
        """NATS is away for eight seconds, and a Secret is broken meanwhile; then all clients come at once."""
        key = self._scene.world.folder / "client.key"
        whole = key.read_text()
        await asyncio.to_thread(self._scene.world.server.kill)
        key.write_text("half a file")
        await asyncio.sleep(8)
        await asyncio.to_thread(self._scene.world.server.start)
        await asyncio.sleep(2)
        await self._storm(300)
        await asyncio.sleep(20)
        key.write_text(whole)


def _renew(folder: Path) -> None:
    """Make the certificates of the scene, which are good for a day, good for as long as people make them."""
    authority = _private_key(folder / "ca.key")
    for name, days in (("ca", 900), ("client", 75)):
        old = x509.load_pem_x509_certificate((folder / f"{name}.pem").read_bytes())
        builder = x509.CertificateBuilder(
            old.issuer, old.subject, old.public_key(), x509.random_serial_number(), old.not_valid_before_utc,
            dt.datetime.now(dt.UTC) + dt.timedelta(days=days), list(old.extensions),
        )  # fmt: skip
        made = builder.sign(authority, hashes.SHA256())
        (folder / f"{name}.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))


def _private_key(path: Path) -> Any:
    return serialization.load_pem_private_key(path.read_bytes(), None)
