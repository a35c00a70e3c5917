"""Where a policy can place clients beside NATS_ACCOUNT, and in operator mode who signs for them there."""

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence

from nats_k8s_oidc_callout.adapters.keyfolder import FOLDER, KeyFolder
from nats_k8s_oidc_callout.app.sources import Loop
from nats_k8s_oidc_callout.core.grants.policy import Policy
from nats_k8s_oidc_callout.core.grants.rules import Labels
from nats_k8s_oidc_callout.core.grants.terms import Terms
from nats_k8s_oidc_callout.core.nats.names import GLOBAL_ACCOUNT
from nats_k8s_oidc_callout.core.nats.signers import AccountSigner, never_placed
from nats_k8s_oidc_callout.errors import BadKey
from nats_k8s_oidc_callout.settings import Mode, Settings, read_account_signer

_ACCOUNT = re.compile(r"A[A-Z2-7]{55}")


class TargetAccounts:
    """The accounts of NATS_ACCOUNTS_DIR by the names that a policy calls them, as the folder is now."""

    def __init__(self, settings: Settings, changed: Callable[[], None]) -> None:
        """Read the folder; `changed` is told of each change after that."""
        self._default, self._callout = settings.nats_account, settings.nats_auth_account
        self._any_name = settings.shadow or settings.mode is Mode.CONFIG
        self.own: Callable[[], str] = str
        """Says which account our own login is in, as far as a server has told: the callout account, by whatever name."""
        self._changed: Callable[[], None] = lambda: None
        self._folder: KeyFolder[AccountSigner] | None = None
        self.signers: Mapping[str, AccountSigner] = {}
        self._names: Mapping[str, str] = {}
        self.digest = ""
        """Of all names and public keys, to be compared between replicas; empty without any."""
        if settings.nats_accounts_dir is not None and not settings.shadow:
            self._folder = KeyFolder(settings.nats_accounts_dir, self._read, self._take)
            self._folder.read()
        self._changed = changed

    @property
    def loops(self) -> Sequence[Loop]:
        """What follows the folder."""
        return [("account keys", self._folder.run)] if self._folder is not None else []

    @property
    def failing(self) -> bool:
        """A file of the folder is bad, or the folder itself."""
        return self._folder is not None and bool(self._folder.failing)

    def placeable(self, account: str) -> str:
        """Return why no client can be placed in this account now, or nothing. Asked at each login: it reads no file."""
        if account == self._default or account in self.signers:
            return ""
        why = never_placed(account, self._callout) or never_placed(account, self.own())
        why = why or ("" if self._any_name else self._why_no_key(account))
        return f"account {account}: {why}" if why else ""

    def misplaced(self, own: str) -> str:
        """Return why nobody can be placed in NATS_ACCOUNT while our own login is in this account, or nothing.

        The settings refuse that where NATS_AUTH_ACCOUNT says so, and only warn of `$G` (settings.consistency).
        """
        if not own or own != self._default or own == GLOBAL_ACCOUNT:
            return ""
        return f"NATS_ACCOUNT={own} is the callout account, where every client could read the tokens of the others"

    def _why_no_key(self, account: str) -> str:
        if self._folder is None:
            return "NATS_ACCOUNTS_DIR is not set"
        failing = self._folder.failing
        return f"its key file {failing[account]}" if account in failing else failing.get(FOLDER, "it has no key file")

    def landing(self, account: str) -> str:
        """Return what the servers call this account: in operator mode its public key."""
        return self.signers[account].account if account in self.signers else account

    def lands_in(self, policy: Policy, namespace: str, name: str, labels: Labels | None) -> str:
        """Return where the servers must say that clients of a ServiceAccount are; empty while its labels are unknown.

        Whom no rule takes is not let in, but for our own self-test, which then lands in NATS_ACCOUNT.
        """
        terms = policy.terms_of(namespace, name, labels)
        if terms is None:
            return ""
        return self.landing(terms.account if isinstance(terms, Terms) else self._default)

    def named_in(self, text: str) -> list[str]:
        """Return what a policy calls the accounts whose public keys stand in a server's text."""
        return [self._names[key] for key in _ACCOUNT.findall(text) if key in self._names]

    def _read(self, name: str, data: bytes) -> AccountSigner:
        found = read_account_signer(data)
        if why := never_placed(name, self._callout):
            raise BadKey(f"is of no use, since {why}")
        if self._callout in (found.account, found.key.public):
            raise BadKey("holds the callout account's key: clients there could read the tokens of the others")
        return found

    def _take(self, signers: Mapping[str, AccountSigner]) -> None:
        self.signers = signers
        self._names = {signer.account: name for name, signer in signers.items()}
        lines = sorted(f"{name} {found.account} {found.key.public}\n" for name, found in signers.items())
        text = "".join(lines).encode(errors="surrogateescape")
        self.digest = hashlib.sha256(text).hexdigest() if text else ""
        self._changed()
