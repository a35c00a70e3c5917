"""Which account a client lands in and who signs for it: config mode and operator mode, told apart once.

The server's rules differ by mode (NATS_FACTS 2.3). Config mode: both JWTs by the `issuer` key, the account's
*name* in `aud`, never an `issuer_account`. Operator mode: the user JWT by the target account, the response by the
callout account, and whoever signs with a signing key names its account in `issuer_account`.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from nats_k8s_oidc_callout.core.nats.nkeys import SigningKey


class Origin(StrEnum):
    """Whose key signs an answer: a closed set, since it labels a metric."""

    SEPARATE = "separate"
    """A key that does nothing else."""
    LOGIN = "login"
    """The seed of our login to NATS, there being no other: whoever holds the login can sign, too."""
    LOGIN_INSTEAD = "login_instead"
    """The same, although another key is configured: the separation is not done."""
    ACCOUNT = "account"
    """Operator mode: an account's own key, which cannot be taken back like one of its signing keys."""


@dataclass(frozen=True, slots=True)
class Signers:
    """How one answer is signed. An empty string leaves its claim out."""

    user_key: SigningKey
    user_audience: str
    user_issuer_account: str
    response_key: SigningKey
    response_issuer_account: str


Placement = Mapping[str, Signers]
"""By the `sub` of a request, the key that must sign the answer. A `sub` that is not here is not ours."""


def config_mode(account: str, keys: Sequence[SigningKey]) -> Placement:
    """Place clients in the account of this name, signed by the key that the server's `issuer` names."""
    return {key.public: Signers(key, account, "", key, "") for key in keys}


def operator_mode(account: str, account_key: SigningKey, callout_account: str, callout_key: SigningKey) -> Placement:
    """Place clients in `account` (`A…`), answering for `callout_account` (`A…`)."""
    return {
        callout_account: Signers(
            account_key,
            "",
            account if account_key.public != account else "",
            callout_key,
            callout_account if callout_key.public != callout_account else "",
        )
    }


def origin(signers: Signers, login: Collection[str], accounts: Collection[str], *, configured: bool) -> Origin:
    """Return the worst origin of the keys that sign an answer.

    `login` has the public keys of our logins in account form, `accounts` the accounts' own; `configured` says that a key
    other than the login's was meant to sign.
    """
    keys = (signers.user_key.public, signers.response_key.public)
    if any(key in login for key in keys):
        return Origin.LOGIN_INSTEAD if configured else Origin.LOGIN
    return Origin.ACCOUNT if any(key in accounts for key in keys) else Origin.SEPARATE
