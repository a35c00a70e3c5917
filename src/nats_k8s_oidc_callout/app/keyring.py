"""What we sign, open and log in with: read from files at the start, and again whenever one of them changes."""

import ssl
from collections.abc import Mapping

import structlog

from nats_k8s_oidc_callout.adapters.files import Watch
from nats_k8s_oidc_callout.adapters.nats import CredsLogin, Login, NkeyLogin, NoLogin, PasswordLogin, TokenLogin
from nats_k8s_oidc_callout.app.accounts import TargetAccounts
from nats_k8s_oidc_callout.app.tls import TlsFiles
from nats_k8s_oidc_callout.core.nats.natsjwt import Creds
from nats_k8s_oidc_callout.core.nats.nkeys import Kind, SigningKey
from nats_k8s_oidc_callout.core.nats.signers import Origin, Signers, config_mode, operator_mode, origins
from nats_k8s_oidc_callout.core.nats.xkey import CurveKey
from nats_k8s_oidc_callout.errors import BadKey
from nats_k8s_oidc_callout.responder import Keys
from nats_k8s_oidc_callout.settings import Mode, Settings, XkeyMode, read_creds, read_signing_keys, read_xkeys

log = structlog.get_logger("keys")


class Keyring:
    """The current keys. A change replaces `keys` whole: a request in flight keeps those it began with."""

    def __init__(self, settings: Settings, watch: Watch) -> None:
        """`watch` reads a file now (raising what is wrong with it) and again as it changes."""
        self._settings = settings
        self._creds: Creds | None = None
        self._system: Creds | None = None
        self._signing: tuple[SigningKey, ...] = ()
        self._account_signing: tuple[SigningKey, ...] = ()
        self._xkeys: tuple[CurveKey, ...] = ()
        self._derived: tuple[SigningKey, ...] = ()
        self._tls = TlsFiles(settings, watch)
        self.keys = Keys(Signers({}, {}))
        self.origins: Mapping[str, Origin] = {}
        """Whose key answers a request, by its `sub`; those of keys that are gone stay, for requests under way."""
        self._watch_files(watch)
        self.accounts = TargetAccounts(settings, lambda: self._changed("NATS_ACCOUNTS_DIR"))
        """Where clients can be placed, and who signs for them there."""
        self._put_together()

    @property
    def loaded(self) -> bool:
        """There is somebody to sign, or nobody need (SHADOW)."""
        return self.keys.signers is None or bool(self.keys.signers.answers)

    def login(self) -> Login:
        """Return how to log in to NATS now."""
        settings = self._settings
        if self._creds is not None:
            return _by_creds(self._creds, settings.mode)
        user, password = settings.nats_url.user, settings.nats_url.password
        if user is not None:
            return PasswordLogin(user.reveal(), password.reveal() if password else "")
        if settings.nats_token is not None:
            return TokenLogin(settings.nats_token.reveal())
        return NoLogin()

    def system_login(self) -> Login | None:
        """Return how to log in to the system account now; None where imports do instead."""
        return None if self._system is None else _by_creds(self._system, self._settings.mode)

    def login_of_other_mode(self) -> Login | None:
        """Return the same creds as a login of the mode that NATS_ACCOUNT did not choose; None without a whole file."""
        if self._creds is None or not self._creds.jwt:
            return None
        return _by_creds(self._creds, Mode.CONFIG if self._settings.mode is Mode.OPERATOR else Mode.OPERATOR)

    def doubt(self) -> str:
        """Return what may be behind a login that is refused: creds of operator mode under settings of config mode."""
        if self._settings.mode is Mode.OPERATOR or self._creds is None or not self._creds.jwt:
            return ""
        return (
            "NATS_ACCOUNT is a name (config mode), so the nkey of NATS_CREDS_FILE logs in without the file's JWT, which "
            f"is of account {self._creds.account[:56]}: if the servers are in operator mode, NATS_ACCOUNT must be the "
            "public key (A…) of the account that clients land in"
        )

    def tls(self) -> ssl.SSLContext | None:
        """Return the TLS context for NATS; None takes the system's."""
        return self._tls.context

    def file_errors(self) -> dict[str, float]:
        """Return 1 for what is not used although each file of it can be read."""
        failing = {"tls": self._tls.failing, "accounts": self.accounts.failing}
        return {name: 1.0 for name, one in failing.items() if one}

    def expiries(self) -> dict[str, float | None]:
        """Return when each credential ends (Unix seconds), by the label of its metric; None is never."""
        logins = {"user": self._creds, "system": self._system}
        return {**{name: creds.expires_at if creds else None for name, creds in logins.items()}, **self._tls.expiries()}

    def public_keys(self) -> dict[str, list[str]]:
        """Return what an operator compares with the servers' configuration."""
        signers = self.keys.signers.answers if self.keys.signers is not None else ()
        return {"signers": list(signers), "xkeys": [key.public for key in self._xkeys]}

    def in_force(self) -> dict[str, list[str]]:
        """Return the public keys that decide who can sign and what opens here, to be compared between replicas.

        Without the former key of a login that was replaced: only replicas that have not been restarted since know it.
        """
        own = [self._creds.key.in_form(Kind.ACCOUNT)] if self._creds is not None else []
        signers = (*self._signing, *self._account_signing, *own)
        accounts = {"accounts": [self.accounts.digest]} if self.accounts.digest else {}
        return {"signers": [key.public for key in signers], "xkeys": [key.public for key in self._xkeys], **accounts}

    def _watch_files(self, watch: Watch) -> None:
        settings = self._settings
        if settings.nats_creds_file is not None:
            watch("creds", settings.nats_creds_file, self._read_login, self._take_creds)
        for system in (settings.nats_system_creds_file, settings.nats_system_nkey_file):
            if system is not None:
                watch("system", system, self._read_login, self._take_system)
        if settings.nats_signing_key_file is not None:
            watch("signing_key", settings.nats_signing_key_file, read_signing_keys, self._take_signing)
        if settings.nats_account_signing_key_file is not None:
            watch("signing_key", settings.nats_account_signing_key_file, read_signing_keys, self._take_account_signing)
        if settings.nats_xkey_file is not None:
            watch("xkey", settings.nats_xkey_file, read_xkeys, self._take_xkeys)

    def _read_login(self, data: bytes) -> Creds:
        creds = read_creds(data)
        if self._settings.mode is Mode.OPERATOR and not creds.jwt:
            raise BadKey("operator mode needs a whole creds file; this one holds a seed only")
        return creds

    def _take_creds(self, creds: Creds) -> None:
        self._creds = creds
        self._changed("NATS_CREDS_FILE")

    def _take_system(self, creds: Creds) -> None:
        # It signs nothing, and counts from the next connection on.
        self._system = creds

    def _take_signing(self, keys: tuple[SigningKey, ...]) -> None:
        self._signing = keys
        self._changed("NATS_SIGNING_KEY_FILE")

    def _take_account_signing(self, keys: tuple[SigningKey, ...]) -> None:
        self._account_signing = keys
        self._changed("NATS_ACCOUNT_SIGNING_KEY_FILE")

    def _take_xkeys(self, keys: tuple[CurveKey, ...]) -> None:
        self._xkeys = keys
        self._changed("NATS_XKEY_FILE")

    def _changed(self, variable: str) -> None:
        # At the start all files are read first.
        if self.loaded:
            self._put_together()
            log.info("nats keys reloaded", setting=variable, **self.public_keys())

    def _put_together(self) -> None:
        clear_allowed = not self._xkeys or self._settings.nats_xkey_mode is XkeyMode.OPTIONAL
        signers = None if self._settings.shadow else self._signers()
        self.keys = Keys(signers, self._xkeys, clear_allowed)
        if signers is not None:
            self.origins = {**self.origins, **self._origins(signers)}

    def _signers(self) -> Signers:
        settings = self._settings
        if settings.mode is Mode.CONFIG:
            # A server that was not restarted yet asks for the login's own key, and its clients must still get in.
            keys = (*self._signing, *self._derive())
            return config_mode(settings.nats_account, keys, settings.nats_auth_account)
        signing = self._signing or self._derive()
        account_signing = self._account_signing or self._derive()
        return operator_mode(
            settings.nats_account,
            account_signing[0],
            settings.nats_auth_account,
            signing[0],
            self.accounts.signers,
        )

    def _origins(self, signers: Signers) -> dict[str, Origin]:
        login = {key.public for key in self._derived}
        if self._creds is not None:
            login.add(self._creds.key.in_form(Kind.ACCOUNT).public)
        others = (other.account for other in self.accounts.signers.values())
        accounts = (self._settings.nats_account, self._settings.nats_auth_account, *others)
        configured = bool(self._signing or self._account_signing)
        return origins(signers, login, accounts, configured=configured)

    def _derive(self) -> tuple[SigningKey, ...]:
        """Return the login's seed as a signing key: creds alone run everything.

        The one before stays too: in config mode servers go on asking for it until they are restarted with the new one.
        """
        if self._creds is not None:
            key = self._creds.key.in_form(Kind.ACCOUNT)
            if key not in self._derived[:1]:
                self._derived = (key, *self._derived[:1])
        return self._derived


def _by_creds(creds: Creds, mode: Mode) -> Login:
    # Config mode ignores a JWT: there the nkey alone is the login.
    if mode is Mode.OPERATOR:
        return CredsLogin(creds.jwt, creds.key.sign)
    return NkeyLogin(creds.key.public, creds.key.sign)
