"""What may stand in one variable: text in, a checked value out. What variables must be to each other is consistency.

Each function raises ValueError with half a sentence that follows the variable's name. It never quotes what it read: a
variable may hold a secret, be it by mistake.
"""

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TypeVar
from urllib.parse import SplitResult, unquote, urlsplit

from nats_k8s_oidc_callout.core.identity.own_token import trust_for
from nats_k8s_oidc_callout.core.names import is_label, is_subdomain
from nats_k8s_oidc_callout.core.nats import nkeys
from nats_k8s_oidc_callout.core.nats.address import DEFAULT_PORT, Address
from nats_k8s_oidc_callout.core.nats.nkeys import Kind
from nats_k8s_oidc_callout.errors import BadKey

E = TypeVar("E", bound=StrEnum)

_BOOLEANS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
_WHOLE = re.compile(r"-?[0-9]{1,15}")
_DECIMAL = re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,9})?")
_SPACE_OR_CONTROL = re.compile(r"[\s\x00-\x1f\x7f]")
_SEED = re.compile(r"S[A-Z][A-Z2-7]{56}")
_ACCOUNT_SHAPE = re.compile(r"A[A-Z2-7]{55}")
_PUBLIC_SHAPE = re.compile(r"[A-Z][A-Z2-7]{55}")
# A seed, PEM, JWT or creds text where the path of a file is wanted: then the path itself is not to be shown.
_KEY_MATERIAL = re.compile(r"S[A-Z][A-Z2-7]{40}|-----BEGIN|eyJ[A-Za-z0-9_-]{10}|[\r\n\x00]")
_LONGEST_PATH = 4096
_ANNOTATION_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
_LONGEST_ANNOTATION = "allowed-pub-subjects"
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?")
_QUEUE = re.compile(r"[^\s.*>\x00-\x1f\x7f]+(\.[^\s.*>\x00-\x1f\x7f]+)*")
# A label takes 80, and 7 go to the digits behind it.
_RELEASE = re.compile(r"[a-z0-9-]{1,73}")
_TOKEN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_SCHEMES = ("nats", "tls")


class Secret:
    """A text that nothing shows unless it is asked to: no repr, no traceback, no copy of the settings as a dict."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return "Secret(**********)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._text == other._text

    def __hash__(self) -> int:
        return hash(self._text)


@dataclass(frozen=True, slots=True)
class NatsServers:
    """Where NATS is, at least one server, and what the user info says, percent-decoded. A user alone is a token."""

    servers: tuple[Address, ...]
    user: Secret | None = None
    password: Secret | None = None
    token: Secret | None = None

    def has_login(self) -> bool:
        return self.user is not None or self.token is not None


def text(value: str) -> str:
    """Return a value as it is. What is not UTF-8 cannot be logged, hashed or sent, and Python hides that (PEP 383)."""
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError("is not UTF-8") from None
    return value


def choice(members: type[E], **also: E) -> Callable[[str], E]:
    """Return a reader of one word of a closed set, in either case; `also` are further spellings."""

    def read(text: str) -> E:
        words = {member.value: member for member in members} | also
        found = words.get(text.strip().lower())
        if found is None:
            raise ValueError(f"must be one of {', '.join(member.value for member in members)}")
        return found

    return read


def boolean(text: str) -> bool:
    value = _BOOLEANS.get(text.strip().lower())
    if value is None:
        raise ValueError("must be true or false (also 1, 0, yes, no)")
    return value


def switch(text: str) -> bool:
    """`on` or `off`, or what YAML makes of these words."""
    try:
        return boolean({"on": "true", "off": "false"}.get(text.strip().lower(), text))
    except ValueError:
        raise ValueError("must be on or off") from None


def whole(text: str) -> int:
    if not _WHOLE.fullmatch(text.strip()):
        raise ValueError("must be a whole number, in digits only")
    return int(text)


def answers(text: str) -> int:
    """A number of answers. None at all is not a number but another way of answering."""
    number = whole(text)
    if number < 1:
        raise ValueError("must be at least 1; where nobody shall answer say REPLY_MODE=none")
    return number


def seconds(text: str) -> float:
    if not _DECIMAL.fullmatch(text.strip()):
        raise ValueError("must be a number of seconds, such as 1.5, without a unit")
    return float(text)


def word(text: str) -> str:
    """Text without white space or control characters, compared exactly wherever it is used."""
    text = text.strip()
    if not text or _SPACE_OR_CONTROL.search(text):
        raise ValueError("must be one word, without white space or control characters")
    return text


def audience(text: str) -> str:
    """One audience. A list, as JWT_ISSUER takes one, would be compared whole with each `aud`, and refuse everybody."""
    text = word(text)
    if "," in text:
        raise ValueError("must be one audience: it is no list, and no token would ever match one with a comma")
    return text


def token(text: str) -> Secret:
    if _SPACE_OR_CONTROL.search(text):
        # Nearly always the newline at the end of a file that went into a Secret whole.
        raise ValueError("must not hold white space or a newline")
    return Secret(text)


def path(text: str) -> Path:
    if _KEY_MATERIAL.search(text) or len(text) > _LONGEST_PATH:
        raise ValueError("must be the path of a file, not what is in the file")
    return Path(text.strip())


def paths(text: str) -> str:
    """One or several paths, separated by colons, as they are."""
    path(text)
    return text.strip()


def host(text: str) -> str:
    """An address or a host name; an IPv6 address may stand in brackets."""
    text = text.strip().removeprefix("[").removesuffix("]")
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        if not _HOST.fullmatch(text):
            raise ValueError("must be an address or a host name, without a port") from None
        return text


def _entries(text: str) -> list[str]:
    entries = [entry.strip() for entry in text.split(",")]
    if not all(entries):
        raise ValueError("has an empty entry")
    return entries


def words(text: str) -> tuple[str, ...]:
    """A comma list of words, each once, in the order written."""
    return tuple(dict.fromkeys(word(entry) for entry in _entries(text)))


def namespaces(text: str) -> tuple[str, ...]:
    """A comma list of namespaces, sorted, each once."""
    names = _entries(text)
    if not all(map(is_label, names)):
        raise ValueError("must be namespaces: a-z, 0-9 and '-', at most 63 characters each, separated by commas")
    return tuple(sorted(set(names)))


def annotation_prefix(text: str) -> str:
    domain, slash, name = text.strip().partition("/")
    if not slash or not is_subdomain(domain):
        raise ValueError("must be a DNS name and a slash, such as nats.io/")
    if not _ANNOTATION_NAME.fullmatch(name + _LONGEST_ANNOTATION):
        raise ValueError("makes annotation names that Kubernetes refuses")
    return f"{domain}/{name}"


def release(text: str) -> str:
    text = text.strip()
    if not _RELEASE.fullmatch(text):
        raise ValueError("must be a-z, 0-9 and '-', at most 73 characters")
    return text


def subject_token(text: str) -> str:
    """One token of a subject, outside `$` and the inboxes."""
    text = text.strip()
    if not _TOKEN.fullmatch(text):
        raise ValueError("must be one token of a subject: letters, digits, '-' and '_', at most 64 characters")
    return text


def queue_group(text: str) -> str:
    text = text.strip()
    if not _QUEUE.fullmatch(text):
        raise ValueError("must be words joined by dots, without white space or wildcards")
    return text


def looks_like_account_key(text: str) -> bool:
    """Say whether the text has the shape of an account's public key, right checksum or not."""
    return bool(_ACCOUNT_SHAPE.fullmatch(text))


def account(text: str) -> str:
    """An account: its public key (`A…`), or its name in the servers' configuration."""
    text = word(text)
    if _SEED.fullmatch(text):
        raise ValueError("is a seed, which must stay in a file: the public key (A…) is required")
    if looks_like_account_key(text):
        try:
            nkeys.decode_public(text, Kind.ACCOUNT)
        except BadKey as error:
            raise ValueError(f"looks like an account's public key (A…), but {error}") from None
    elif _PUBLIC_SHAPE.fullmatch(text):
        raise ValueError(f"is a public key of another kind ({text[0]}…): an account's (A…) or a name is required")
    return text


def jwks_url(text: str) -> str:
    """A URL that our token could be sent to, or at least a GET."""
    url = word(text)
    trust_for(url)
    return url


def nats_servers(text: str) -> NatsServers:
    """A comma list of `scheme://[user info@]host[:port]`; without a scheme it is `nats`."""
    split = [_nats_server(entry) for entry in _entries(text)]
    servers = tuple(dict.fromkeys(server for server, _ in split))
    logins = {login for _, login in split}
    if len(logins) > 1:
        raise ValueError("must have the same user info in every entry, or in none")
    (user, password) = logins.pop()
    if user is None:
        return NatsServers(servers)
    if password is None:
        return NatsServers(servers, token=Secret(user))
    return NatsServers(servers, user=Secret(user), password=Secret(password))


def _nats_server(entry: str) -> tuple[Address, tuple[str | None, str | None]]:
    """Return one server, and its user info."""
    parts = _split(entry if "://" in entry else f"nats://{entry}")
    if parts.scheme not in _SCHEMES:
        raise ValueError(f"must have one of the schemes {', '.join(_SCHEMES)}")
    if not parts.hostname or _SPACE_OR_CONTROL.search(entry):
        raise ValueError("must have a host in every entry")
    if parts.query or parts.fragment or parts.path not in ("", "/"):
        raise ValueError("must have nothing behind host and port")
    user, password = parts.username, parts.password
    if "@" in parts.netloc and not user:
        raise ValueError("must have a user or a token before the @")
    login = unquote(user) if user else None, unquote(password) if password is not None else None
    return Address(parts.hostname, parts.port or DEFAULT_PORT, parts.scheme == "tls"), login


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        # urllib's own words quote the address, and a password may stand where it looks for a port.
        raise ValueError("is not a URL, or its port is no number below 65536") from None
    return parts
