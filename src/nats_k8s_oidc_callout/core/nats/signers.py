"""Which account a client lands in and who signs for it: config mode and operator mode, told apart once.

The server's rules differ by mode (NATS_FACTS 2.3). Config mode: both JWTs by the `issuer` key, the account's
*name* in `aud`, never an `issuer_account`. Operator mode: the user JWT by the target account, the response by the
callout account, and whoever signs with a signing key names its account in `issuer_account`.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from nats_k8s_oidc_callout.core.nats.names import GLOBAL_ACCOUNT, SYSTEM_ACCOUNTS
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


class AccountSigner(NamedTuple):
    """An account of operator mode (`A…`), and its own key or one of its signing keys."""

    account: str
    key: SigningKey

    @property
    def signer(self) -> Signer:
        return Signer(self.key, self.account if self.key.public != self.account else "")


@dataclass(frozen=True, slots=True)
class Signers:
    """Who signs: the answer by the request, the user by the account that the client lands in."""

    answers: Mapping[str, Signer]
    """By the `sub` of a request, the key that must sign the answer. A `sub` that is not here is not ours."""
    users: Mapping[tuple[str, str], Signer]
    """By the same `sub` and the account, as the settings or a rule name it."""
    any_name: bool = False
    """Config mode: the issuer's key signs for every account that the server has."""
    callout_account: str = ""

    def user(self, sub: str, account: str) -> Signer | None:
        """Return who signs for a client of this account; None if nobody may."""
        signer = self.users.get((sub, account))
        if signer is None and self.any_name and not never_placed(account, self.callout_account):
            return Signer(self.answers[sub].key, audience=account)
        return signer


def never_placed(account: str, callout_account: str) -> str:
    """Return why no rule can place a client in an account of this name, or nothing. Case does not matter."""
    name = account.upper()
    if not name:
        return "it has no name"
    if name in SYSTEM_ACCOUNTS:
        return "it is the system account"
    if name == callout_account.upper():
        return "it is the callout account"
    return "only NATS_ACCOUNT can choose the global account" if name == GLOBAL_ACCOUNT else ""


def config_mode(account: str, keys: Sequence[SigningKey], callout_account: str = "") -> Signers:
    """Place clients in `account`, or another by name, signed by the key that the server's `issuer` names."""
    return Signers(
        {key.public: Signer(key) for key in keys},
        {(key.public, account): Signer(key, audience=account) for key in keys},
        any_name=True,
        callout_account=callout_account,
    )


def operator_mode(
    account: str,
    account_key: SigningKey,
    callout_account: str,
    callout_key: SigningKey,
    others: Mapping[str, AccountSigner] | None = None,
) -> Signers:
    """Place clients in `account` (`A…`) and in `others` by their names, answering for `callout_account` (`A…`)."""
    targets = {**(others or {}), account: AccountSigner(account, account_key)}
    return Signers(
        {callout_account: AccountSigner(callout_account, callout_key).signer},
        {(callout_account, name): target.signer for name, target in targets.items()},
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
