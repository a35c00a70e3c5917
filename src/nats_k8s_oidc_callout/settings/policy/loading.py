"""A whole file: bytes in, a policy for the core out, or every mistake."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from nats_k8s_oidc_callout.core.grants.globs import Glob
from nats_k8s_oidc_callout.core.grants.policy import Policy
from nats_k8s_oidc_callout.core.grants.revoked import Revocation, Revoked
from nats_k8s_oidc_callout.settings.policy import strict, values
from nats_k8s_oidc_callout.settings.policy.base import Base
from nats_k8s_oidc_callout.settings.policy.fields import FILE
from nats_k8s_oidc_callout.settings.policy.findings import Finding, Findings
from nats_k8s_oidc_callout.settings.policy.grants import read_lists
from nats_k8s_oidc_callout.settings.policy.rules import Draft, RuleReader
from nats_k8s_oidc_callout.settings.policy.shapes import cleaned
from nats_k8s_oidc_callout.settings.policy.strict import Node


@dataclass(frozen=True, slots=True)
class PolicyFile:
    """What a file comes to, and where everything stands in it."""

    policy: Policy
    drafts: tuple[Draft, ...]
    """The rules with their lines."""
    roles: Mapping[str, int]
    """The line of each role."""
    unused: tuple[str, ...]
    """Roles that no rule takes."""
    revoked: tuple[int, ...]
    """The line of each entry of `revoked`."""
    size: int
    """In bytes."""


def load(content: bytes, base: Base = Base()) -> PolicyFile | tuple[Finding, ...]:  # noqa: B008  # it is frozen
    """Return the policy; instead, when there is an error, all of them by line."""
    file, errors = read(content, base)
    return errors or file


def read(content: bytes, base: Base) -> tuple[PolicyFile, tuple[Finding, ...]]:
    """Return all errors by line, and what the file comes to without whatever is wrong: to be looked at, not to be used."""
    found = Findings()
    node = strict.read(content, found)
    whole = cleaned(FILE, node, "", found) if node is not None else None
    given = values.entries(whole)
    roles = {
        name: read_lists(role, f"role:{name}", f"roles.{name}.", found)
        for name, role in values.entries(given.get("roles")).items()
    }
    accounts = _accounts(given.get("accounts"), found)
    reader = RuleReader(base, given.get("defaults"), roles, bool(accounts), found)
    drafts = _drafts(given.get("rules"), reader, found)
    entries = values.items(given.get("revoked"))
    revoked = Revoked([_revocation(entry, found) for entry in entries])
    taken = {
        str(name.value)
        for rule in values.items(given.get("rules"))
        for name in values.items(values.entries(rule).get("roles"))
    }
    file = PolicyFile(
        policy=Policy([draft.rule for draft in drafts], accounts, revoked, hashlib.sha256(content).hexdigest()),
        drafts=drafts,
        roles={name: role.line for name, role in values.entries(given.get("roles")).items()},
        unused=tuple(name for name in roles if name not in taken),
        revoked=tuple(entry.line for entry in entries),
        size=len(content),
    )
    return file, found.sorted()


def _accounts(node: Node | None, found: Findings) -> tuple[Glob, ...]:
    globs = []
    for item in values.items(node):
        glob = values.glob(item, "accounts", found)
        if glob is not None and glob.captures:
            found.add(item.line, "E08", f'accounts "{glob.text}" captures, but nothing can use it: write *')
        elif glob is not None:
            globs.append(glob)
    return tuple(globs)


def _drafts(node: Node | None, reader: RuleReader, found: Findings) -> tuple[Draft, ...]:
    drafts: dict[str, Draft] = {}
    for item in values.items(node):
        draft = reader.read(item)
        if draft is None:
            continue
        name = draft.rule.name
        if name in drafts:
            found.add(item.line, "E04", f"there is a rule {name} already, in line {drafts[name].line}")
        drafts.setdefault(name, draft)
    return tuple(drafts.values())


def _revocation(node: Node, found: Findings) -> Revocation:
    given = values.entries(node)
    texts = {name: str(given[name].value) for name in ("jti", "uid", "workload", "reason") if name in given}
    return Revocation(
        **texts,
        issued_before=values.moment(given.get("issued_before"), "issued_before", found),
        until=values.moment(given.get("until"), "until", found),
    )
