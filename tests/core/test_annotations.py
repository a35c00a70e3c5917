"""What a workload may do: the guide's defaults, and what annotations add."""

from dataclasses import replace

import pytest

from nats_k8s_oidc_callout.core.grants.annotations import compile_grant
from nats_k8s_oidc_callout.core.grants.entries import Reader
from nats_k8s_oidc_callout.core.grants.terms import InboxMode, ReplyMode, Terms
from nats_k8s_oidc_callout.core.nats import subjects
from tests.fakes.rules import PREFIX, TERMS

PUB = "nats.io/allowed-pub-subjects"
SUB = "nats.io/allowed-sub-subjects"
INBOXES = ("shop.>", "_INBOX.>", "_INBOX_SA.shop.web.>", "_INBOX_shop_web.>")


def publish(text: str, terms: Terms = TERMS) -> tuple[str, ...]:
    """Return what an annotation added to the publish side."""
    grant = compile_grant("shop", "web", {PUB: text}, terms, PREFIX)
    return grant.permissions.publish[len(grant.default_publish) :]


def test_defaults() -> None:
    """
    Without annotations a workload has its namespace, may answer into the inboxes that all may answer, and hears the
    shared inbox and its own two. The reply permission, by which it could publish anywhere, is not among them.
    """
    grant = compile_grant("shop", "web", None, TERMS, PREFIX)

    assert ("shop.>", "_INBOX.>", "_INBOX_SA.>") == grant.permissions.publish == grant.default_publish
    assert INBOXES == grant.permissions.subscribe == grant.default_subscribe
    assert 0 == grant.permissions.replies_max


def test_private_inbox_mode() -> None:
    """In private mode nobody gets the inbox that all share; its own two each still has, and may answer as before."""
    granted = compile_grant("shop", "web", None, replace(TERMS, inbox_mode=InboxMode.PRIVATE), PREFIX).permissions

    assert ("shop.>", "_INBOX_SA.shop.web.>", "_INBOX_shop_web.>") == granted.subscribe
    assert ("shop.>", "_INBOX.>", "_INBOX_SA.>") == granted.publish


@pytest.mark.parametrize(("mode", "replies"), [(ReplyMode.RESPONSES, (3, 7.5)), (ReplyMode.NONE, (0, 0.0))])
def test_reply_modes_without_the_right_to_publish_to_inboxes(mode: ReplyMode, replies: tuple[int, float]) -> None:
    """
    With `responses` the reply permission takes the place of the inboxes, with `none` nothing does; what a workload hears
    is the same.
    """
    terms = replace(TERMS, reply_mode=mode, replies_max=3, replies_ttl_seconds=7.5)
    granted = compile_grant("shop", "web", None, terms, PREFIX).permissions

    assert (("shop.>",), INBOXES) == (granted.publish, granted.subscribe)
    assert replies == (granted.replies_max, granted.replies_ttl_seconds)


def test_annotations_add() -> None:
    """Annotations add to the defaults, each side its own, in the order written and each entry once."""
    annotations = {PUB: "test.>, a.b,a.b,\n shop.> ,", SUB: "x.*"}
    granted = compile_grant("shop", "web", annotations, TERMS, PREFIX).permissions

    assert ("shop.>", "_INBOX.>", "_INBOX_SA.>", "test.>", "a.b") == granted.publish
    assert (*INBOXES, "x.*") == granted.subscribe


def test_a_key_that_nobody_reads_is_told() -> None:
    """
    A misspelt key under the prefix is named without an entry, at most eight, cut. What is right still
    counts.
    """
    keys = [PUB, "nats.io/allowed-pub-subject", "other.io/x"]
    grant = compile_grant("shop", "web", Reader("nats.io/").read(dict.fromkeys(keys, "a.b")), TERMS, PREFIX)
    many = compile_grant(
        "shop", "web", Reader("nats.io/").read({f"nats.io/{n:0200}": "" for n in range(99)}), TERMS, PREFIX
    )

    assert "a.b" in grant.permissions.publish
    assert [keys[1:2], [""]] == [[one.annotation for one in grant.refused], [one.subject for one in grant.refused]]
    assert {"is not supported: allowed-pub-subjects, allowed-sub-subjects, jetstream are, with the same prefix"} == {
        one.why for one in grant.refused
    }
    assert (8, 80) == (len(many.refused), max(len(one.annotation) for one in many.refused))


def test_another_prefix() -> None:
    """With another annotation prefix the guide's annotations mean nothing."""
    for prefix, more in (("nats.io/", ()), ("corp.example/", ("a.b",))):
        written = {f"{prefix}allowed-pub-subjects": "a.b"}
        grant = compile_grant("shop", "web", written, TERMS, "corp.example/")
        assert (*grant.default_publish, *more) == grant.permissions.publish


@pytest.mark.parametrize("bad", ["foo..bar", "a b", "a\x07b", "x" * 257, "foo.>.bar", "fo*"])
def test_a_bad_entry_spoils_no_other(bad: str) -> None:
    """An entry that is no subject is left out and named; its neighbours count."""
    grant = compile_grant("shop", "web", {PUB: f"one.>,{bad},two"}, TERMS, PREFIX)

    assert (*grant.default_publish, "one.>", "two") == grant.permissions.publish
    assert [(PUB, bad[:256])] == [(refusal.annotation, refusal.subject) for refusal in grant.refused]


def test_no_more_than_256_entries_a_side() -> None:
    """One side has at most 256 entries, the defaults included."""
    grant = compile_grant("shop", "web", {PUB: ",".join(f"s.{i}" for i in range(400))}, TERMS, PREFIX)

    assert 256 == len(grant.permissions.publish)
    assert "256" in grant.refused[0].why


def test_a_huge_annotation_is_read_in_part() -> None:
    """Of thousands of bad entries 32 are named and the rest counted; nothing after them is read."""
    grant = compile_grant("shop", "web", {PUB: ",".join(f"a {n}" for n in range(1000)) + ",good"}, TERMS, PREFIX)

    assert 33 == len(grant.refused)
    last = grant.refused[-1]
    assert "and 969 more entries are left out: reading stops after 32 that are left out" == last.why
    # Explain spells what is not ASCII there, for no subject is.
    assert "..." == last.subject
    assert grant.default_publish == grant.permissions.publish


def test_reading_stops_at_72_kib() -> None:
    """What stands beyond 72 KiB is not read, and that is told; no half entry counts."""
    grant = compile_grant("shop", "web", {PUB: "a.b.>," * 12_500 + "beyond"}, TERMS, PREFIX)
    half = compile_grant("shop", "web", {PUB: "x" * (72 * 1024 - 5) + ",a.b.>x"}, TERMS, PREFIX)

    assert (*grant.default_publish, "a.b.>") == grant.permissions.publish
    assert ["is where reading stops: an annotation may have 72 KiB"] == [refusal.why for refusal in grant.refused]
    assert half.default_publish == half.permissions.publish


def test_nothing_is_checked_after_the_last_entry_that_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 9,000 good entries, 9,000 bad ones, or one entry 9,000 times, at most 256 are looked at."""
    looked_at: list[str] = []
    problem = subjects.problem

    def look(subject: str) -> str:
        looked_at.append(subject)
        return problem(subject)

    monkeypatch.setattr(subjects, "problem", look)
    for text in (",".join(f"s.{n}" for n in range(9000)), ",".join(f"a {n}" for n in range(9000)), "a," * 9000):
        looked_at.clear()
        compile_grant("shop", "web", {PUB: text}, TERMS, PREFIX)
        assert len(looked_at) <= 256
