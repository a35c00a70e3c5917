"""What an examination finds: one line a check, and for each failure its cause, in a closed set of words, and a fix."""

# ruff: noqa: ISC004  # a fix may be longer than a line

from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, Self


class Cause(StrEnum):
    """Why a deployment does not work, and the fix. Scripts compare the words, so none is ever renamed."""

    fix: str
    """What stands in braces differs from case to case: `failed` gets it."""

    def __new__(cls, word: str, fix: str) -> Self:
        cause = str.__new__(cls, word)
        cause._value_ = word
        cause.fix = fix
        return cause

    CONFIGURATION = "configuration", "docs/CONFIGURATION.md has every variable"
    WRONG_KEY_KIND = (
        "wrong_key_kind",
        "that variable wants another kind of key: U… logs in, A… signs, X… seals; `keys` shows which is which",
    )

    NATS_UNREACHABLE = "nats_unreachable", "is NATS_URL right, and does a NetworkPolicy allow it?"
    NATS_TLS_CA_WRONG = (
        "nats_tls_ca_wrong",
        "NATS_TLS_CA_FILE must hold the authority that signed the server's certificate, and the name in NATS_URL must be "
        "in that certificate",
    )
    NATS_TLS_REFUSED = (
        "nats_tls_refused",
        "compare the tls block of the server with NATS_TLS_CA_FILE, NATS_TLS_CERT_FILE and the scheme of NATS_URL",
    )
    LOGIN_REFUSED = (
        "login_refused",
        "the server decided at once: compare NATS_CREDS_FILE, NATS_TOKEN or the user in NATS_URL with its users; creds may "
        "be expired, revoked or of another operator",
    )
    MODE_WRONG = "mode_wrong", "NATS_ACCOUNT must be {account}"
    AUTH_ACCOUNT_WRONG = "auth_account_wrong", "NATS_AUTH_ACCOUNT={account}"
    TARGET_IS_CALLOUT_ACCOUNT = (
        "target_is_callout_account",
        "clients need an account of their own: set NATS_ACCOUNT to it",
    )
    AUTH_USERS_WITHOUT_US = (
        "auth_users_without_us",
        "auth_users of the callout must name {user}, and the callout account must have that user",
    )
    LOGIN_UNKNOWN = "login_unknown", AUTH_USERS_WITHOUT_US[1]
    PERMISSIONS_REVERSED = (
        "permissions_reversed",
        "subscribe: [{requests}, {complaints}], and allow_responses instead of publish: the command `keys` prints the "
        "user's permissions",
    )
    SUBSCRIPTION_REFUSED = (
        "subscription_refused",
        "let our user subscribe {requests}: the command `keys` prints the user's permissions",
    )
    ANSWERS_NOT_LET_THROUGH = (
        "answers_not_let_through",
        "the responder's user needs allow_responses, or to publish $SYS._INBOX.>: the command `keys` prints it",
    )
    TIMEOUT_OVER_2S = "timeout_over_2s", "authorization {{ timeout: 1.5 }} in the servers' configuration"
    TIMEOUT_SHORTER_THAN_OURS = "timeout_shorter_than_ours", "NATS_AUTH_TIMEOUT_SECONDS={timeout:.1f}"

    CALLOUT_NOT_ENABLED = (
        "callout_not_enabled",
        "give the server an auth_callout block and restart it: the command `keys` prints one",
    )
    CALLOUT_ACCOUNT_UNKNOWN = "callout_account_unknown", CALLOUT_NOT_ENABLED[1]
    CALLOUT_ACCOUNT_MISSPELT = (
        "callout_account_misspelt",
        "`account` in the server's auth_callout block must be the one our user is in",
    )
    SERVER_ISSUER_WRONG = "server_issuer_wrong", "compare `issuer` in the server's file with what `keys` prints"
    LOGIN_STILL_SIGNS = (
        "login_still_signs",
        "set both NATS_SIGNING_KEY_FILE and NATS_ACCOUNT_SIGNING_KEY_FILE to a key that is not the login's, then nsc edit "
        "account --name … --rm-sk <the login's key, in account form>, then push",
    )
    DERIVED_KEY_NOT_IN_ACCOUNT = (
        "derived_key_not_in_account",
        "nsc edit account --name <the {which} account> --sk <A… as `keys` prints it>, then push; or set {variable} to a "
        "key that is there",
    )
    SIGNING_KEY_OF_ANOTHER_ACCOUNT = (
        "signing_key_of_another_account",
        "{variable} must hold a signing key of the {which} account; or nsc edit account --name <the {which} account> --sk "
        "<A… as `keys` prints it>, then push",
    )
    SCOPED_SIGNING_KEY = (
        "scoped_signing_key",
        "NATS_ACCOUNT_SIGNING_KEY_FILE must be a plain signing key: a scoped one forbids permissions of our own",
    )
    TARGET_ACCOUNT_UNKNOWN = "target_account_unknown", "NATS_ACCOUNT must be an account that the servers have"
    TARGET_NOT_ALLOWED = (
        "target_not_allowed",
        "nsc edit authcallout --account … --allowed-account {account}, then push",
    )
    XKEY_AT_SERVER_ONLY = (
        "xkey_at_server_only",
        "set NATS_XKEY_FILE to the seed that belongs to the server's xkey, or take xkey out of its configuration",
    )
    XKEY_AT_RESPONDER_ONLY = (
        "xkey_at_responder_only",
        "put our public xkey into the server's configuration, or set NATS_XKEY_MODE=optional until it is there",
    )
    XKEY_OF_ANOTHER = (
        "xkey_of_another",
        "compare xkey in the server's configuration with what `keys --xkey-file` prints",
    )
    SENTINEL_MISSING = (
        "sentinel_missing",
        "set default_sentinel in the servers' configuration, or NATS_SENTINEL_CREDS_FILE here and give clients the same "
        "file",
    )
    SENTINEL_REFUSED = ("sentinel_refused", "is it of this operator's callout account, not revoked, not expired?")
    SENTINEL_NOT_BEARER = (
        "sentinel_not_bearer",
        "nsc edit user --account <the callout account> --name sentinel --bearer",
    )
    SENTINEL_NOT_DENIED_EVERYTHING = (
        "sentinel_not_denied_everything",
        "nsc edit user --account <the callout account> --name sentinel --deny-pubsub '>'",
    )
    SENTINEL_OF_ANOTHER_ACCOUNT = (
        "sentinel_of_another_account",
        "nsc add user --account <the callout account> --name sentinel --deny-pubsub '>'",
    )

    JWKS_UNREACHABLE = "jwks_unreachable", "is JWKS_URL right, and does a NetworkPolicy allow it?"
    JWKS_CA_UNKNOWN = (
        "jwks_ca_unknown",
        "JWKS_CA_FILE must hold the authority that signed its certificate; for the API server that is ca.crt of "
        "K8S_CREDENTIALS_DIR",
    )
    JWKS_FORBIDDEN = (
        "jwks_forbidden",
        "bind the ClusterRole system:service-account-issuer-discovery to our ServiceAccount",
    )
    JWKS_UNUSABLE = "jwks_unusable", "JWKS_URL must give the issuer's key set: what answers there?"
    ISSUER_WRONG = "issuer_wrong", "JWT_ISSUER={issuer}"
    AUDIENCE_WRONG = "audience_wrong", "project it with audience: {audience}, as clients must do with theirs"
    TOKEN_UNREADABLE = "token_unreadable", "mount a projected token there, with our audience"
    TOKEN_REFUSED = "token_refused", "docs/REFERENCE.md says what to do about {reason}"
    API_UNREACHABLE = (
        "api_unreachable",
        "KUBERNETES_SERVICE_HOST, or the kubeconfig, must lead to the API server, and ca.crt must be its own",
    )
    RBAC_LIST_MISSING = (
        "rbac_list_missing",
        "grant list on {resource}: check the (Cluster)Role and its binding to our ServiceAccount",
    )
    RBAC_WATCH_MISSING = "rbac_watch_missing", RBAC_LIST_MISSING[1].replace("list", "watch", 1)
    RBAC_GET_MISSING = "rbac_get_missing", RBAC_LIST_MISSING[1].replace("list", "get", 1)
    CLOCK_OFF = "clock_off", "synchronise the clocks (NTP) of this node, the API server and NATS"

    SESSIONS_UNREACHABLE = (
        "sessions_unreachable",
        "compare NATS_SYSTEM_CREDS_FILE, or our user's permissions, with what `keys --sessions` prints (docs/SESSIONS.md)",
    )
    SESSIONS_NOT_ANSWERED = "sessions_not_answered", "let that user subscribe _INBOX_sess.>"
    SESSIONS_NOT_LISTED = "sessions_not_listed", "`keys --sessions` prints what is missing (docs/SESSIONS.md)"
    SESSIONS_NOT_ENDED = "sessions_not_ended", SESSIONS_NOT_LISTED[1]
    SESSIONS_NOT_HEARD = "sessions_not_heard", SESSIONS_NOT_LISTED[1]
    SESSIONS_NOT_TOLD = (
        "sessions_not_told",
        "let our own user publish and subscribe {prefix}.control, and subscribe _INBOX_sess.>",
    )

    RESPONDER_NOT_READY = "responder_not_ready", "the other lines here say why; else see its log"
    NO_RESPONDER = "no_responder", "is a responder running and ready? Its /readyz?verbose says what it lacks"
    TWO_RELEASES = (
        "two_releases",
        "one callout account has one release, unless each is scoped (K8S_NAMESPACES): stop the other one",
    )
    ANSWER_REJECTED = "answer_rejected", "the server's log has the same words; see docs/REFERENCE.md"
    REFUSED = "refused", "its log has the line `denied` with the reason"


# What another failure explains: told on their own only.
FOLLOWING = frozenset((Cause.RESPONDER_NOT_READY, Cause.NO_RESPONDER, Cause.REFUSED, Cause.TOKEN_REFUSED))


class Status(StrEnum):
    """How a check came out."""

    OK = "ok"
    FAIL = "FAIL"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Finding:
    """One check's outcome. Several causes are such as nothing tells apart from here."""

    check: str
    status: Status
    detail: str = ""
    causes: tuple[Cause, ...] = ()
    fix: str = ""
    notes: tuple[str, ...] = ()
    """What works and should be known."""


def ok(check: str, detail: str = "", notes: tuple[str, ...] = ()) -> Finding:
    return Finding(check, Status.OK, detail, notes=notes)


def failed(check: str, detail: str, *causes: Cause, fix: str = "", **words: object) -> Finding:
    """Return a failure with the fix of its first cause, unless this case has one of its own."""
    return Finding(check, Status.FAIL, detail, causes, fix or causes[0].fix.format(**words))


def skipped(check: str, why: str) -> Finding:
    return Finding(check, Status.SKIPPED, why)


@dataclass(slots=True)
class Report:
    """All findings, in the order in which things break."""

    findings: list[Finding] = field(default_factory=list)

    def add(self, *findings: Finding) -> None:
        self.findings += findings

    @property
    def ok(self) -> bool:
        return all(finding.status is not Status.FAIL for finding in self.findings)

    @property
    def causes(self) -> list[Cause]:
        """Every cause once; those that only follow from another one are left out beside it."""
        every = list(dict.fromkeys(cause for finding in self.findings for cause in finding.causes))
        return [cause for cause in every if cause not in FOLLOWING] or every

    def failed(self, *checks: str) -> bool:
        """Say whether one of these checks failed, or was never made."""
        return any(finding.check in checks and finding.status is not Status.OK for finding in self.findings)

    def as_json(self) -> dict[str, Any]:
        return {"ok": self.ok, "causes": self.causes, "checks": [asdict(finding) for finding in self.findings]}
