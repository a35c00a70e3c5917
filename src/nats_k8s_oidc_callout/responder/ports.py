"""What the responder needs of others, as plain callables, and the keys of ours that it is handed."""

from collections.abc import Awaitable, Callable, Container, Sequence
from dataclasses import dataclass

from nats_k8s_oidc_callout.core.decide import Answer
from nats_k8s_oidc_callout.core.model import Judgement, Need, Request, Verdict
from nats_k8s_oidc_callout.core.nats.signers import Signers
from nats_k8s_oidc_callout.core.nats.xkey import CurveKey


@dataclass(frozen=True, slots=True)
class Keys:
    """Who signs and what opens, at one moment. A request keeps those it began with."""

    signers: Signers | None
    """None is a shadow: it reads every question, whoever is asked, and answers none."""
    xkeys: tuple[CurveKey, ...] = ()
    clear_allowed: bool = True

    @property
    def subjects(self) -> Container[str]:
        """Whose answers are asked for in questions that we read."""
        return _ANYBODY if self.signers is None else self.signers.answers


class _Anybody:
    def __contains__(self, _: object) -> bool:
        return True


_ANYBODY = _Anybody()


@dataclass(frozen=True, slots=True)
class Voice:
    """The connection that answers leave by."""

    send: Callable[[Sequence[tuple[str, bytes]]], None]
    """Publish answers, each to its reply subject; never waits, never raises for a lost connection."""
    max_payload: Callable[[], int]


@dataclass(frozen=True, slots=True)
class Observers:
    """Who is told what happens. None of them decides anything."""

    outcomes: Sequence[Callable[[Verdict, Request | None, float], None]]
    """Told of each verdict, its request if it could be read, and how many seconds it took."""
    cache_hit: Callable[[], None]
    slowed: Callable[[], None]
    """A request was put into the slow lane."""
    trace: Callable[[Request, Judgement], None] | None = None
    """Told of each judgement at debug level; None otherwise, since even a line that is not written costs time."""


@dataclass(frozen=True, slots=True)
class World:
    """Time and chance."""

    clock: Callable[[], float]
    monotonic: Callable[[], float]
    nonce: Callable[[int], bytes]


@dataclass(frozen=True, slots=True)
class Ports:
    """All that the responder needs of others."""

    voice: Voice
    fetch: Callable[[Need, float], Awaitable[Answer]]
    """Fetch what a decision needs, for at most so many seconds; raises Unreachable."""
    may_come: Callable[[Need], bool]
    """Whether fetching now can bring anything: in a flood of unknown keys it mostly cannot."""
    observers: Observers
    world: World
