"""What a value of a policy file may look like: one description that checks a node, and is shown as JSON schema and in words.

`clean` returns the node without what is wrong with it, which is noted, or None when nothing is left. So one mistake is
told once, and the rest of the file is still looked at.
"""

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from nats_k8s_oidc_callout.settings.policy.findings import Findings
from nats_k8s_oidc_callout.settings.policy.strict import Node, Value

Schema = dict[str, Any]


class Shape(Protocol):
    """One kind of value."""

    @property
    def words(self) -> str:
        """What it is, for people."""

    def takes(self, value: Value) -> bool:
        """Say whether the value has the right type, whatever is in it."""

    def clean(self, node: Node, where: str, found: Findings) -> Node | None:
        """Return what is right of a node whose value has the right type; `where` names it in findings."""

    def schema(self) -> Schema:
        """Return the JSON schema."""


def cleaned(shape: Shape, node: Node, where: str, found: Findings) -> Node | None:
    """Return what is right of a node, the type included."""
    if shape.takes(node.value):
        return shape.clean(node, where, found)
    found.add(node.line, "E02", f"{where or 'the file'} must be {shape.words}, not {_kind(node.value, where)}")
    return None


@dataclass(frozen=True, slots=True)
class Text:
    """A text that is not empty. `pattern` is a regular expression for the whole of it, as JSON schema writes one."""

    words: str
    pattern: str = ""
    most: int = 0
    code: str = "E02"
    """Of a text that does not fit the pattern."""

    def takes(self, value: Value) -> bool:
        return isinstance(value, str)

    def clean(self, node: Node, where: str, found: Findings) -> Node | None:
        text = str(node.value)
        if not text:
            found.add(node.line, "E02", f"{where} is empty, but must be {self.words}")
        elif self.most and len(text) > self.most:
            found.add(node.line, self.code, f"{where} has more than {self.most} characters")
        elif self.pattern and not re.fullmatch(self.pattern, text):
            found.add(node.line, self.code, f"{where} {text[:80]!r} is not {self.words}")
        else:
            return node
        return None

    def schema(self) -> Schema:
        found: Schema = {"type": "string", "minLength": 1}
        if self.most:
            found["maxLength"] = self.most
        return found | ({"pattern": f"^(?:{self.pattern})$"} if self.pattern else {})


@dataclass(frozen=True, slots=True)
class Choice:
    """One of some words."""

    choices: tuple[str, ...]

    @property
    def words(self) -> str:
        return " or ".join(f"`{choice}`" for choice in self.choices)

    def takes(self, value: Value) -> bool:
        return isinstance(value, str)

    def clean(self, node: Node, where: str, found: Findings) -> Node | None:
        if node.value in self.choices:
            return node
        found.add(
            node.line, "E02", f"{where} must be {self.words}, not {str(node.value)[:80]!r}{_close(node, self.choices)}"
        )
        return None

    def schema(self) -> Schema:
        return {"enum": list(self.choices)}


@dataclass(frozen=True, slots=True)
class Number:
    """A whole number within bounds."""

    least: int
    most: int
    code: str

    @property
    def words(self) -> str:
        return str(self.least) if self.least == self.most else f"{self.least} to {self.most}"

    def takes(self, value: Value) -> bool:
        return isinstance(value, int) and not isinstance(value, bool)

    def clean(self, node: Node, where: str, found: Findings) -> Node | None:
        if isinstance(node.value, int) and self.least <= node.value <= self.most:
            return node
        found.add(node.line, self.code, f"{where} must be {self.words}, not {node.value}")
        return None

    def schema(self) -> Schema:
        return {"type": "integer", "minimum": self.least, "maximum": self.most}


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list. An empty one that would mean nobody, or everybody, is refused by `least`."""

    item: Shape
    words: str
    most: int
    code: str = "E02"
    """Of a list that is too long or too short."""
    least: int = 0

    def takes(self, value: Value) -> bool:
        return isinstance(value, list)

    def clean(self, node: Node, where: str, found: Findings) -> Node | None:
        items = node.value if isinstance(node.value, list) else []
        if not self.least <= len(items) <= self.most:
            found.add(
                node.line, self.code, f"{where} has {len(items)} entries, but may have {self.least} to {self.most}"
            )
        kept = [cleaned(self.item, item, f"{where}[{at}]", found) for at, item in enumerate(items[: self.most])]
        return Node([item for item in kept if item is not None], node.line)

    def schema(self) -> Schema:
        found: Schema = {"type": "array", "items": self.item.schema(), "maxItems": self.most}
        return found | ({"minItems": self.least} if self.least else {})


@dataclass(frozen=True, slots=True)
class Field:
    """A key of a map, and its row in the reference."""

    name: str
    shape: Shape
    meaning: str
    default: str = ""
    missing: str = ""
    """The code of a map without it; empty when it need not be there."""


@dataclass(frozen=True, slots=True)
class Map:
    """A map of known keys."""

    words: str
    fields: tuple[Field, ...]
    is_rule: bool = False
    """Findings within it name it."""
    some_of: tuple[str, ...] = ()
    """At least one of these must be there."""
    code: str = "E02"
    """Of a map that has none of them."""

    def takes(self, value: Value) -> bool:
        return isinstance(value, dict)

    def clean(self, node: Node, where: str, found: Findings) -> Node | None:
        given = node.value if isinstance(node.value, dict) else {}
        name = given.get("name") if self.is_rule else None
        if name is not None and isinstance(name.value, str):
            found.rule, where = name.value[:80], ""
        prefix = f"{where}." if where else ""
        known = {field.name: field for field in self.fields}
        kept: dict[str, Node] = {}
        for key, value in given.items():
            field = known.get(key)
            if field is None:
                found.add(value.line, "E02", f"{prefix}{key[:80]} is not known here{_close(Node(key, 0), known)}")
            elif (good := cleaned(field.shape, value, f"{prefix}{key}", found)) is not None:
                kept[key] = good
        for field in self.fields:
            if field.missing and field.name not in given:
                found.add(node.line, field.missing, f"{prefix}{field.name} is required")
        if self.some_of and not given.keys() & set(self.some_of):
            found.add(node.line, self.code, f"{where} has none of {', '.join(self.some_of)}")
        if self.is_rule:
            found.rule = ""
        return Node(kept, node.line)

    def schema(self) -> Schema:
        required = [field.name for field in self.fields if field.missing]
        return {
            "type": "object",
            "properties": {field.name: _described(field) for field in self.fields},
            "additionalProperties": False,
            **({"required": required} if required else {}),
            **({"anyOf": [{"required": [name]} for name in self.some_of]} if self.some_of else {}),
        }


@dataclass(frozen=True, slots=True)
class MapOf:
    """A map whose keys are the file's own."""

    words: str
    key: Text
    item: Shape
    least: int = 0

    def takes(self, value: Value) -> bool:
        return isinstance(value, dict)

    def clean(self, node: Node, where: str, found: Findings) -> Node | None:
        given = node.value if isinstance(node.value, dict) else {}
        if len(given) < self.least:
            found.add(node.line, "E02", f"{where} is empty")
        kept: dict[str, Node] = {}
        for key, value in given.items():
            name = self.key.clean(Node(key, value.line), f"the key of {where}", found)
            good = cleaned(self.item, value, f"{where}.{key[:80]}", found)
            if name is not None and good is not None:
                kept[key] = good
        return Node(kept, node.line)

    def schema(self) -> Schema:
        return {
            "type": "object",
            "propertyNames": self.key.schema(),
            "additionalProperties": self.item.schema(),
            **({"minProperties": self.least} if self.least else {}),
        }


@dataclass(frozen=True, slots=True)
class Either:
    """One of two shapes of different types."""

    one: Shape
    other: Shape

    @property
    def words(self) -> str:
        return f"{self.one.words}, or {self.other.words}"

    def takes(self, value: Value) -> bool:
        return self.one.takes(value) or self.other.takes(value)

    def clean(self, node: Node, where: str, found: Findings) -> Node | None:
        return (self.one if self.one.takes(node.value) else self.other).clean(node, where, found)

    def schema(self) -> Schema:
        return {"anyOf": [self.one.schema(), self.other.schema()]}


def _described(field: Field) -> Schema:
    return {**field.shape.schema(), "description": field.meaning}


def _close(node: Node, known: Mapping[str, object] | tuple[str, ...]) -> str:
    close = difflib.get_close_matches(str(node.value)[:80], list(known), n=1)
    return f": did you mean {close[0]!r}?" if close else ""


def _kind(value: Value, where: str) -> str:
    if isinstance(value, list | dict):
        return "a map" if isinstance(value, dict) else "a list"
    if value is None:
        return "nothing"
    if isinstance(value, str):
        # A whole file that is a text is another file, by mistake: of a seed, perhaps.
        return f"the text {value[:80]!r}" if where else "a text"
    # YAML's own false friends: `name: true` wants quotes.
    return f"{str(value).lower()} (quote it if it is a text)"
