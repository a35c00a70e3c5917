"""One rule of the policy: whom it matches, and the terms that it gives them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import NamedTuple

from nats_k8s_oidc_callout.core.grants import intents
from nats_k8s_oidc_callout.core.grants.globs import Glob
from nats_k8s_oidc_callout.core.grants.templates import Template, is_value_of_label, value_of_name
from nats_k8s_oidc_callout.core.grants.terms import Ceilings, Conditions, Entry, Terms
from nats_k8s_oidc_callout.core.model import Reason

_CONDITIONS = tuple(one.name for one in fields(Conditions))

Labels = Mapping[str, str]
"""Of a namespace, those that the rules go by."""


@dataclass(frozen=True, slots=True)
class Turned:
    """A workload that the policy gives no terms to, and why."""

    reason: Reason
    detail: str = ""
    rule: str = ""


class Given(NamedTuple):
    """A subject or an intent that a rule gives, and where it stands: `rule` or `role:NAME`."""

    text: Template
    origin: str


@dataclass(frozen=True, slots=True)
class Match:
    """Whom a rule is for: all fields must hold, each by any of its globs. An empty one always holds."""

    namespaces: tuple[Glob, ...] = ()
    service_accounts: tuple[Glob, ...] = ()
    labels: tuple[tuple[str, tuple[Glob, ...]], ...] = ()

    def of(self, namespace: str, name: str) -> dict[str, str] | None:
        """Return what the names capture, or None when they do not match; labels are not looked at."""
        first = _first(self.namespaces, namespace)
        if first is None:
            return None
        second = _first(self.service_accounts, name)
        if second is None:
            return None
        return {key: value_of_name(value) for key, value in (*first.items(), *second.items())}

    def of_labels(self, labels: Labels) -> dict[str, str] | None:
        """Return what the labels capture, or None when they do not match."""
        captured: dict[str, str] = {}
        for key, globs in self.labels:
            found = _first(globs, labels[key]) if key in labels else None
            if found is None:
                return None
            captured.update(found)
        return captured


@dataclass(frozen=True, slots=True)
class CeilingTemplates:
    """How far annotations may go, before the variables have values."""

    publish: tuple[Template, ...] = ()
    subscribe: tuple[Template, ...] = ()
    jetstream: tuple[Template, ...] = ()

    def fill(self, values: Mapping[str, str]) -> Ceilings:
        """Return the ceilings of a workload with these values."""
        return Ceilings(_filled(self.publish, values), _filled(self.subscribe, values), _filled(self.jetstream, values))


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule(Conditions):
    """A rule with nothing left open: what it is silent about was taken from `defaults` and the settings."""

    name: str
    match: Match = field(default_factory=Match)
    refuse: str | None = None
    """Turns away whom it matches; a text for our log."""
    account: Template
    root: Template | None
    publish: tuple[Given, ...] = ()
    subscribe: tuple[Given, ...] = ()
    jetstream: tuple[Given, ...] = ()
    deny_publish: tuple[Template, ...] = ()
    deny_subscribe: tuple[Template, ...] = ()
    ceilings: CeilingTemplates | None = None
    """None: annotations may ask for whatever `filter` lets through."""

    def terms_for(
        self, namespace: str, name: str, captured: Mapping[str, str], from_labels: Mapping[str, str]
    ) -> Terms | Turned:
        """Return the terms of a workload whom this rule matches, with what its names and labels were captured as."""
        if self.refuse is not None:
            return Turned(Reason.REFUSED_BY_RULE, self.refuse, self.name)
        values = {"namespace": namespace, "name": value_of_name(name), **captured, **from_labels}
        if problem := self._problem(values, from_labels):
            return Turned(Reason.BAD_CAPTURE, problem, self.name)
        root = None if self.root is None else self.root.fill(values)
        values["root"] = root or ""
        given = [Entry(item.text.fill(values), item.origin) for item in self.publish]
        for item in self.jetstream:
            text = item.text.fill(values)
            intent = intents.parse(text)
            if isinstance(intent, str):
                return Turned(Reason.BAD_CAPTURE, f"{text} {intent}", self.name)
            given += [Entry(subject, f"jetstream:{text}") for subject in intents.entries(intent)]
        return Terms(
            **{one: getattr(self, one) for one in _CONDITIONS},
            rule=self.name,
            account=self.account.fill(values),
            root=root,
            publish=tuple(given),
            subscribe=tuple(Entry(item.text.fill(values), item.origin) for item in self.subscribe),
            deny_publish=_filled(self.deny_publish, values),
            deny_subscribe=_filled(self.deny_subscribe, values),
            ceilings=None if self.ceilings is None else self.ceilings.fill(values),
        )

    def _problem(self, values: Mapping[str, str], from_labels: Mapping[str, str]) -> str:
        """Return why these values cannot stand in the texts of this rule, or nothing."""
        for variable, value in from_labels.items():
            if not is_value_of_label(value):
                return f"{{{variable}}} must be one word of letters, digits, - and _, that begins with no _, and is {value}"
        ceilings = self.ceilings.jetstream if self.ceilings else ()
        for text in (*(item.text for item in self.jetstream), *ceilings):
            if not text.variables:
                continue
            name = _name_of(text)
            if not name.keeps_apart(values):
                return f"{text.text} could reach another's names, for a value has a _ in it"
            if _is_made_a_bucket(text, name, values):
                return f"{text.text} would be the stream of a bucket, {name.fill(values)}"
        return ""


def _name_of(ceiling: Template) -> Template:
    """Return the stream or bucket of an intent; of `publish` nothing: a variable is a whole token there."""
    verb, _, rest = ceiling.text.partition(":")
    return Template.of("" if verb == intents.PUBLISH else rest.partition("/")[0])


def _is_made_a_bucket(intent: Template, name: Template, values: Mapping[str, str]) -> bool:
    """Say whether a stream's name is that of a bucket's stream by what is put in, and not as it is written."""
    if intent.text.startswith(("kv-", "object-")) or name.text.startswith(intents.OF_BUCKETS):
        return False
    return name.fill(values).startswith(intents.OF_BUCKETS)


def _first(globs: Sequence[Glob], text: str) -> Mapping[str, str] | None:
    """Return what the first glob that matches captures; nothing when there is none to match; None for no match."""
    if not globs:
        return {}
    for glob in globs:
        found = glob.match(text)
        if found is not None:
            return found
    return None


def _filled(templates: tuple[Template, ...], values: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(template.fill(values) for template in templates)
