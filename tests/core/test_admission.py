"""The ValidatingAdmissionPolicy has the tables of the filter; tests/e2e/test_admission.py asks a real API server."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nats_k8s_oidc_callout.core.grants import admission, entries, intents
from nats_k8s_oidc_callout.core.grants import filter as reach
from nats_k8s_oidc_callout.core.grants.filter import JetStreamGrants, Side
from nats_k8s_oidc_callout.core.nats import subjects
from tests.core.test_filter import HEARD, PUBLISHED, subject_texts

SPACES = "".join(filter(str.isspace, map(chr, range(0x10000))))


def patterns(grants: JetStreamGrants, name: str) -> list[re.Pattern[str]]:
    """Return the regular expressions of the variables whose name begins like this, written for Python."""
    variables = admission.policy("nats.io/", grants)["spec"]["variables"]
    texts = [each["expression"] for each in variables if each["name"].startswith(name)]
    found = [one for text in texts for one in re.findall(r"r'([^']+)'", text)]
    return [re.compile(re.sub(r"\\x\{(\w+)\}", r"\\u\1", one)) for one in found]


def refuses(entry: str, side: Side, grants: JetStreamGrants) -> bool:
    """Say what the variables come to for one well-formed entry."""
    reserved, *listed = (*patterns(grants, f"{side}Left"), *patterns(grants, f"{side}Reserved"))
    return reserved.search(entry) is not None and not any(one.search(entry) for one in listed)


@pytest.mark.parametrize("grants", JetStreamGrants)
@pytest.mark.parametrize("side", Side)
@given(subject_texts.filter(lambda text: not subjects.problem(text)) | st.sampled_from([*PUBLISHED, *HEARD]))
def test_its_tables_are_those_of_the_filter(side: Side, grants: JetStreamGrants, entry: str) -> None:
    """What the filter takes passes, what it leaves out is refused."""
    assert (reach.trespass(entry, side, grants) != "") == refuses(entry, side, grants)


@given(st.text(st.sampled_from("ab.*>é\x7f \t")) | st.sampled_from([">", "a.>", "a.*.>"]))
def test_its_grammar_is_that_of_subjects(text: str) -> None:
    """The regular expression without possessive quantifiers, which RE2 does not have, says the same."""
    (malformed,) = patterns(JetStreamGrants.DATA, "publishMalformed")
    assert (subjects.problem(text) == "") == (malformed.search(text) is not None)


@given(st.lists(st.sampled_from([*intents.VERBS, ":", "/", ":", "/", "A", "a-1", "_", "a.>", "a..b", " "]), max_size=7))
def test_its_intents_are_those_of_intents(parts: list[str]) -> None:
    """What the grammar of intents takes passes."""
    text = "".join(parts)
    (malformed,) = patterns(JetStreamGrants.DATA, "intentsMalformed")
    assert isinstance(intents.parse(text), intents.Intent) == (malformed.search(text) is not None)


@given(st.text(st.sampled_from("ab,\n" + SPACES)))
def test_it_finds_the_entries_that_we_find(text: str) -> None:
    """Commas, newlines and white space of all kinds separate the same texts."""
    (entry,) = patterns(JetStreamGrants.DATA, "publishEntries")
    assert entries.split(text) == list(dict.fromkeys(entry.findall(text)))


@pytest.mark.parametrize("grants", JetStreamGrants)
def test_no_expression_costs_too_much(grants: JetStreamGrants) -> None:
    """A whole annotation against one regular expression stays below 1,000,000 units, with room for the rest."""
    variables = admission.policy("nats.io/", grants)["spec"]["variables"]
    lengths = [len(one) for each in variables for one in re.findall(r"r'([^']+)'", each["expression"])]

    assert max(lengths) * 0.25 * (entries.BYTES_MAX + 10 * 256) * 0.1 < 900_000


def test_a_binding_may_be_for_some_namespaces() -> None:
    """A release that watches some namespaces judges only these."""
    (chosen,) = admission.binding(["a", "b"])["spec"]["matchResources"]["namespaceSelector"]["matchExpressions"]

    assert {"key": "kubernetes.io/metadata.name", "operator": "In", "values": ["a", "b"]} == chosen
    assert "matchResources" not in admission.binding()["spec"]
