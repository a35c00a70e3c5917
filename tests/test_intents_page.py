"""docs/JETSTREAM_INTENTS.md says what an intent comes to."""

import re
from pathlib import Path

from nats_k8s_oidc_callout.core.grants import intents
from nats_k8s_oidc_callout.core.grants.intents import Intent

PAGE = Path(__file__).resolve().parents[1] / "docs" / "JETSTREAM_INTENTS.md"


def test_the_page_prints_what_each_intent_comes_to() -> None:
    """Every verb has its row, and `consume` one for each of its forms, with exactly the entries that are granted."""
    rows = re.findall(r"^\| `([^`]+)` \| [^|]+ \| (`[^|]+`) \|$", PAGE.read_text(), re.MULTILINE)
    printed = {intents.parse(text): tuple(re.findall(r"`([^`]+)`", entries)) for text, entries in rows}

    assert printed == {one: intents.entries(one) for one in printed if isinstance(one, Intent)}
    assert {*intents.VERBS} == {one.verb for one in printed if isinstance(one, Intent)}
    assert 2 + len(intents.VERBS) == len(printed)
