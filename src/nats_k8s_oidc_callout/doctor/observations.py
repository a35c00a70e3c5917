"""What an examination saw of NATS, before anybody says what it means."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from nats_k8s_oidc_callout.adapters.nats import Landing, Refused
from nats_k8s_oidc_callout.core.nats.signers import Origin
from nats_k8s_oidc_callout.errors import Unreachable


@dataclass(frozen=True, slots=True)
class Setup:
    """What we know of ourselves, of the server before any login, and of the responder beside us."""

    operator: bool
    account: str
    """NATS_ACCOUNT."""
    lands_in: str
    """The account of our own ServiceAccount as the servers call it; empty when that is not known."""
    callout_account: str | None
    """NATS_AUTH_ACCOUNT."""
    user: str
    """How our login is called in the server's file."""
    signers: Collection[str]
    """Public keys: a server that requires another one cannot be answered."""
    origins: Mapping[str, Origin]
    """Whose key signs the answer to a request that names this one."""
    has_xkey: bool
    clear_allowed: bool
    derived: bool
    """The login's seed signs, in account form."""
    target_derived: bool
    sentinel: bool
    """We present one of our own."""
    auth_required: bool
    timeout: float | None
    """The server's, in seconds, as far as it is known."""
    responder: bool
    """A responder runs on this host."""
    counted: Mapping[str, float] = field(default_factory=dict)
    """By how much the counters of that responder grew during the trial."""


@dataclass(frozen=True, slots=True)
class Admission:
    """Our own login, as the responder."""

    account: str = ""
    """Where it landed, if the server tells."""
    error: Unreachable | None = None
    """Why it was not accepted."""
    other_mode: str | None = None
    """The account in which the same creds land as a login of the other mode, when the servers accept only that."""


@dataclass(frozen=True, slots=True)
class Rights:
    """What our user was seen to be allowed; None is not known. A refusal is an error in the server's log: no repeats."""

    group: bool = False
    """To subscribe to requests in the queue group."""
    requests: bool | None = None
    """The same outside the queue group."""
    complaints: bool | None = None
    inbox: bool = False
    other_mode: bool = False
    """The same creds may subscribe in the queue group as a login of the other mode."""
    error: Unreachable | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """The server's question about our login."""

    wants: str
    """The key that must sign the answer: `issuer` of the server's file, or the callout account."""
    sealed: bool
    ahead: float
    """By how many seconds the server's clock is ahead of ours, within a second."""


@dataclass(slots=True)
class Trial:
    """What one login as a client showed."""

    landing: Landing | None = None
    refusal: Refused | None = None
    trouble: str = ""
    """Why the server could not be asked at all, or nothing."""
    listened: bool = False
    """We would have seen the server's question."""
    heard: bool = False
    """We would have heard the server's complaint about an answer."""
    question: Question | None = None
    unopened: int = 0
    """Sealed requests that our keys do not open."""
    complaints: list[str] = field(default_factory=list)
    """The server's words about this login; empty text is a time-out."""
