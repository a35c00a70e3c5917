"""Looks for secrets in logs: no 16 bytes in a row of a token's payload or signature, a seed or a password.

Whoever makes a secret in a test registers it: `SECRETS.register("token", text)`. Processes share the list
through the file that CALLOUT_TEST_SECRETS names. At the end `SECRETS.scan(log)` must return nothing.

What counts, for every registered text:
- its own bytes, and their base64 in both alphabets and at all three alignments (so also inside a longer text
  that was encoded as a whole), each in windows of 16;
- of a JWT, payload and signature; the header is no secret (its `kid` is logged on purpose);
- of a JWT's payload as decoded JSON, only windows over a joint of its structure (`":{"`, `":["`, `"},"`, `],"`).
  Its values alone are what a decision line is for: namespace, names, issuer, pod, `jti`, uid. Whoever logs the
  claims as a whole, as JSON or as Python shows a dict, is caught at the joints;
- of a password shorter than a window, the whole.
Lines are also read with their backslash escapes undone, up to three times (JSON in JSON).
"""

import base64
import binascii
import bisect
import itertools
import json
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple, TypeVar

WINDOW = 16
# A common run of 16 bytes holds one of the pieces of 8 that begin at every ninth byte, wherever it starts.
PIECE = 8
STRIDE = WINDOW - PIECE + 1
SHORTEST_PASSWORD = 6
WORD = 4
ENVIRONMENT = "CALLOUT_TEST_SECRETS"

_RUN = re.compile(rb"[A-Za-z0-9+/_-]{16,}")
_UUID = re.compile(rb"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\Z")
_ESCAPE = re.compile(rb"""\\(?:u00([0-7][0-9a-fA-F])|(["'\\/]))""")
_JOINT = re.compile(rb'":\{"|":\[|"\},"|\],"')
_SEED = re.compile(rb"S[OANUXC][A-Z2-7]{56}")
_JWT = re.compile(rb"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")
_ONE_ALPHABET = bytes.maketrans(b"-_", b"+/")
_OTHER_ALPHABET = bytes.maketrans(b"+/", b"-_")

Text = TypeVar("Text", str, bytes)


class Finding(NamedTuple):
    """Something of a secret of this `kind` stands in the line that begins at byte `offset`."""

    kind: str
    offset: int


class Secrets:
    """The secrets of a run; with `path` also those that other processes of the run append there."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._known: set[tuple[str, bytes]] = set()

    def register(self, kind: str, value: Text) -> Text:
        """Remember `value` and return it. `kind`: token, jwt, seed, password, or creds (a whole file)."""
        raw: str | bytes = value
        entry = (kind, raw.encode() if isinstance(raw, str) else raw)
        if entry not in self._known:
            self._known.add(entry)
            if self._path is not None:
                line = json.dumps([kind, base64.b64encode(entry[1]).decode()]).encode() + b"\n"
                # One write in append mode: lines of several processes do not mix.
                descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
                try:
                    os.write(descriptor, line)
                finally:
                    os.close(descriptor)
        return value

    def load(self) -> None:
        """Take in what other processes registered."""
        if self._path is not None and self._path.exists():
            for line in self._path.read_bytes().splitlines():
                kind, value = json.loads(line)
                self._known.add((kind, base64.b64decode(value)))

    def scan(self, log: bytes) -> list[Finding]:
        """Return one finding for each kind and line, in the order of the log; empty is what we want."""
        self.load()
        # Other threads of the run go on registering meanwhile.
        known = frozenset(self._known)
        lines = _distinct_lines(log)
        found: set[Finding] = set()
        for search in (_encoded, _joints, _passwords):
            found.update(search(lines, known))
        return sorted(found, key=lambda finding: finding.offset)


def _distinct_lines(log: bytes) -> dict[bytes, int]:
    """Map each different line, and what is under its escapes, to where it first begins."""
    lines: dict[bytes, int] = {}
    offset = 0
    for line in log.split(b"\n"):
        text = line
        for _ in range(4):
            lines.setdefault(text, offset)
            if b"\\" not in text:
                break
            text = _ESCAPE.sub(lambda match: bytes([int(match[1], 16)]) if match[1] else match[2], text)
        offset += len(line) + 1
    return lines


def _encoded(lines: dict[bytes, int], known: Iterable[tuple[str, bytes]]) -> Iterator[Finding]:
    """Find base64 and other texts without punctuation: log and secret meet in the log's own windows."""
    runs: dict[bytes, int] = {}
    for line, offset in lines.items():
        for run in _RUN.findall(line):
            # Every line has a `jti` of its own; a password that is a uuid is found by _passwords.
            if run not in runs and not _UUID.match(run):
                runs[run] = offset
    pieces: set[bytes] = set()
    windows: dict[bytes, int] = {}
    for run, offset in runs.items():
        text = run.translate(_ONE_ALPHABET)
        pieces.update(text[i : i + PIECE] for i in range(len(text) - PIECE + 1))
        for i in range(len(text) - WINDOW + 1):
            windows.setdefault(text[i : i + WINDOW], offset)
    forms = {(kind, form) for kind, value in known for form in _forms(kind, value)}
    for secret_kind, form in forms:
        for window in _windows_beside(form, pieces):
            if window in windows and _tells(window):
                yield Finding(secret_kind, windows[window])


def _windows_beside(form: bytes, pieces: set[bytes]) -> Iterator[bytes]:
    """Yield the windows of `form` that hold one of its pieces which the log has too."""
    for i in range(0, len(form) - PIECE + 1, STRIDE):
        if form[i : i + PIECE] in pieces:
            for start in range(max(0, i - STRIDE + 1), min(i, len(form) - WINDOW) + 1):
                yield form[start : start + WINDOW]


def _forms(kind: str, value: bytes) -> Iterator[bytes]:
    """Yield what of a secret could stand in a log as a run of base64 characters, in one alphabet."""
    for text, decoded in _parts(kind, value):
        yield text.translate(_ONE_ALPHABET)
        yield from (_base64(text, shift) for shift in range(3))
        if decoded:
            yield from (_base64(decoded, shift) for shift in range(3))


def _parts(kind: str, value: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield each secret part of a value, with what it decodes to."""
    if kind == "creds":
        for seed in _SEED.findall(value):
            yield seed, b""
        for jwt in _JWT.findall(value):
            yield from _parts("jwt", jwt)
    elif kind in ("token", "jwt") and value.count(b".") == 2:
        for part in value.split(b".")[1:]:
            yield part, _decoded(part)
    else:
        yield value, b""


def _decoded(part: bytes) -> bytes:
    try:
        return base64.urlsafe_b64decode(part + b"=" * (-len(part) % 4))
    except (binascii.Error, ValueError):
        return b""


def _base64(value: bytes, shift: int) -> bytes:
    """Return the base64 characters that `value` alone decides when `shift` bytes (mod 3) stand before it."""
    encoded = base64.b64encode(b"\0" * shift + value)
    return encoded[-(-8 * shift // 6) : 8 * (shift + len(value)) // 6]


def _tells(window: bytes) -> bool:
    # Sixteen times the same letter stands in many a test's placeholder, and betrays nobody.
    return len(set(window)) >= 5


def _joints(lines: dict[bytes, int], known: Iterable[tuple[str, bytes]]) -> Iterator[Finding]:
    """Find decoded claims by the joints of their structure."""
    windows: dict[bytes, int] = {}
    for line, offset in lines.items():
        for window in _around_joints(line):
            windows.setdefault(window, offset)
    if not windows:
        return
    payloads = {(kind, decoded) for kind, value in known for _, decoded in _parts(kind, value) if b"{" in decoded}
    for kind, payload in payloads:
        for window in _around_joints(payload):
            if window in windows and _tells(window):
                yield Finding(kind, windows[window])


def _around_joints(text: bytes) -> Iterator[bytes]:
    if b"[" not in text and b"{" not in text:
        return
    # As JSON writes it and as Python shows it, with or without spaces, becomes one spelling.
    text = text.replace(b"'", b'"').replace(b'": ', b'":').replace(b'", ', b'",').replace(b', "', b',"')
    for joint in _JOINT.finditer(text):
        # With some of the word before it: a logged list of audiences is a joint too, under another name.
        for i in range(max(0, joint.end() - WINDOW), joint.start() - WORD + 1):
            window = text[i : i + WINDOW]
            if len(window) == WINDOW:
                yield window


def _passwords(lines: dict[bytes, int], known: Iterable[tuple[str, bytes]]) -> Iterator[Finding]:
    """Find passwords as they are, whatever characters they have; short ones whole, in base64 too."""
    text = b"\n".join(lines)
    ends = list(itertools.accumulate(len(line) + 1 for line in lines))
    offsets = list(lines.values())
    for kind, value in known:
        if kind != "password":
            continue
        forms = {value}
        if len(value) < WINDOW:
            encoded = {_base64(value, shift) for shift in range(3)}
            forms |= encoded | {form.translate(_OTHER_ALPHABET) for form in encoded}
        for form in forms:
            length = min(WINDOW, len(form))
            for i in range(len(form) - length + 1):
                place = text.find(form[i : i + length])
                if place >= 0 and length >= SHORTEST_PASSWORD:
                    yield Finding(kind, offsets[bisect.bisect_right(ends, place)])


def _from_environment() -> Secrets:
    path = os.environ.get(ENVIRONMENT)
    return Secrets(Path(path) if path else None)


SECRETS = _from_environment()
"""This process's own list: what fakes and builders register with."""
