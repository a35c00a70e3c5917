"""The annotation nats.io/jetstream: intents that a workload asks for, taken whole or left out."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nats_k8s_oidc_callout.core.grants import intents
from nats_k8s_oidc_callout.core.grants.annotations import Grant, compile_grant
from nats_k8s_oidc_callout.core.grants.filter import JetStreamGrants
from nats_k8s_oidc_callout.core.grants.intents import Intent
from nats_k8s_oidc_callout.core.grants.terms import NO_ANNOTATIONS, Ceilings, Terms
from tests.core.test_intents import texts
from tests.fakes.rules import PREFIX, TERMS

KEY, PUB = "nats.io/jetstream", "nats.io/allowed-pub-subjects"
RULED = replace(TERMS, rule="teams")


def asked(text: str, subjects: str = "", terms: Terms = TERMS) -> Grant:
    """Return the grant of a workload with these intents and these subjects to publish."""
    return compile_grant("shop", "web", {KEY: text, PUB: subjects}, terms, PREFIX)


def added(grant: Grant) -> tuple[str, ...]:
    return grant.permissions.publish[len(grant.default_publish) :]


def come_to(text: str) -> tuple[str, ...]:
    intent = intents.parse(text)
    assert isinstance(intent, Intent)
    return intents.entries(intent)


def left_out(grant: Grant) -> list[tuple[str, str]]:
    assert {KEY} >= {one.annotation for one in grant.refused}
    return [(one.subject, one.why) for one in grant.refused]


def test_intents_come_after_the_subjects_that_are_asked_for() -> None:
    """
    Each adds its entries to what may be published, each once, with itself as their origin; what is asked for as a
    subject, too, stays that. The subscribe side is as before.
    """
    grant = asked("kv-write:CFG,\nlookup , kv-read:CFG", "lookup,$KV.CFG.>")
    without = asked("")

    assert sorted((*come_to("kv-write:CFG"), "$JS.API.STREAM.NAMES", "lookup")) == sorted(added(grant))
    assert ("lookup", "$KV.CFG.>", "$JS.API.INFO") == added(grant)[:3]
    origins = dict(zip(grant.permissions.publish, grant.publish_origins, strict=True))
    assert {f"annotation:{PUB}", f"annotation:{KEY} kv-write:CFG", f"annotation:{KEY} lookup"} == {
        origins[subject] for subject in added(grant)
    }
    assert f"annotation:{PUB}" == origins["$KV.CFG.>"]
    assert without.permissions.subscribe == grant.permissions.subscribe
    assert () == grant.refused


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("consume:*", "names no stream or bucket: a name has letters, digits, - and _"),
        ("pull:ORDERS", f"has none of the verbs {', '.join(intents.VERBS)}"),
        ("publish:$JS.API.>", "reaches JetStream beyond the data of one named stream or bucket (JETSTREAM_GRANTS)"),
        ("publish:>", "starts with a wildcard, which reaches every inbox and system subject"),
        ("publish:_x.>", "is reserved for inboxes and replies"),
        ("publish:$SYS.>", "is a system subject"),
        ("a" * 300, "is longer than 256 characters"),
    ],
)
def test_an_intent_that_is_left_out_spoils_no_other(text: str, why: str) -> None:
    """It is named, at most 256 characters of it, and told why; its neighbours count."""
    grant = asked(f"stream-info:A,{text},lookup")

    assert [(text[:256], why)] == left_out(grant)
    assert (*come_to("stream-info:A"), *come_to("lookup")) == added(grant)


def test_what_the_filter_lets_through_with_admin() -> None:
    """A subject as an intent is judged like a subject."""
    terms = replace(TERMS, jetstream_grants=JetStreamGrants.ADMIN)

    assert ("$JS.API.>",) == added(asked("publish:$JS.API.>", terms=terms))


@pytest.mark.parametrize(
    ("ceilings", "why"),
    [
        (None, ""),
        (Ceilings(jetstream=("consume:shop_*",)), ""),
        (
            Ceilings(jetstream=("consume:SHOP",), publish=("$JS.>", ">")),
            "is beyond what rule teams lets annotations ask for",
        ),
        (NO_ANNOTATIONS, "rule teams gives annotations no say"),
    ],
)
def test_intents_stay_below_their_ceilings(ceilings: Ceilings | None, why: str) -> None:
    """Those of the rule for JetStream count, and no others."""
    grant = asked("consume:shop_orders", terms=replace(RULED, ceilings=ceilings))

    assert ([] if not why else [("consume:shop_orders", why)]) == left_out(grant)
    assert (() if why else come_to("consume:shop_orders")) == added(grant)


def test_an_intent_is_taken_whole_or_left_out() -> None:
    """
    Of 256 entries a side, those that are there count once; a smaller intent may still fit where a larger one did not.
    When all are taken, nothing is read any more.
    """
    many = ",".join(f"s.{n}" for n in range(256 - 3 - 4))
    grant = asked("consume:S,stream-info:S,lookup", many)
    again = asked("consume:S", ",".join([*(f"s.{n}" for n in range(242)), *come_to("consume:S")[:9]]))

    assert 256 == len(grant.permissions.publish)
    assert come_to("stream-info:S") == added(grant)[-4:]
    assert [
        ("consume:S", "needs 11 entries, and one side may have 256"),
        ("...", "and 1 more entries are left out: one side may have 256 entries"),
    ] == left_out(grant)
    assert set(come_to("consume:S")) <= set(again.permissions.publish)


@pytest.mark.parametrize(
    ("text", "last"),
    [
        (",".join(f"x:{n}" for n in range(9000)), "are left out: reading stops after 32 that are left out"),
        (",".join(f"consume:S{n}" for n in range(9000)), "are left out: reading stops after 32 that are left out"),
        (",".join(f"kv-read:B{n}" for n in range(9000)), "more entries are left out: one side may have 256 entries"),
        (",".join(f"publish:s.{n}" for n in range(9000)), "more entries are left out: one side may have 256 entries"),
        (",".join(f"consume:S/C{n}/{n}" for n in range(9000)), "more entries are left out: "),
        ("lookup," * 12_000, "is where reading stops: an annotation may have 72 KiB"),
    ],
)
def test_reading_stops(monkeypatch: pytest.MonkeyPatch, text: str, last: str) -> None:
    """Of thousands no more than some hundred are looked at, however they are made."""
    looked_at: list[str] = []
    parse = intents.parse

    def look(text: str) -> Intent | str:
        looked_at.append(text)
        return parse(text)

    monkeypatch.setattr(intents, "parse", look)
    grant = asked(text)

    assert len(looked_at) <= 256 + 32
    assert last in grant.refused[-1].why


@given(st.lists(st.one_of(texts, st.text("$JSKV._>*ab:/consumepublish", max_size=30)), max_size=8))
def test_no_intent_gives_what_its_entries_would_not(written: list[str]) -> None:
    """Whatever is written there, a tenant could have had each entry of it by the annotation for subjects, too."""
    grant = asked(",".join(written))
    by_subject = asked("", ",".join(added(grant)))

    assert added(grant) == added(by_subject)
