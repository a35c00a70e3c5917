"""Which server is next: those configured and those that they tell us of, tried in turn."""

from collections.abc import Iterable, Sequence
from itertools import islice

from nats_k8s_oidc_callout.core.nats.address import Address

# More servers than any cluster has: whoever answers as one may not make us knock at every door of a network.
DISCOVERED_MAX = 256


class AddressBook:
    """The servers to try, one after the other for ever. What is configured (at least one) is never forgotten."""

    def __init__(self, configured: Sequence[Address]) -> None:
        self._configured = tuple(configured)
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
