"""What the responder asks of the world, as plain callables, and the keys of ours that it is handed."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from nats_k8s_oidc_callout.core.kubernetes.serviceaccounts import ServiceAccount
from nats_k8s_oidc_callout.core.model import Need, Request, Verdict, Workload
from nats_k8s_oidc_callout.core.nats.signers import Signers
from nats_k8s_oidc_callout.core.nats.xkey import CurveKey


@dataclass(frozen=True, slots=True)
class Keys:
    """Who signs and what opens, at one moment. A request keeps those it began with."""

    signers: Signers
    xkeys: tuple[CurveKey, ...] = ()
    clear_allowed: bool = True


@dataclass(frozen=True, slots=True)
class Ports:
    """What the responder asks of the world, as plain callables."""

    send: Callable[[str, bytes], None]
    """Publish an answer to a reply subject; never waits, never raises for a lost connection."""
    max_payload: Callable[[], int]
    refresh_keys: Callable[[float], Awaitable[None]]
    """Ask the issuer for its keys, for at most so many seconds; returns at once within the cool-down."""
    keys_may_come: Callable[[], bool]
    """Whether asking now can bring a key at all: in a flood of unknown keys it mostly cannot."""
    look_up: Callable[[Workload, float], Awaitable[ServiceAccount | None]]
    """Ask the cluster for one ServiceAccount, for at most so many seconds; raises Unreachable."""
    record: Callable[[Verdict, Request | None, float], None]
    cache_hit: Callable[[], None]
    cache_miss: Callable[[], None]
    slowed: Callable[[], None]
    """A request was put into the slow lane."""
    clock: Callable[[], float]
    monotonic: Callable[[], float]
    nonce: Callable[[int], bytes]
    trace: Callable[[Request, Verdict | Need], None] | None = None
    """Told of each judgement at debug level; None otherwise, since even a line that is not written costs time."""
