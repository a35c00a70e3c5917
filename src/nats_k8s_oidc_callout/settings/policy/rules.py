"""Rules, with nothing left open: what one is silent about comes from `defaults`, else from the settings."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from nats_k8s_oidc_callout.core.grants.globs import Glob
from nats_k8s_oidc_callout.core.grants.rules import CeilingTemplates, Match, Rule
from nats_k8s_oidc_callout.core.grants.templates import Template
from nats_k8s_oidc_callout.core.grants.terms import InboxMode, ReplyMode
from nats_k8s_oidc_callout.core.model import ConnectionKind
from nats_k8s_oidc_callout.core.nats.names import GLOBAL_ACCOUNT
from nats_k8s_oidc_callout.core.nats.signers import never_placed
from nats_k8s_oidc_callout.settings.policy import values
from nats_k8s_oidc_callout.settings.policy.base import NO_ACCOUNT, SILENT, Base
from nats_k8s_oidc_callout.settings.policy.fields import SESSION_SECONDS, TTL_SECONDS
from nats_k8s_oidc_callout.settings.policy.findings import Findings
from nats_k8s_oidc_callout.settings.policy.grants import Lists, read_lists
from nats_k8s_oidc_callout.settings.policy.strict import Node

KINDS = frozenset({ConnectionKind.NATS, ConnectionKind.WEBSOCKET})
"""Which connections a rule lets in that does not say."""
_ALWAYS = ("namespace", "name")


@dataclass(frozen=True, slots=True)
class Draft:
    """A rule, and where it stands in the file."""

    rule: Rule
    line: int
    lines: Mapping[str, int]
    """Of each field, those taken from `defaults` included."""
    entries: Mapping[str, tuple[int, ...]]
    """Of each entry of the rule's lists, roles included."""


@dataclass(slots=True)
class _Scope:
    """What the globs of one rule capture."""

    always: set[str] = field(default_factory=lambda: set(_ALWAYS))
    sometimes: set[str] = field(default_factory=set)

    def add(self, globs: Iterable[Glob], line: int, where: str, found: Findings) -> None:
        captured = [set(glob.captures) for glob in globs]
        anywhere = set().union(*captured)
        if twice := sorted(anywhere & (self.always | self.sometimes)):
            found.add(line, "E08", f"{where} captures {{{twice[0]}}}, which another field captures")
        self.sometimes |= anywhere
        self.always |= set.intersection(*captured) if captured else set()

    def check(self, variables: Mapping[str, int], found: Findings) -> None:
        for name, line in variables.items():
            if name in self.always:
                continue
            if name in self.sometimes:
                found.add(line, "E09", f"{{{name}}} is not captured by every glob of its list")
            elif name == "root":
                found.add(line, "E10", "{root} is not there: root is none, or is made of itself")
            else:
                found.add(
                    line, "E10", f"{{{name}}} is not captured by `match`, nor is it {{namespace}}, {{name}} or {{root}}"
                )


class RuleReader:
    """Reads the rules of one file."""

    def __init__(
        self, base: Base, defaults: Node | None, roles: Mapping[str, Lists], accounts: bool, found: Findings
    ) -> None:
        """`accounts` says whether the file has an entry of it."""
        self._base, self._roles, self._accounts, self._found = base, roles, accounts, found
        self._defaults = values.entries(defaults)
        self._conditions = self._read_conditions(self._defaults)

    def read(self, node: Node) -> Draft | None:
        """Return a rule; None when its fields cannot be made one, which is noted."""
        given, found = values.entries(node), self._found
        name = given.get("name")
        if name is None:
            return None
        found.rule = str(name.value)
        try:
            return self._read(node, given, found.rule)
        finally:
            found.rule = ""

    def _read(self, node: Node, given: Mapping[str, Node], name: str) -> Draft | None:
        found = self._found
        match, scope = self._match(given.get("match"))
        lines = {field: entry.line for field, entry in (self._defaults | dict(given)).items()}
        if (refuse := given.get("refuse")) is not None:
            for field_ in given:
                if field_ not in ("name", "match", "refuse"):
                    found.add(given[field_].line, "E06", f"refuse excludes {field_}")
            rule = Rule(
                name=name, match=match, refuse=str(refuse.value), account=Template("", ()), root=None, **self._rest({})
            )
            return Draft(rule, node.line, lines, {})
        lists = read_lists(node, "rule", "", found)
        root = self._root(self._said("root", given), lists)
        account = self._account(self._said("account", given), lists)
        ceilings = self._ceilings(self._said("annotations", given), lists)
        found.rule = name
        self._take_roles(given.get("roles"), lists)
        lists.check_size(node.line, found)
        # The root is made before it is a variable.
        if root is not None:
            scope.always.add("root")
        scope.check(lists.variables, found)
        rule = Rule(
            name=name, match=match, account=account, root=root,
            publish=lists.publish, subscribe=lists.subscribe, jetstream=lists.jetstream,
            deny_publish=lists.deny_publish, deny_subscribe=lists.deny_subscribe,
            ceilings=ceilings, **self._rest(self._read_conditions(given)),
        )  # fmt: skip
        return Draft(rule, node.line, lines, lists.lines)

    def _said(self, field: str, given: Mapping[str, Node]) -> Node | None:
        """Return what the rule says about a field, else the defaults, whose mistakes are no rule's."""
        self._found.rule = str(given["name"].value) if field in given else ""
        return given.get(field) or self._defaults.get(field)

    def _rest(self, own: Mapping[str, Any]) -> dict[str, Any]:
        """Return the conditions of a rule: its own, else the defaults', else the settings'."""
        return {**{one: getattr(self._base, one) for one in SILENT}, "kinds": KINDS, **self._conditions, **own}

    def _read_conditions(self, given: Mapping[str, Node]) -> dict[str, Any]:
        """Return what a rule or `defaults` says of its own that no variable can stand in."""
        read: dict[str, Any] = {}
        found = self._found
        if session := given.get("session"):
            read["session_max_seconds"] = values.seconds(session, "session", SESSION_SECONDS, found) or 0
        if inbox := given.get("inbox"):
            read["inbox_mode"] = InboxMode(str(inbox.value))
        if kinds := given.get("kinds"):
            read["kinds"] = frozenset(ConnectionKind(str(kind.value)) for kind in values.items(kinds))
        if networks := given.get("networks"):
            every = (values.network(item, found) for item in values.items(networks))
            read["networks"] = tuple(network for network in every if network is not None)
        if pod := given.get("pod"):
            read["require_pod_bound"] = pod.value == "required"
        if replies := given.get("replies"):
            own = values.entries(replies)
            if own or isinstance(replies.value, str):
                read["reply_mode"] = ReplyMode.RESPONSES if own else ReplyMode(str(replies.value))
            if "max" in own and "ttl" in own:
                read["replies_max"] = own["max"].value
                read["replies_ttl_seconds"] = float(values.seconds(own["ttl"], "replies.ttl", TTL_SECONDS, found) or 0)
        return read

    def _match(self, node: Node | None) -> tuple[Match, _Scope]:
        scope, found = _Scope(), self._found
        given = values.entries(node)

        def globs(listed: Node | None, where: str) -> tuple[Glob, ...]:
            if listed is None:
                return ()
            every = [values.glob(item, where, found) for item in values.items(listed)]
            good = tuple(glob for glob in every if glob is not None)
            scope.add(good, listed.line, where, found)
            return good

        namespaces = globs(given.get("namespaces"), "match.namespaces")
        names = globs(given.get("service_accounts"), "match.service_accounts")
        labels = tuple(
            (key, globs(listed, f"match.namespace_labels.{key}"))
            for key, listed in values.entries(given.get("namespace_labels")).items()
        )
        return Match(namespaces, names, labels), scope

    def _root(self, node: Node | None, lists: Lists) -> Template | None:
        if node is None:
            return Template.of("{namespace}")
        root = None if node.value == "none" else values.root(node, self._found)
        lists.needs(root, node.line)
        return root

    def _account(self, node: Node | None, lists: Lists) -> Template:
        if node is None:
            # Not parsed: an account of the settings may hold braces.
            return Template(self._base.account or NO_ACCOUNT, ())
        found = self._found
        account = values.account(node, found)
        if account is None:
            return Template("", ())
        lists.needs(account, node.line)
        if account.names and not self._accounts:
            found.add(
                node.line,
                "E20",
                f'account "{account.text}" has a variable, so `accounts` must list what may come of it',
            )
        elif not account.names and (why := self._never(account.text)):
            found.add(node.line, "E20", f'account "{account.text}": no client is ever placed there, since {why}')
        return account

    def _never(self, account: str) -> str:
        base = self._base
        # A file alone does not tell what NATS_ACCOUNT is, and only that may be the global account.
        if account == base.account or (not base.account and account == GLOBAL_ACCOUNT):
            return ""
        return never_placed(account, base.callout_account)

    def _ceilings(self, node: Node | None, lists: Lists) -> CeilingTemplates | None:
        if node is not None and node.value == "any":
            return None
        given, found = values.entries(node), self._found
        publish = [
            (item, values.subject(item, "annotations.publish", found)) for item in values.items(given.get("publish"))
        ]
        subscribe = [(item, values.ceiling(item, found)) for item in values.items(given.get("subscribe"))]
        jetstream = [
            (item, values.intent(item, "annotations.jetstream", found, is_ceiling=True))
            for item in values.items(given.get("jetstream"))
        ]
        for item, template in (*publish, *subscribe, *jetstream):
            lists.needs(template, item.line)
        return CeilingTemplates(*(tuple(text for _, text in side if text) for side in (publish, subscribe, jetstream)))

    def _take_roles(self, node: Node | None, lists: Lists) -> None:
        for name, line in {str(item.value): item.line for item in values.items(node)}.items():
            role = self._roles.get(name)
            if role is None:
                self._found.add(line, "E03", f"there is no role {name}")
                continue
            for variable in role.variables:
                lists.variables.setdefault(variable, line)
            lists.add(role)
            if len(lists.publish) + len(lists.subscribe) + lists.intent_entries > 4 * 256:
                # Already E14, whatever else there is.
                return
