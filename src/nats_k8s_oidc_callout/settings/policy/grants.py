"""The lists of a rule or a role: what they grant and deny, where each entry stands, and the variables that they need."""

from collections.abc import Callable
from dataclasses import dataclass, field

from nats_k8s_oidc_callout.core.grants import intents
from nats_k8s_oidc_callout.core.grants.globs import VARIABLE
from nats_k8s_oidc_callout.core.grants.intents import Intent
from nats_k8s_oidc_callout.core.grants.rules import Given
from nats_k8s_oidc_callout.core.grants.templates import Template
from nats_k8s_oidc_callout.settings.policy import values
from nats_k8s_oidc_callout.settings.policy.fields import ENTRIES_MAX
from nats_k8s_oidc_callout.settings.policy.findings import Findings
from nats_k8s_oidc_callout.settings.policy.strict import Node


@dataclass(slots=True)
class Lists:
    """Own grants and denials, each with its lines in parallel."""

    publish: tuple[Given, ...] = ()
    subscribe: tuple[Given, ...] = ()
    jetstream: tuple[Given, ...] = ()
    deny_publish: tuple[Template, ...] = ()
    deny_subscribe: tuple[Template, ...] = ()
    lines: dict[str, tuple[int, ...]] = field(default_factory=dict)
    """By the names of the fields above."""
    variables: dict[str, int] = field(default_factory=dict)
    """What must be captured, and the line that needs it first."""
    intent_entries: int = 0
    """How many entries the intents come to."""

    def needs(self, template: Template | None, line: int) -> None:
        """Note the variables of a text."""
        if template is not None:
            for name in template.variables:
                self.variables.setdefault(name, line)

    def add(self, role: "Lists") -> None:
        """Take the grants and denials of a role, after those there are."""
        for name in ("publish", "subscribe", "jetstream", "deny_publish", "deny_subscribe"):
            setattr(self, name, getattr(self, name) + getattr(role, name))
            self.lines[name] = self.lines.get(name, ()) + role.lines.get(name, ())
        self.intent_entries += role.intent_entries

    def check_size(self, line: int, found: Findings) -> bool:
        """Say whether they fit into a grant; what the platform gives is never cut."""
        allowed = (
            ("publish", len(self.publish) + self.intent_entries),
            ("subscribe", len(self.subscribe)),
            ("deny.publish", len(self.deny_publish)),
            ("deny.subscribe", len(self.deny_subscribe)),
        )
        over = [f"{number} entries of {side}" for side, number in allowed if number > ENTRIES_MAX]
        if over:
            roles = "roles and intents included, "
            found.add(line, "E14", f"{roles}it has {' and '.join(over)}, but a side may have {ENTRIES_MAX}")
        return not over


def read_lists(node: Node, origin: str, where: str, found: Findings) -> Lists:
    """Return the lists of a rule, or of a role, whose fields `where` stands before in findings."""
    lists = Lists()
    given = values.entries(node)
    deny = values.entries(given.get("deny"))

    def read(name: str, listed: Node | None, parse: Callable[[Node, str, Findings], Template | None]) -> list[Template]:
        read = [(item, parse(item, f"{where}{name}", found)) for item in values.items(listed)]
        key = name.replace(".", "_")
        lists.lines[key] = tuple(item.line for item, template in read if template is not None)
        for item, template in read:
            lists.needs(template, item.line)
        return [template for _, template in read if template is not None]

    def give(templates: list[Template]) -> tuple[Given, ...]:
        return tuple(Given(template, origin) for template in templates)

    lists.publish = give(read("publish", given.get("publish"), values.subject))
    lists.subscribe = give(read("subscribe", given.get("subscribe"), values.subject))
    lists.jetstream = give(read("jetstream", given.get("jetstream"), values.intent))
    lists.deny_publish = tuple(read("deny.publish", deny.get("publish"), values.subject))
    lists.deny_subscribe = tuple(read("deny.subscribe", deny.get("subscribe"), values.subject))
    lists.intent_entries = sum(len(entries_of(item.text)) for item in lists.jetstream)
    return lists


def intent_of(template: Template) -> Intent | None:
    """Return an intent with a letter for each variable."""
    intent = intents.parse(VARIABLE.sub("x", template.text))
    return None if isinstance(intent, str) else intent


def entries_of(template: Template) -> tuple[str, ...]:
    """Return what an intent comes to, with a letter for each variable."""
    intent = intent_of(template)
    return intents.entries(intent) if intent else ()
