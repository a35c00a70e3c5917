"""How strangers' text is spelled."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nats_k8s_oidc_callout.core.spelling import SHOWN_MAX, escape, line


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text, 'quoted'", "plain text, 'quoted'"),
        ("Grüße an Łukasz, 東京", "Grüße an Łukasz, 東京"),
        ("\x1b[2J", "\\u001b[2J"),
        ("\x9b2J\x7f", "\\u009b2J\\u007f"),
        ("a\r\nb\tc", "a\\u000d\\u000ab\\u0009c"),
        ("\u202egpj.exe", "\\u202egpj.exe"),
        ("pay\u200bpal", "pay\\u200bpal"),
        ("no\u00a0break", "no\\u00a0break"),
        ("\ud800", "\\ud800"),
        ("\u3164\u2800\ufe0f\U000e0101", "\\u3164\\u2800\\ufe0f\\U000e0101"),
        ("a\u0335\u0489", "a\\u0335\\u0489"),
        ("שלום", "\\u05e9\\u05dc\\u05d5\\u05dd"),
        ("\ue000", "\\ue000"),
    ],
)
def test_what_a_terminal_would_not_show_as_it_is(text: str, shown: str) -> None:
    """Control, invisible, overprinting and right-to-left characters are spelled, letters and signs stay."""
    assert shown == escape(text)


def test_what_may_stay() -> None:
    """A traceback keeps its lines; where only ASCII is legal a look-alike is spelled, too."""
    assert "a\n\\u0009b" == escape("a\n\tb", keep="\n")
    assert "\\u0430udit ok" == escape("\u0430udit ok", ascii_only=True)


def test_a_line_is_short() -> None:
    """Of a long text the beginning is one line."""
    assert "\\u000a" * SHOWN_MAX == line("\n" * 10_000)


@given(st.text())
def test_nothing_else_comes_out(text: str) -> None:
    """Whatever goes in, what comes out stands on one line, from left to right, with nothing hidden."""
    shown = escape(text)

    assert shown.isprintable()
    assert not {unicodedata.bidirectional(c) for c in shown} & {"R", "AL", "AN", "RLE", "RLO", "RLI"}
    assert shown == escape(shown)
