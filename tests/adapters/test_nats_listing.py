"""Lists of connections that a tenant made heavy."""

import json
import tracemalloc
from collections import Counter
from typing import Any, Self

from nats_k8s_oidc_callout.adapters.nats.conversation import Answer
from nats_k8s_oidc_callout.adapters.nats.listing import Lister
from nats_k8s_oidc_callout.core.nats.connz import Row

CONNECTIONS = 20_000
MOST_BYTES = 24 << 20
"""A page aims at 2 MiB, and is a few times that while it is read. All rows at once would be 40 MB."""
_NOW = "2026-11-27T12:00:00Z"


class Crowded:
    """Two servers: one with very many connections, each as heavy as a client can make it here; one with two."""

    connects = 1

    def __init__(self) -> None:
        self.asked: list[tuple[int, int]] = []
        self._answers: list[bytes] = []

    def ask(self, _: str, body: bytes, __: dict[str, str] | None = None) -> Self:
        question = json.loads(body)
        self.asked.append((question["offset"], question["limit"]))
        self._answers = [self._page("NA", CONNECTIONS, *self.asked[-1]), self._page("NB", 2, *self.asked[-1])]
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    async def answer(self, _: float) -> Answer | None:
        return Answer(self._answers.pop(), gzipped=False) if self._answers else None

    @staticmethod
    def _page(server: str, total: int, offset: int, limit: int) -> bytes:
        def row(cid: int) -> dict[str, Any]:
            long = dict.fromkeys(("ip", "name", "lang", "version", "kind", "type"), f"{cid:06}{'x' * 122}")
            return {"cid": cid, "start": _NOW, "account": "APP", "authorized_user": f"{cid:06}{'u' * 594}", **long}

        rows = [row(cid) for cid in range(offset, min(offset + limit, total))]
        return json.dumps(
            {"server": {"id": server}, "data": {"now": _NOW, "total": total, "connections": rows}}
        ).encode()


async def test_a_long_list_of_heavy_connections_is_never_held_whole() -> None:
    """Each is handed over once, and what is held meanwhile is a page."""
    servers, seen = Crowded(), Counter[tuple[str, int]]()

    def take(row: Row) -> None:
        seen[row.server, row.cid] += 1

    lister = Lister(servers, str, str)  # type: ignore[arg-type]  # it has what is asked of it
    tracemalloc.start()
    try:
        listing = await lister.list("APP", take)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert {"NA", "NB"} == listing.servers
    assert (CONNECTIONS + 2, {1}) == (len(seen), set(seen.values()))
    assert len(servers.asked) > 10
    assert peak < MOST_BYTES, peak
