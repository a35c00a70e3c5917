"""Runs the kubelet: `python -m tests.node.kubelet SETTINGS`, inside the cluster's namespaces."""

import asyncio
import json
import logging
import sys
from pathlib import Path
from typing import Any

import aiohttp

from tests.node.kubelet.api import Api
from tests.node.kubelet.kubelet import Kubelet


async def main(settings: dict[str, Any]) -> None:
    ready = Path(settings["folder"]) / "kubelet.ready"
    async with (
        Api(settings["url"], Path(settings["kubeconfig"])) as api,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True, limit=0)) as session,
    ):
        await Kubelet(settings, api, session).run(ready)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s.%(msecs)03d %(message)s", datefmt="%H:%M:%S")
    asyncio.run(main(json.loads(Path(sys.argv[1]).read_text())))
