"""A responder with every store filled by the heaviest that strangers and tenants can send, and what it weighs then.

Run as a process of its own (`python -m tests.attack.heaviest`): what other tests left in memory must not count. Prints
the bytes of each store by its own count, then VmRSS and its peak in MiB, as JSON: `full`, and once live sessions are
looked after as well, `sessions`.
"""

import asyncio
import gc
import json
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from nats_k8s_oidc_callout.adapters.kubernetes.api import OBJECT_BYTES_MAX, ApiServer
from nats_k8s_oidc_callout.adapters.kubernetes.credentials import Credentials
from nats_k8s_oidc_callout.adapters.kubernetes.lines import split_lines
from nats_k8s_oidc_callout.adapters.kubernetes.lookup import LiveLookup
from nats_k8s_oidc_callout.adapters.nats.events import EVENTS_BYTES, Events
from nats_k8s_oidc_callout.adapters.nats.listing import ANSWER_BYTES
from nats_k8s_oidc_callout.adapters.telemetry import redaction
from nats_k8s_oidc_callout.adapters.telemetry.output import Output
from nats_k8s_oidc_callout.cli.serve import give_memory_back  # and all that `serve` loads
from nats_k8s_oidc_callout.core.decide import Facts
from nats_k8s_oidc_callout.core.grants.entries import NAMES
from nats_k8s_oidc_callout.core.identity.issuers import Proved
from nats_k8s_oidc_callout.core.identity.keyset import KeySet, parse_jwks
from nats_k8s_oidc_callout.core.identity.verified import place_of
from nats_k8s_oidc_callout.core.kubernetes.namespaces import Namespaces
from nats_k8s_oidc_callout.core.kubernetes.serviceaccounts import Index
from nats_k8s_oidc_callout.core.model import Token, Workload
from nats_k8s_oidc_callout.core.nats import nkeys, signers
from nats_k8s_oidc_callout.core.nats.connz import Row, read_event, read_page
from nats_k8s_oidc_callout.core.nats.nkeys import Kind, SigningKey
from nats_k8s_oidc_callout.core.sessions.table import SESSIONS_MAX, Table, session_of
from nats_k8s_oidc_callout.core.traffic.flooding import SUSPECT_AFTER
from nats_k8s_oidc_callout.responder import Keys, Observers, Ports, Responder, Voice, World
from tests.fakes import namespaces
from tests.fakes import server as servers
from tests.fakes.issuer import NOW, Issuer
from tests.fakes.rules import CLAIMS, fresh_grants

SERVICE_ACCOUNTS = 50_000
WIDE = "\N{GRINNING FACE}"
PER_PAGE = 15


def annotations(number: int, end: str = "") -> dict[str, str]:
    """Return 252 KiB of annotations, each time other ones; with an emoji at the end they take four times that."""
    texts = (",".join(f"{'s' * 236}.{number}.{side}.{n}" for n in range(300)) + end for side in range(3))
    return {f"nats.io/{name}": text for name, text in zip(NAMES, texts, strict=True)}


def page(items: list[dict[str, object]]) -> bytes:
    return json.dumps(
        {
            "kind": "ServiceAccountList",
            "metadata": {"resourceVersion": "9"},
            "items": [{"metadata": item} for item in items],
        },
        ensure_ascii=False,
    ).encode()


def account(namespace: str, name: str, **more: object) -> dict[str, object]:
    return {
        "namespace": namespace,
        "name": name,
        "uid": f"01234567-89ab-cdef-{name[-4:]:>04}-{namespace[-12:]:0>12}",
        **more,
    }


def fill_index(index: Index) -> None:
    """A usual cluster, then tenants: 40 namespaces that share the room, and one that wants all of it."""
    relist = index.begin()
    for begin in range(0, SERVICE_ACCOUNTS, 500):
        relist.page(page([account(f"team-{n // 5:05}", f"app-{n % 5}") for n in range(begin, begin + 500)]))
    for number in range(0, 600, PER_PAGE):
        heavy = [
            account(
                f"bad-{n % 40}" if n < 400 else "worst", f"sa-{n}", annotations=annotations(n, WIDE if n % 2 else "")
            )
            for n in range(number, number + PER_PAGE)
        ]
        relist.page(page(heavy))


def fill_labels(labels: Namespaces) -> None:
    """More namespaces than find room, no two of which have the same labels."""
    relist = labels.begin()
    for begin in range(0, 12_000, 500):
        relist.page(
            namespaces.page(
                *(
                    namespaces.item(f"{n:05}{'n' * 58}", team=f"{n:05}{'t' * 58}", stage=f"{n:063}")
                    for n in range(begin, begin + 500)
                )
            )
        )


def fill_hosts(responder: Responder) -> None:
    for number in range(10_000):
        responder._hosts.record(f"{number:08}{WIDE * 100}", allowed=False, monotonic=1.0)


def fill_lanes(responder: Responder) -> None:
    """Floods in the slow lane, as they were read, until the room is half full; then more than the rest of it in bytes."""
    server = servers.Server()
    claims = server.claims("t" * 2000 + WIDE)
    claims["nats"]["connect_opts"]["name"] = "n" * 500 + WIDE
    for _ in range(SUSPECT_AFTER + 1):
        responder._hosts.record(claims["nats"]["client_info"]["host"], allowed=False, monotonic=1.0)
    question = server.sign(claims)
    half = responder._room.bytes_max // 2
    while responder._room.used < half:
        # Each its own bytes, as from the socket.
        responder.receive(bytes(bytearray(question)), f"_INBOX.{len(responder._slow)}", "")
        responder._open(responder._queue.pop(0.0))
    number = 0
    while responder._room.used < responder._room.bytes_max - 1000:
        responder.receive(bytes(bytearray(200 + number % 3000)), f"_INBOX.{number}", "")
        number += 1


def fill_tokens(facts: Facts) -> None:
    for number in range(30_000):
        others = tuple(f"{audience}-{number}-{'a' * 230}" for audience in range(15 if number > 29_000 else 0))
        workload = Workload(
            "team-a", f"orders-{number}", f"{number:036}", f"orders-7d4b9c6f5d-{number}", f"{number:036}"
        )
        proved = Proved(workload, NOW + 3600, NOW - number % 900, None, others)
        facts.verified.keep(place_of(Token(f"token {number}")), 1, proved)


def fill_caches() -> None:
    for number in range(3000):
        redaction.clean(f"{number}" + "Ü" * 500 + WIDE * 12)
        nkeys.decode_public(SigningKey(Kind.SERVER, number.to_bytes(32, "big")).public, Kind.SERVER)


class _Nobody:
    """A source of credentials that is never asked: nothing is fetched here."""

    base_url = ""

    def current(self, refused: bool = False) -> Credentials:
        raise NotImplementedError


class _Full:
    """A log device that takes nothing."""

    def write(self, _: bytes) -> int | None:
        return None

    def fileno(self) -> int:
        raise OSError


def fill_log(output: Output) -> None:
    for number in range(4000):
        output.write(b"%05d" % number + b"x" * 500 + b"\n")


async def decode_the_largest(index: Index) -> None:
    """What comes and goes: the largest page of one item, the longest watch line."""
    largest = account("worst", "sa-0", resourceVersion="1", annotations=annotations(0, WIDE), other="\x01" * 1_400_000)
    index.begin("nobody").page(page([largest]))
    line = json.dumps(
        {"type": "MODIFIED", "object": {"metadata": largest | {"other": "x" * (OBJECT_BYTES_MAX - 400_000)}}}
    )

    async def chunks() -> AsyncIterator[bytes]:
        data = line.encode() + b"\n"
        for begin in range(0, len(data), 65536):
            yield data[begin : begin + 65536]

    async for one in split_lines(chunks()):
        index.apply(one)


def connections(count: int) -> Iterator[Row]:
    """The heaviest that clients can make of their connections, as servers list them."""
    wide = WIDE * 40
    for number in range(count):
        name = f"system:serviceaccount:team-{number // 5:05}:{'n' * 230}{number % 5};e={int(NOW) + 3600};u={number:08x}"
        user = f"{name};g={number:08x};k=012345;t={number:08x};i={int(NOW)};p=012345;r={'r' * 80}"
        texts = dict.fromkeys(("host", "name", "lang", "ver", "kind", "client_type", "issuer_key"), f"{number}{wide}")
        client = {"id": number, "start": "2027-01-15T08:00:00Z", "acc": "A" * 56, "user": user, **texts}
        row = read_event(json.dumps({"server": {"id": "N" * 56, "name": wide}, "client": client}).encode())
        assert isinstance(row, Row)
        yield row


def longest_page() -> bytes:
    """A server's list of connections whose names are long, of as many bytes as are read of one."""
    row = b'{"cid":1,"start":"2027-01-15T08:00:00Z","name":"%s"}' % (b"x" * 32_000)
    rows = b",".join([row] * (ANSWER_BYTES // 32_100))
    return b'{"server":{"id":"N"},"data":{"now":"2027-01-15T08:00:00Z","total":9,"connections":[%s]}}' % rows


def fill_sessions(table: Table, events: Events) -> None:
    """More sessions than find room, with none of the texts in common, and events that nobody has read."""
    for row in connections(SESSIONS_MAX + 100):
        session = session_of(row, NOW)
        assert session is not None
        table.put(session)
    events._queue.extend(bytes(bytearray(800)) for _ in range(EVENTS_BYTES // 900))


def memory() -> dict[str, float]:
    rows = dict(row.split(":", 1) for row in Path("/proc/self/status").read_text().splitlines())
    return {name: int(rows[name].split()[0]) / 1024 for name in ("VmRSS", "VmHWM")}


async def main() -> None:
    give_memory_back()
    keys = KeySet()
    keys.replace(parse_jwks(Issuer().jwks()).keys, 0.0)
    index = Index("nats.io/")
    facts = Facts(CLAIMS, (), keys, index, fresh_grants())

    async def never(*_: object) -> None:
        await asyncio.Event().wait()

    voice, observers = Voice(lambda *_: None, lambda: 1 << 20), Observers([], lambda: None, lambda: None)
    ports = Ports(voice, never, lambda _: False, observers, World(lambda: NOW, lambda: 1.0, bytes))
    ours = Keys(signers.config_mode("APP", [servers.ISSUER]))
    responder = Responder(facts, lambda: ours, ports, timeout_seconds=1.5)
    lookup = LiveLookup(ApiServer(_Nobody()), index, time.monotonic)
    output = Output(_Full())
    empty = memory()
    fill_index(index)
    for number in range(150):
        facts.grants.of("team-a", f"sa-{number}", index.entry("uid", annotations(number)).annotations)
    fill_tokens(facts)
    for number in range(100):
        lookup._keep(
            ("team-a", f"sa-{number}", f"uid-{number}"), index.entry(f"uid-{number}", annotations(number, WIDE))
        )
    labels = Namespaces([namespaces.TEAM, namespaces.STAGE])
    fill_labels(labels)
    fill_hosts(responder)
    fill_lanes(responder)
    fill_caches()
    fill_log(output)
    await decode_the_largest(index)
    gc.collect()
    full = memory()
    sessions, events = Table(), Events()
    fill_sessions(sessions, events)
    # What comes and goes: the longest page of a list that is read.
    page = longest_page()
    rows = [*read_page(page).rows]
    assert ANSWER_BYTES * 0.99 < 32_000 * len(rows) < len(page) < ANSWER_BYTES
    del page, rows
    gc.collect()
    counted = {
        "index": index._shares.weight,
        "ignored": len(index.ignored),
        "serviceaccounts": len(index),
        "labels": labels._weight,
        "grants": facts.grants.size,
        "tokens": facts.verified.weight,
        "look-ups": lookup._kept_bytes,
        "lanes": responder._room.used,
        "log": output._bytes,
        "hosts": len(responder._hosts),
        "known": len(sessions),
    }
    sys.stdout.write(json.dumps({"empty": empty, "full": full, "sessions": memory(), **counted}))


if __name__ == "__main__":
    asyncio.run(main())
