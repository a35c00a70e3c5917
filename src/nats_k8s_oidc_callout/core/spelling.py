r"""How text that somebody else chose is spelled before it reaches a log or a terminal. The one place that escapes.

A terminal obeys control characters: they move the cursor over what stands there, fill the clipboard (OSC 52) and
rename the window. Letters written from right to left reorder the line around them, marks are drawn over their
neighbours, and some characters show nothing at all. Each of them is spelled as \uXXXX instead.
"""

import re

SHOWN_MAX = 200
"""Characters of what a server or a library says that one line shows."""
_CUT_BYTES = 128

# What str.isprintable takes for printable, and a reader does not see as it is. Written as escapes, for the same reason.
_DECEPTIVE = re.compile(
    "["
    # Shown as nothing: the combining grapheme joiner is among the marks below; fillers, Braille's blank, selectors.
    "\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef"
    # Marks that are drawn over or beside the character before them.
    "\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\u3099\u309a\ufe20-\ufe2f"
    # Scripts that run from right to left.
    "\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufeff\U00010800-\U00010fff\U0001e800-\U0001efff"
    "]"
)


def escape(text: str, keep: str = "", *, ascii_only: bool = False) -> str:
    r"""Return `text` with all that a terminal obeys, hides or reorders spelled as \uXXXX.

    str.isprintable is False for control, bidirectional, most invisible and surrogate characters (Cc, Cf, Zl, Zp, Cs,
    Co, Cn, and odd spaces). `keep` names characters that may stay. `ascii_only` spells everything beyond ASCII, too:
    where nothing else is legal, a letter that only looks like another is what the reader searches for.
    """
    if text.isprintable() and (text.isascii() or not (ascii_only or _DECEPTIVE.search(text))):
        return text
    return "".join(c if c in keep or _is_plain(c, ascii_only) else _spell(c) for c in text)


def line(text: str, limit: int = SHOWN_MAX) -> str:
    """Return the first `limit` characters of `text`, escaped: one line, whatever is in it."""
    return escape(text[:limit])


def _is_plain(character: str, ascii_only: bool) -> bool:
    return character.isprintable() and (character.isascii() or not (ascii_only or _DECEPTIVE.match(character)))


def _spell(character: str) -> str:
    code = ord(character)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def cut(text: str) -> str:
    """Return what is kept of a text that a client chose: it may be kilobytes, and there may be thousands."""
    if len(text) <= _CUT_BYTES and text.isascii():
        return text
    return text.encode("utf-8", "replace")[:_CUT_BYTES].decode("utf-8", "ignore")
