"""What one token, grant, ServiceAccount and live session cost in bytes, and what our bounds count for each."""

import gc
import json
import tracemalloc
from collections.abc import Callable
from typing import TypeVar

from bench.serviceaccounts import pages
from bench.sessions import event
from nats_k8s_oidc_callout.core.grants.entries import weight_of
from nats_k8s_oidc_callout.core.grants.grants import Grants
from nats_k8s_oidc_callout.core.identity.issuers import Proved
from nats_k8s_oidc_callout.core.identity.tokens import Unverified
from nats_k8s_oidc_callout.core.identity.verified import VerifiedTokens
from nats_k8s_oidc_callout.core.kubernetes.serviceaccounts import ENTRY_BYTES, Index
from nats_k8s_oidc_callout.core.model import Workload
from nats_k8s_oidc_callout.core.nats.connz import Row, read_event
from nats_k8s_oidc_callout.core.sessions.table import SESSIONS_MAX, Table, session_of
from tests.fakes.rules import fresh_grants

T = TypeVar("T")
COUNT = 10_000
_NOW = 1_800_000_000


def costs() -> dict[str, dict[str, float]]:
    """Return the bytes of one of each, and what is counted for it; 0 where there is a bound in number only."""
    return {
        "token": _each(VerifiedTokens, _tokens),
        "grant": _each(fresh_grants, _grants),
        "ServiceAccount": _each(lambda: Index("nats.io/"), _accounts),
        "session": _each(Table, _sessions),
    }


def _each(empty: Callable[[], T], fill: Callable[[T], float]) -> dict[str, float]:
    """Fill a store twice: once for what is made only once, then to measure."""
    fill(empty())
    gc.collect()
    tracemalloc.start()
    store = empty()
    counted = fill(store)
    gc.collect()
    traced, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return {"bytes": round(traced / COUNT), "counted": round(counted / COUNT)}


def _text(value: object) -> str:
    """Return a text of its own, as one has that came over the wire."""
    return str(json.loads(json.dumps(value)))


def _tokens(store: VerifiedTokens) -> float:
    for number in range(COUNT):
        pod, uid = f"worker-{number % 200}-7d9c5b5c8d-abcde", f"1f0e6c1e-8b0d-4a52-9d6b-{number % 200:012}"
        texts = (f"team-{number % 20:02}", f"worker-{number % 200:03}", uid, pod, f"{number:036}")
        issued = _NOW + number
        proved = Proved(Workload(*map(_text, texts)), issued + 3600, issued, None, (), "kid", issued)
        store.keep(Unverified("kid", "RS256", f"token {number}"), 1, proved)
    assert len(store) == COUNT
    return store.weight


def _grants(store: Grants) -> float:
    for number in range(COUNT):
        store.of(_text(f"team-{number % 200}"), _text(f"worker-{number}"), None)
    assert len(store._kept) == COUNT
    return store.size


def _accounts(store: Index) -> float:
    new = store.begin()
    for page in pages(COUNT):
        new.page(page)
    new.commit()
    weights = (weight_of(one.annotations) for name in store.names() if (one := store.find(*name)))
    return ENTRY_BYTES * len(store) + sum(weights)


def _sessions(store: Table) -> float:
    for number in range(COUNT):
        row = read_event(event(number, "connect"))
        session = session_of(row, _NOW) if isinstance(row, Row) else None
        assert session is not None
        store.put(session)
    assert len(store) == COUNT <= SESSIONS_MAX
    return 0.0
