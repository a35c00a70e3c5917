"""Where NATS is: configured servers and those that they tell us of, tried in turn."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from urllib.parse import urlsplit

from nats_k8s_oidc_callout.errors import ConfigurationError

DEFAULT_PORT = 4222


@dataclass(frozen=True, slots=True)
class Address:
    """One server; `str()` has no user info, so it may be logged."""

    host: str
    port: int
    must_tls: bool
    """The scheme is `tls`: a server that does not offer TLS is refused."""
    tls_name: str | None = None
    """The name that its certificate must carry, where that is not `host`."""

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'tls' if self.must_tls else 'nats'}://{host}:{self.port}"


def parse(url: str) -> Address:
    """Read `nats://host[:port]`, `tls://…` or `host[:port]`; user info is dropped (it is a Login of its own).

    Raises ConfigurationError, which does not repeat the text since a password may be in it.
    """
    try:
        parts = urlsplit(url.strip() if "://" in url else f"nats://{url.strip()}")
        port = parts.port
    except ValueError:
        # urlsplit's own message quotes the piece it could not read, which is the password when that holds a "/".
        raise ConfigurationError(["NATS_URL: one of its entries is not a URL"]) from None
    if parts.scheme not in ("nats", "tls") or not parts.hostname:
        raise ConfigurationError(["NATS_URL: each entry is nats://host:port or tls://host:port"])
    return Address(parts.hostname, port or DEFAULT_PORT, parts.scheme == "tls")


# More servers than any cluster has: whoever answers as one may not make us knock at every door of a network.
DISCOVERED_MAX = 256


class AddressBook:
    """The servers to try, one after the other for ever. What is configured is never forgotten."""

    def __init__(self, urls: Sequence[str]) -> None:
        self._configured = tuple(dict.fromkeys(parse(url) for url in urls))
        if not self._configured:
            raise ConfigurationError(["NATS_URL: no server is named"])
        self._discovered: tuple[Address, ...] = ()
        self._next = 0

    def __len__(self) -> int:
        return len(self._configured) + len(self._discovered)

    def next(self) -> Address:
        """Return the server after the one returned last."""
        everybody = self._configured + self._discovered
        address = everybody[self._next % len(everybody)]
        self._next = (self._next + 1) % len(everybody)
        return address

    def discovered(self, told: Iterable[Address]) -> None:
        """Replace the servers learned from the cluster by what it says now."""
        known = {(address.host, address.port) for address in self._configured}
        new = (address for address in told if (address.host, address.port) not in known)
        self._discovered = tuple(islice(new, DISCOVERED_MAX))
