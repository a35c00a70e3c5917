"""The nouns every room shares: who asks, who they turn out to be, and what we answer."""

from dataclasses import dataclass
from enum import StrEnum

import msgspec

# What is made at every login is a Struct: a frozen dataclass of twelve fields takes 2.5 µs to make, this 0.3.


class Reason(StrEnum):
    """Why a client is turned away. A closed set: users alert on these words, so none is ever renamed."""

    NO_TOKEN = "no_token"
    TOKEN_TOO_LARGE = "token_too_large"
    MALFORMED_TOKEN = "malformed_token"
    UNSUPPORTED_ALGORITHM = "unsupported_algorithm"
    UNKNOWN_KEY = "unknown_key"
    BAD_SIGNATURE = "bad_signature"
    WRONG_ISSUER = "wrong_issuer"
    WRONG_AUDIENCE = "wrong_audience"
    EXPIRED = "expired"
    NOT_YET_VALID = "not_yet_valid"
    LIFETIME_TOO_LONG = "lifetime_too_long"
    BAD_CLAIMS = "bad_claims"
    NOT_POD_BOUND = "not_pod_bound"
    UNKNOWN_SERVICE_ACCOUNT = "unknown_service_account"
    UID_MISMATCH = "uid_mismatch"
    NO_PERMISSIONS = "no_permissions"
    ANSWER_TOO_LARGE = "answer_too_large"
    INTERNAL = "internal"
    # With a policy file.
    REVOKED = "revoked"
    NO_RULE = "no_rule"
    REFUSED_BY_RULE = "refused_by_rule"
    BAD_CAPTURE = "bad_capture"
    CONNECTION_KIND = "connection_kind"
    SOURCE_NETWORK = "source_network"
    NO_ACCOUNT = "no_account"


class DropReason(StrEnum):
    """Why a message gets no answer at all. Closed, like Reason."""

    MALFORMED_REQUEST = "malformed_request"
    ENCRYPTION_MISMATCH = "encryption_mismatch"
    LATE = "late"
    SHED = "shed"
    OUT_OF_SCOPE = "out_of_scope"


class ConnectionKind(StrEnum):
    """How a client reaches the server, as the server says."""

    NATS = "nats"
    WEBSOCKET = "websocket"
    MQTT = "mqtt"
    LEAFNODE = "leafnode"


class Token:
    """A client's credential as it came in. It has no repr: only `reveal` gives the text."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    @classmethod
    def of(cls, text: str) -> "Token | None":
        """Return the credential as it came in; None when there is nothing, or nothing but white space."""
        return cls(text) if text and not text.isspace() else None

    def reveal(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return "Token(…)"


class Workload(msgspec.Struct, frozen=True, gc=False):
    """A verified ServiceAccount identity; `pod` is empty for a token that no pod holds."""

    namespace: str
    name: str
    uid: str
    pod: str = ""
    jti: str = ""

    @property
    def username(self) -> str:
        """The name Kubernetes gives this identity, and with which the one begins that NATS shows in connz and events."""
        return f"system:serviceaccount:{self.namespace}:{self.name}"

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


class Request(msgspec.Struct, frozen=True, gc=False):
    """One client's login as a NATS server asks us about it. Only `callout.open_request` makes one."""

    subject: str
    """The key the server expects to sign the answer (`sub`): our issuer, or the callout account."""
    server_id: str
    server_name: str
    server_xkey: str
    """The server's curve key when the request came sealed, else empty."""
    user_nkey: str
    token: Token | None
    client_host: str
    client_id: int
    client_name: str
    """Chosen by the client: for the log only, escaped there."""
    client_kind: ConnectionKind | None
    """None is one that we do not know."""
    expires_at: int


@dataclass(frozen=True, slots=True)
class Permissions:
    """What a session may do, as NATS counts it. An empty side means nothing, never everything."""

    publish: tuple[str, ...]
    subscribe: tuple[str, ...]
    replies_max: int
    """How many answers a received request allows; 0 turns the reply permission off."""
    replies_ttl_seconds: float
    deny_publish: tuple[str, ...] = ()
    """Beats what is allowed, but never the reply permission."""
    deny_subscribe: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Refusal:
    """An entry of an annotation that was left out, and why; or an annotation under our prefix that nobody reads."""

    annotation: str
    subject: str
    """Empty when it is about the annotation as a whole."""
    why: str


class Allow(msgspec.Struct, frozen=True, gc=False):
    """Let the client in as `workload` until `expires_at` (Unix seconds)."""

    workload: Workload
    account: str
    """Where the client lands."""
    grant: bytes
    """The permissions as the JSON object `nats` of a user JWT, made once by `user.encode`."""
    expires_at: int
    grant_digest: str = ""
    """What tells this grant from others in a log: `grants.digest_of`."""
    refused: tuple[Refusal, ...] = ()
    """Annotation entries that were left out; reported once, when the grant was made."""
    other_audiences: tuple[str, ...] = ()
    """Who else the token is good for, and could therefore replay it here."""
    kid: str = ""
    """The issuer's name of the key that has signed the token."""
    rule: str = ""
    """The rule of the policy file that let it in; empty without a file."""
    user: str = ""
    """The user's name on the wire, with a label; empty is the workload's own."""


@dataclass(frozen=True, slots=True)
class Deny:
    """Turn the client away. `detail` is for our log only; `workload` is set once the signature proved it."""

    reason: Reason
    detail: str = ""
    workload: Workload | None = None
    rule: str = ""
    """The rule of the policy file that turned it away, if one did."""


@dataclass(frozen=True, slots=True)
class Drop:
    """Say nothing: the message is not ours to answer, or it is too late to."""

    reason: DropReason
    detail: str = ""
    verified: bool = False
    """Whether a token proved a workload: then silence is a sibling release's turn, and no sign of a flood."""


@dataclass(frozen=True, slots=True)
class NeedKeys:
    """The token names a key we do not have; ask the issuer once, then decide again."""

    kid: str


@dataclass(frozen=True, slots=True)
class NeedServiceAccount:
    """The index does not know this ServiceAccount by this uid; look at the cluster once, then decide again."""

    workload: Workload

    def __str__(self) -> str:
        return str(self.workload)


@dataclass(frozen=True, slots=True)
class NeedNamespace:
    """A rule goes by the labels of this workload's namespace, which we do not know; ask the cluster, then decide again."""

    workload: Workload

    def __str__(self) -> str:
        return self.workload.namespace


@dataclass(frozen=True, slots=True)
class NeedTurn:
    """What this workload's annotations ask for is long work: decide again, with `Asked.in_turn`, when nobody waits."""

    workload: Workload


Verdict = Allow | Deny | Drop
Need = NeedKeys | NeedServiceAccount | NeedNamespace
"""What must be fetched before a login can be judged."""
Judgement = Verdict | Need | NeedTurn
