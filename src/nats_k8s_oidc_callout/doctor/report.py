"""What an examination finds: one line a check, and for each failure its cause, in a closed set of words, and a fix."""

from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any


class Cause(StrEnum):
    """Why a deployment does not work. Scripts compare these words, so none is ever renamed."""

    CONFIGURATION = "configuration"
    WRONG_KEY_KIND = "wrong_key_kind"

    NATS_UNREACHABLE = "nats_unreachable"
    NATS_TLS_CA_WRONG = "nats_tls_ca_wrong"
    NATS_TLS_REFUSED = "nats_tls_refused"
    LOGIN_REFUSED = "login_refused"
    LOGIN_UNKNOWN = "login_unknown"
    MODE_WRONG = "mode_wrong"
    AUTH_ACCOUNT_WRONG = "auth_account_wrong"
    TARGET_IS_CALLOUT_ACCOUNT = "target_is_callout_account"
    AUTH_USERS_WITHOUT_US = "auth_users_without_us"
    PERMISSIONS_REVERSED = "permissions_reversed"
    SUBSCRIPTION_REFUSED = "subscription_refused"
    ANSWERS_NOT_LET_THROUGH = "answers_not_let_through"
    TIMEOUT_OVER_2S = "timeout_over_2s"
    TIMEOUT_SHORTER_THAN_OURS = "timeout_shorter_than_ours"

    CALLOUT_NOT_ENABLED = "callout_not_enabled"
    CALLOUT_ACCOUNT_UNKNOWN = "callout_account_unknown"
    CALLOUT_ACCOUNT_MISSPELT = "callout_account_misspelt"
    SERVER_ISSUER_WRONG = "server_issuer_wrong"
    LOGIN_STILL_SIGNS = "login_still_signs"
    DERIVED_KEY_NOT_IN_ACCOUNT = "derived_key_not_in_account"
    SIGNING_KEY_OF_ANOTHER_ACCOUNT = "signing_key_of_another_account"
    SCOPED_SIGNING_KEY = "scoped_signing_key"
    TARGET_ACCOUNT_UNKNOWN = "target_account_unknown"
    TARGET_NOT_ALLOWED = "target_not_allowed"
    XKEY_AT_SERVER_ONLY = "xkey_at_server_only"
    XKEY_AT_RESPONDER_ONLY = "xkey_at_responder_only"
    XKEY_OF_ANOTHER = "xkey_of_another"
    SENTINEL_MISSING = "sentinel_missing"
    SENTINEL_REFUSED = "sentinel_refused"
    SENTINEL_NOT_BEARER = "sentinel_not_bearer"
    SENTINEL_NOT_DENIED_EVERYTHING = "sentinel_not_denied_everything"
    SENTINEL_OF_ANOTHER_ACCOUNT = "sentinel_of_another_account"

    JWKS_UNREACHABLE = "jwks_unreachable"
    JWKS_CA_UNKNOWN = "jwks_ca_unknown"
    JWKS_FORBIDDEN = "jwks_forbidden"
    JWKS_UNUSABLE = "jwks_unusable"
    ISSUER_WRONG = "issuer_wrong"
    AUDIENCE_WRONG = "audience_wrong"
    TOKEN_UNREADABLE = "token_unreadable"
    TOKEN_REFUSED = "token_refused"
    API_UNREACHABLE = "api_unreachable"
    RBAC_LIST_MISSING = "rbac_list_missing"
    RBAC_WATCH_MISSING = "rbac_watch_missing"
    RBAC_GET_MISSING = "rbac_get_missing"
    CLOCK_OFF = "clock_off"

    RESPONDER_NOT_READY = "responder_not_ready"
    NO_RESPONDER = "no_responder"
    TWO_RELEASES = "two_releases"
    ANSWER_REJECTED = "answer_rejected"
    REFUSED = "refused"


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


def failed(check: str, detail: str, *causes: Cause, fix: str) -> Finding:
    return Finding(check, Status.FAIL, detail, causes, fix)


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
        found = list(dict.fromkeys(cause for finding in self.findings for cause in finding.causes))
        return [cause for cause in found if cause not in FOLLOWING] or found

    def failed(self, *checks: str) -> bool:
        """Say whether one of these checks failed, or was never made."""
        return any(finding.check in checks and finding.status is not Status.OK for finding in self.findings)

    def as_json(self) -> dict[str, Any]:
        return {"ok": self.ok, "causes": self.causes, "checks": [asdict(finding) for finding in self.findings]}
