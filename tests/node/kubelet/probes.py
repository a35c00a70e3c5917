"""Probes and hooks: one attempt at each kind, and the loop that counts them."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import aiohttp

from tests.node.kubelet.process import Process

Report = Callable[[bool, str], Awaitable[None]]
"""Hears of each change: (succeeded, what was said)."""


def port_of(container: Mapping[str, Any], port: str | int) -> int:
    """Return the number of a port that may be a name."""
    if isinstance(port, int):
        return port
    return next((int(one["containerPort"]) for one in container.get("ports", []) if one.get("name") == port), 0)


class Prober:
    """Tries one container."""

    def __init__(
        self, session: aiohttp.ClientSession, container: Mapping[str, Any], address: str, process: Process
    ) -> None:
        self._session = session
        self._container = container
        self._address = address
        self._process = process

    async def attempt(self, action: Mapping[str, Any], seconds: float) -> tuple[bool, str]:
        """Return whether one probe or hook succeeded, and why not."""
        if "httpGet" in action:
            return await self._get(action["httpGet"], seconds)
        if "exec" in action:
            code, said = await self._process.run(action["exec"]["command"], seconds)
            return code == 0, said
        if "tcpSocket" in action:
            return await self._connect(action["tcpSocket"], seconds)
        if "sleep" in action:
            await asyncio.sleep(action["sleep"]["seconds"])
            return True, ""
        return False, f"{', '.join(action)} cannot be had on this node"

    async def watch(self, probe: Mapping[str, Any], report: Report) -> None:
        """Try for ever; report each change from one to the other, by the probe's own thresholds."""
        await asyncio.sleep(probe.get("initialDelaySeconds", 0))
        needed = {True: probe.get("successThreshold", 1), False: probe.get("failureThreshold", 3)}
        last, row = None, 0
        while True:
            good, said = await self.attempt(probe, probe.get("timeoutSeconds", 1))
            row = row + 1 if good == last else 1
            last = good
            # At each further full row, too: a liveness probe asks again for what it asked before.
            if row % needed[good] == 0:
                await report(good, said)
            await asyncio.sleep(probe.get("periodSeconds", 10))

    async def _get(self, action: Mapping[str, Any], seconds: float) -> tuple[bool, str]:
        scheme = action.get("scheme", "HTTP").lower()
        host = action.get("host") or self._address
        url = f"{scheme}://{host}:{port_of(self._container, action['port'])}{action.get('path', '/')}"
        headers = {"User-Agent": "kube-probe/1.37"} | {
            one["name"]: one["value"] for one in action.get("httpHeaders", [])
        }
        try:
            timeout = aiohttp.ClientTimeout(total=seconds)
            async with self._session.get(
                url, headers=headers, timeout=timeout, ssl=False, allow_redirects=False
            ) as got:
                body = await got.text()
                good = 200 <= got.status < 400
                return good, "" if good else f"HTTP probe failed with statuscode: {got.status} {body[:200]}"
        except (aiohttp.ClientError, TimeoutError) as error:
            return False, f'Get "{url}": {error!r}'

    async def _connect(self, action: Mapping[str, Any], seconds: float) -> tuple[bool, str]:
        try:
            async with asyncio.timeout(seconds):
                host = action.get("host") or self._address
                _, writer = await asyncio.open_connection(host, port_of(self._container, action["port"]))
        except (OSError, TimeoutError) as error:
            return False, repr(error)
        writer.close()
        return True, ""
