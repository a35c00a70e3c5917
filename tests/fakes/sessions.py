"""The system side of servers that a test makes up."""

from collections.abc import Iterable, Sequence
from typing import Any

from nats_k8s_oidc_callout.adapters.nats.system import Kicked, Listing, Take
from nats_k8s_oidc_callout.core.nats.connz import Row
from nats_k8s_oidc_callout.core.sessions.label import Label
from nats_k8s_oidc_callout.errors import Unreachable

NOW = 1_800_000_000.0
NAMES = {"S1": "n1", "S2": "n2"}


def label(**changes: Any) -> str:
    """Return a user's name with a label of ours: shop/web of release `ours`, for an hour from a minute ago on."""
    fields: dict[str, Any] = {
        "namespace": "shop", "name": "web", "expires": int(NOW) + 3540, "uid": "uid-web", "grant": "00000000",
        "kid": "000000", "jti": "00000000", "issued": int(NOW) - 60, "policy": "000000", "release": "ours",
    }  # fmt: skip
    return str(Label(**fields | changes))


def row(cid: int, user: str = "", **changes: Any) -> Row:
    """Return a connection to server S1, of a minute ago, in APP."""
    fields: dict[str, Any] = {
        "server": "S1", "server_name": "n1", "cid": cid, "account": "APP", "user": user or label(), "host": "10.0.0.1",
        "connection": "orders", "lang": "python3", "version": "2.16.0", "kind": "Client", "type": "nats",
        "start": NOW - 60, "now": NOW, "issuer_key": "",
    }  # fmt: skip
    return Row(**fields | changes)


class FakeServers:
    """Lists what it is given; kicks and remembers, or does what `results` say of a connection."""

    def __init__(
        self,
        rows: Iterable[Row] = (),
        *,
        silent: Sequence[str] = (),
        deaf: Sequence[str] = (),
        gone: Sequence[str] = (),
    ) -> None:
        """`silent` and `gone` are servers, `deaf` are accounts that may not be asked about."""
        self.rows, self.silent, self.deaf, self.gone = list(rows), frozenset(silent), deaf, frozenset(gone)
        self.asked: list[str] = []
        self.kicked: list[tuple[str, int]] = []
        self.results: dict[int, Kicked] = {}

    async def list(self, account: str, take: Take) -> Listing:
        self.asked.append(account)
        if account in self.deaf:
            raise Unreachable("nobody listens")
        for one in self.rows:
            if one.account == account:
                take(one)
        return Listing(frozenset(NAMES) - self.silent - self.gone, self.silent, self.gone)

    async def kick(self, server: str, cid: int) -> Kicked:
        self.kicked.append((server, cid))
        return self.results.get(cid, Kicked.DONE)
