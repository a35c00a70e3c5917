"""YAML without its surprises: texts stay texts, nothing is repeated, referred to or tagged. Bytes in, nodes with lines out.

Only `true`, `false`, whole numbers and null are anything but texts, and only unquoted: a namespace called `no` stays `no`.
"""

import re
from dataclasses import dataclass
from typing import NamedTuple

import yaml

from nats_k8s_oidc_callout.bounded.files import BYTES_MAX
from nats_k8s_oidc_callout.settings.policy.findings import Findings

DEPTH_MAX = 100
NODES_MAX = 200_000
"""Keys and values together. 1 MiB of nothing but commas would take seconds; 10,000 revoked tokens have 90,000."""

_WHOLE = re.compile(r"-?(?:0|[1-9][0-9]{0,14})")
_WORDS: dict[str, bool | None] = {"true": True, "false": False, "null": None, "~": None, "": None}


class Node(NamedTuple):
    """A value and its line, counted from 1; under a key it is the key's line."""

    value: "Value"
    line: int


Value = str | int | bool | None | list[Node] | dict[str, Node]


class _Unusable(Exception):
    """What ends the reading: the rest would mean something else than it says."""

    def __init__(self, line: int, text: str) -> None:
        super().__init__(text)
        self.line = line


def read(content: bytes, found: Findings, code: str = "E02") -> Node | None:
    """Return the one document of a file; None when it cannot be read as a whole, which is then noted under `code`."""
    try:
        return _read(content, found, code)
    except _Unusable as error:
        found.add(error.line, code, str(error))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        found.add(mark.line + 1 if mark else 1, code, f"not YAML: {error.problem or error.context}")
    except yaml.YAMLError as error:
        # A character that YAML does not take; its place is known in bytes only.
        at = getattr(error, "position", 0)
        found.add(content[: at or 0].count(b"\n") + 1, code, "not YAML: a control character")
    return None


def _read(content: bytes, found: Findings, code: str) -> Node:
    if len(content) > BYTES_MAX:
        raise _Unusable(1, "the file is larger than 1 MiB")
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise _Unusable(content[: error.start].count(b"\n") + 1, "the file is not UTF-8") from None
    builder = _Builder(found, code)
    documents = 0
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1:
                raise _Unusable(_line_of(event), "a second document, but a policy is one")
        elif isinstance(event, yaml.NodeEvent):
            builder.begin(event)
        elif isinstance(event, yaml.CollectionEndEvent):
            builder.end()
    return builder.root or Node(None, 1)


@dataclass(slots=True)
class _Open:
    """A list or map that is being read."""

    node: Node
    key: Node | None = None
    """Of a map: the key whose value comes next."""


class _Builder:
    """Puts nodes together without recursion, so that no depth can exhaust a stack."""

    def __init__(self, found: Findings, code: str) -> None:
        self._found = found
        self._code = code
        self._nodes = 0
        self._open: list[_Open] = []
        self.root: Node | None = None

    def begin(self, event: yaml.NodeEvent) -> None:
        """Take in a scalar, or open a list or map."""
        line = _line_of(event)
        self._nodes += 1
        if self._nodes > NODES_MAX:
            raise _Unusable(line, f"more than {NODES_MAX} keys and values")
        if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
            raise _Unusable(line, "anchors and aliases are not supported: use a role")
        if getattr(event, "tag", None) is not None:
            raise _Unusable(line, "tags are not supported")
        if isinstance(event, yaml.ScalarEvent):
            self._put(event.value, event.implicit[0], line)
            return
        if len(self._open) == DEPTH_MAX:
            raise _Unusable(line, f"nested deeper than {DEPTH_MAX} levels")
        self._open.append(_Open(self._add({} if isinstance(event, yaml.MappingStartEvent) else [], line)))

    def end(self) -> None:
        """Close the innermost list or map."""
        self._open.pop()

    def _put(self, text: str, is_plain: bool, line: int) -> None:
        inner = self._open[-1] if self._open else None
        if inner is not None and isinstance(inner.node.value, dict) and inner.key is None:
            if text in inner.node.value:
                self._found.add(line, self._code, f"{text!r} is there a second time")
            inner.key = Node(text, line)
            return
        self._add(_meant(text) if is_plain else text, line)

    def _add(self, value: Value, line: int) -> Node:
        """Put a value where it belongs, and return its node."""
        if not self._open:
            self.root = Node(value, line)
            return self.root
        inner = self._open[-1]
        if isinstance(inner.node.value, list):
            node = Node(value, line)
            inner.node.value.append(node)
            return node
        if inner.key is None:
            raise _Unusable(line, "a key must be a text")
        key, inner.key = inner.key, None
        node = Node(value, key.line)
        # Of two with the same key the first counts, for what else there is to say.
        inner.node.value.setdefault(str(key.value), node)  # type: ignore[union-attr]
        return node


def _line_of(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark else 1


def _meant(plain: str) -> Value:
    """Return what an unquoted scalar stands for."""
    if plain in _WORDS:
        return _WORDS[plain]
    return int(plain) if _WHOLE.fullmatch(plain) else plain
