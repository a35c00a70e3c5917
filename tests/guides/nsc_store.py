"""What `nsc` keeps: operator, accounts and users with their keys, in one file; and the JWTs that it makes of them."""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from nats_k8s_oidc_callout.core.nats import nkeys
from nats_k8s_oidc_callout.core.nats.nkeys import Kind
from tests.fakes.nats_modes import Pair, mint
from tests.guides.nsc_flags import Call, Refused

NO_LIMITS = {"subs": -1, "data": -1, "payload": -1}
_ACCOUNT_LIMITS = NO_LIMITS | {"imports": -1, "exports": -1, "wildcards": True, "conn": -1, "leaf": -1}


@dataclass
class Entity:
    """An operator, account or user: its key, and what its JWT says."""

    name: str
    seed: str
    nats: dict[str, Any]

    @property
    def pair(self) -> Pair:
        kind, raw = nkeys.decode_seed(self.seed)
        return Pair(kind, raw)

    @property
    def public(self) -> str:
        return self.pair.public


@dataclass
class Store:
    """Everything, in one file."""

    path: Path
    operator: Entity | None = None
    accounts: dict[str, Entity] = field(default_factory=dict)
    users: dict[str, dict[str, Entity]] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    """Seeds of signing keys and the like, by their public keys."""
    account: str = ""
    """The one that is meant where a command names none: the last that was added."""

    @classmethod
    def load(cls, path: Path) -> "Store":
        if not path.exists():
            return cls(path)
        kept = json.loads(path.read_text())
        return cls(
            path,
            Entity(**kept["operator"]) if kept["operator"] else None,
            {name: Entity(**one) for name, one in kept["accounts"].items()},
            {of: {name: Entity(**one) for name, one in users.items()} for of, users in kept["users"].items()},
            kept["keys"],
            kept["account"],
        )

    def save(self) -> None:
        kept = {
            "operator": vars(self.operator) if self.operator else None,
            "accounts": {name: vars(one) for name, one in self.accounts.items()},
            "users": {of: {name: vars(one) for name, one in users.items()} for of, users in self.users.items()},
            "keys": self.keys,
            "account": self.account,
        }
        text = json.dumps(kept, indent=1)
        if self.path.exists() and self.path.read_text() == text:
            return
        # Renamed into place: in a pipeline several of these run at a time.
        self.path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self.path.with_suffix(f".{os.getpid()}")
        fresh.touch(0o600)
        fresh.write_text(text)
        fresh.replace(self.path)

    @property
    def the_operator(self) -> Entity:
        if self.operator is None:
            raise Refused("set an operator first - 'nsc env --operator <name>'")
        return self.operator

    def the_account(self, name: str) -> Entity:
        name = next((one.name for one in self.accounts.values() if one.public == name), name or self.account)
        if not name:
            raise Refused("an account is required")
        if name not in self.accounts:
            raise Refused(f"account {name} does not exist in the current operator")
        return self.accounts[name]

    def the_user(self, call: Call) -> tuple[Entity, Entity]:
        account = self.the_account(call.one("account"))
        users = self.users.get(account.name, {})
        name = call.name or (next(iter(users)) if len(users) == 1 else "")
        if not name:
            raise Refused("user name is required")
        if name not in users:
            raise Refused(f'user "{name}" not found')
        return account, users[name]

    def jwt(self, entity: Entity, account: Entity | None = None) -> str:
        """Return its JWT, signed by the operator's key, or for a user by the account's."""
        return mint((account or self.the_operator).pair, entity.public, entity.name, entity.nats)

    @property
    def system_account(self) -> Entity | None:
        named = self.the_operator.nats.get("system_account")
        return next((one for one in self.accounts.values() if one.public == named), None)


def tell(*lines: str) -> None:
    for line in lines:
        click.echo(f"[ OK ] {line}", err=True)


def new(kind: Kind, name: str, nats: dict[str, Any]) -> Entity:
    return Entity(name, Pair.new(kind).seed, nats)


def new_account(name: str) -> Entity:
    return new(Kind.ACCOUNT, name, {"limits": dict(_ACCOUNT_LIMITS), "default_permissions": {}, "type": "account"})
