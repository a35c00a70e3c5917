"""A Pod's network namespace: held by a process that does nothing, joined to the bridge, with an address of its own."""

import asyncio
import itertools
import subprocess

from tests.node.network import BRIDGE, GATEWAY

_SETUP = """
ip address add {address}/16 dev eth0
ip link set eth0 up
ip link set lo up
ip route add default via {gateway}
"""
_numbers = itertools.count(2)


class Sandbox:
    """The namespace of one Pod."""

    def __init__(self, subnet: int) -> None:
        number = next(_numbers)
        # 10.244.1.x on the first node, 10.244.2.x on the second, and on into a /16 that is never full.
        self.address = f"10.244.{subnet + 2 * (number // 250)}.{number % 250 + 2}"
        self._link = f"veth{number}"
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    async def start(self) -> None:
        # `up` is said from within: until then the namespace is still the kubelet's.
        self._process = await asyncio.create_subprocess_exec(
            "unshare", "--net", "sh", "-c", "echo up; exec sleep infinity",
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        )  # fmt: skip
        assert self._process.stdout is not None
        await self._process.stdout.readline()
        peer = ("peer", "name", "eth0", "netns", str(self.pid))
        await run("ip", "link", "add", self._link, "type", "veth", *peer)
        await run("ip", "link", "set", self._link, "master", BRIDGE, "up")
        setup = _SETUP.format(address=self.address, gateway=GATEWAY)
        await run("nsenter", f"--net=/proc/{self.pid}/ns/net", "sh", "-ec", setup)

    async def stop(self) -> None:
        """End the namespace; its link goes with it."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()


async def run(*command: str) -> None:
    """Run a command that must succeed; raise OSError with what it said."""
    process = await asyncio.create_subprocess_exec(
        *command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    said, _ = await process.communicate()
    if process.returncode != 0:
        raise OSError(f"{' '.join(command)}: {said.decode(errors='replace').strip()}")
