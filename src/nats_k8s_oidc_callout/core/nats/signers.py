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
class Signer:
    """How one JWT is signed. An empty text leaves its claim out."""

    key: SigningKey
    issuer_account: str = ""
    audience: str = ""


@dataclass(frozen=True, slots=True)
class Signers:
    """Who signs: the answer by the request, the user by the account that the client lands in."""

    answers: Mapping[str, Signer]
    """By the `sub` of a request, the key that must sign the answer. A `sub` that is not here is not ours."""
    users: Mapping[tuple[str, str], Signer]
    """By the same `sub` and the account."""


def config_mode(account: str, keys: Sequence[SigningKey]) -> Signers:
    """Place clients in the account of this name, signed by the key that the server's `issuer` names."""
    return Signers(
        {key.public: Signer(key) for key in keys},
        {(key.public, account): Signer(key, audience=account) for key in keys},
    )


def operator_mode(account: str, account_key: SigningKey, callout_account: str, callout_key: SigningKey) -> Signers:
    """Place clients in `account` (`A…`), answering for `callout_account` (`A…`)."""
    return Signers(
        {callout_account: Signer(callout_key, callout_account if callout_key.public != callout_account else "")},
        {(callout_account, account): Signer(account_key, account if account_key.public != account else "")},
    )


def origins(
    signers: Signers, login: Collection[str], accounts: Collection[str], *, configured: bool
) -> dict[str, Origin]:
    """Return the worst origin of the keys that sign an answer and its user, by the `sub` of the request.

    `login` has the public keys of our logins in account form, `accounts` the accounts' own; `configured` says that a key
    other than the login's was meant to sign.
    """
    found = {}
    for subject, answer in signers.answers.items():
        keys = {answer.key.public, *(user.key.public for (sub, _), user in signers.users.items() if sub == subject)}
        if keys & set(login):
            found[subject] = Origin.LOGIN_INSTEAD if configured else Origin.LOGIN
        else:
            found[subject] = Origin.ACCOUNT if keys & set(accounts) else Origin.SEPARATE
    return found
