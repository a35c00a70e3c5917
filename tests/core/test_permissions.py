"""What a workload may do: the guide's defaults, what annotations add, and what they can never reach."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nats_k8s_oidc_callout.core import permissions, subjects
from nats_k8s_oidc_callout.core.model import Permissions
from nats_k8s_oidc_callout.core.permissions import Grants, InboxMode, JetStreamGrants, PermissionRules

RULES = PermissionRules()
PUB = "nats.io/allowed-pub-subjects"
SUB = "nats.io/allowed-sub-subjects"
labels = st.from_regex(r"\A[a-z0-9]([-a-z0-9]{0,8}[a-z0-9])?\Z")
names = st.lists(labels, min_size=1, max_size=3).map(".".join)
subject_texts = st.text(st.sampled_from("ab*>._$ JSKVIO,\n"), max_size=30)


def publish(text: str, rules: PermissionRules = RULES) -> tuple[str, ...]:
    """Return what an annotation added to the publish side."""
    return permissions.compile_grant("shop", "web", {PUB: text}, rules).permissions.publish[1:]


def test_defaults_are_the_guides() -> None:
    """
    Without annotations a workload has its namespace, the shared inbox and its own inbox.
    """
    granted = permissions.compile_grant("shop", "web", None, RULES).permissions

    assert ("shop.>",) == granted.publish
    assert ("shop.>", "_INBOX.>", "_INBOX_shop_web.>") == granted.subscribe
    assert (1, 120.0) == (granted.replies_max, granted.replies_ttl_seconds)


def test_private_inbox_mode() -> None:
    """
    In private mode nobody gets the inbox that all share.
    """
    granted = permissions.compile_grant("shop", "web", None, PermissionRules(inbox_mode=InboxMode.PRIVATE))

    assert ("shop.>", "_INBOX_shop_web.>") == granted.permissions.subscribe


def test_annotations_add() -> None:
    """
    Annotations add to the defaults, each side its own, in the order written and each entry once.
    """
    annotations = {PUB: "test.>, a.b,a.b,\n shop.> ,", SUB: "x.*"}
    granted = permissions.compile_grant("shop", "web", annotations, RULES).permissions

    assert ("shop.>", "test.>", "a.b") == granted.publish
    assert ("shop.>", "_INBOX.>", "_INBOX_shop_web.>", "x.*") == granted.subscribe


def test_another_prefix() -> None:
    """
    With another annotation prefix the guide's annotations mean nothing.
    """
    rules = PermissionRules(annotation_prefix="corp.example/")

    assert () == publish("a.b", rules)
    granted = permissions.compile_grant("shop", "web", {"corp.example/allowed-pub-subjects": "a.b"}, rules)
    assert ("shop.>", "a.b") == granted.permissions.publish


@pytest.mark.parametrize("bad", ["foo..bar", "a b", "a\x07b", "x" * 257, "foo.>.bar", "fo*"])
def test_a_bad_entry_spoils_no_other(bad: str) -> None:
    """
    An entry that is no subject is left out and named; its neighbours count.
    """
    grant = permissions.compile_grant("shop", "web", {PUB: f"one.>,{bad},two"}, RULES)

    assert ("shop.>", "one.>", "two") == grant.permissions.publish
    assert [(PUB, bad[:256])] == [(refusal.annotation, refusal.subject) for refusal in grant.refused]


@pytest.mark.parametrize(
    "trespass",
    [
        ">",
        "*",
        "*.>",
        "*.*",
        "*.a",
        "_INBOX.>",
        "_INBOX_other_sa.>",
        "_R_.x",
        "_REPLY",
        "$SYS.>",
        "$SYS.REQ.USER.AUTH",
        "$MQTT.>",
        "$SRV.PING",
        "$G",
        "$JS",
        "$JS.>",
        "$JS.*.>",
        "$JS.API.>",
        "$JS.API.*",
        "$JS.API.STREAM.CREATE.S",
        "$JS.API.STREAM.UPDATE.S",
        "$JS.API.STREAM.INFO.*",
        "$JS.API.STREAM.>",
        "$JS.API.STREAM.MSG.DELETE.S",
        "$JS.API.CONSUMER.*.S",
        "$JS.API.CONSUMER.CREATE.*",
        "$JS.API.CONSUMER.CREATE.>",
        "$JS.API.CONSUMER.>",
        "$JS.API.DIRECT.GET.*.>",
        "$JS.ACK.>",
        "$JS.ACK.*.>",
        "$JS.ACK.S",
        "$KV.>",
        "$KV.*.>",
        "$KV.B",
        "$O.>",
        "$O.*.C.>",
    ],
)
def test_what_no_annotation_reaches(trespass: str) -> None:
    """
    Inboxes, system subjects, and JetStream beyond one named stream stay out of a tenant's reach.
    """
    grant = permissions.compile_grant("shop", "web", {PUB: trespass, SUB: trespass}, RULES)

    assert permissions.compile_grant("shop", "web", None, RULES).permissions == grant.permissions
    assert (PUB, trespass) in [(refusal.annotation, refusal.subject) for refusal in grant.refused]


@pytest.mark.parametrize(
    "granted",
    [
        "$JS.ACK.S.>",
        "$JS.ACK.S.C.>",
        "$JS.FC.S.>",
        "$KV.B.>",
        "$KV.B.key.*",
        "$O.B.>",
        "$JS.API.INFO",
        "$JS.API.STREAM.NAMES",
        "$JS.API.STREAM.INFO.S",
        "$JS.API.STREAM.MSG.GET.S",
        "$JS.API.DIRECT.GET.S",
        "$JS.API.DIRECT.GET.S.>",
        "$JS.API.CONSUMER.CREATE.S",
        "$JS.API.CONSUMER.CREATE.S.>",
        "$JS.API.CONSUMER.DURABLE.CREATE.S.C",
        "$JS.API.CONSUMER.INFO.S.C",
        "$JS.API.CONSUMER.NAMES.S",
        "$JS.API.CONSUMER.LIST.S",
        "$JS.API.CONSUMER.MSG.NEXT.S.C",
        "$JS.API.CONSUMER.DELETE.S.*",
    ],
)
def test_data_of_a_named_stream(granted: str) -> None:
    """
    A tenant may ask for the data of a stream or bucket that it names.
    """
    assert (granted,) == publish(granted)


def test_admin_grants() -> None:
    """
    With JETSTREAM_GRANTS=admin any JetStream subject passes, the system's still do not.
    """
    admin = PermissionRules(jetstream_grants=JetStreamGrants.ADMIN)

    assert ("$JS.API.>", "$KV.>", "$O.>") == publish("$JS.API.>,$KV.>,$O.>,$SYS.>,_INBOX.>,>", admin)


def test_no_more_than_256_entries_a_side() -> None:
    """
    One side has at most 256 entries, the defaults included.
    """
    grant = permissions.compile_grant("shop", "web", {PUB: ",".join(f"s.{i}" for i in range(400))}, RULES)

    assert 256 == len(grant.permissions.publish)
    assert "256" in grant.refused[0].why


def test_a_huge_annotation_is_read_in_part() -> None:
    """
    Of 100,000 bad entries some are named, the rest counted.
    """
    grant = permissions.compile_grant("shop", "web", {PUB: "a b," * 100_000 + "good"}, RULES)

    assert 33 == len(grant.refused)
    assert "and 99969 more entries are left out" == grant.refused[-1].why
    assert ("shop.>",) == grant.permissions.publish


@given(namespaces=st.tuples(labels, labels), accounts=st.tuples(names, names))
def test_inboxes_are_apart(namespaces: tuple[str, str], accounts: tuple[str, str]) -> None:
    """
    No two ServiceAccounts share a message of their private inboxes.
    """
    one, other = zip(namespaces, accounts, strict=True)
    if one == other:
        return

    assert not subjects.overlap(permissions.private_inbox(*one), permissions.private_inbox(*other))


def test_dotted_names_are_apart() -> None:
    """
    ServiceAccount `a` reads nothing of the private inbox of `a.b`.
    """
    assert "_INBOX_team_a_b.>" == permissions.private_inbox("team", "a.b")
    assert not subjects.overlap(permissions.private_inbox("team", "a"), "_INBOX_team_a_b.>")


@given(annotation=st.lists(subject_texts, max_size=8).map(",".join), inbox=names)
def test_no_annotation_reaches_an_inbox_or_the_system(annotation: str, inbox: str) -> None:
    """
    Whatever a tenant writes overlaps no inbox, reply or system subject.
    """
    for subject in publish(annotation):
        assert not subjects.problem(subject)
        for reserved in (
            "_INBOX.>",
            permissions.private_inbox("other", inbox),
            "_R_.>",
            "$SYS.>",
            "$JS.API.STREAM.CREATE.>",
        ):
            assert not subjects.overlap(subject, reserved)


def sides(encoded: bytes) -> dict[str, Any]:
    decoded: dict[str, Any] = json.loads(encoded)
    return decoded


@given(
    publish_side=st.lists(st.sampled_from(["a", "b.>"]), max_size=2).map(tuple),
    subscribe_side=st.lists(st.sampled_from(["a", "b.>"]), max_size=2).map(tuple),
    replies=st.integers(0, 2),
)
def test_no_side_is_left_open(publish_side: tuple[str, ...], subscribe_side: tuple[str, ...], replies: int) -> None:
    """
    In the bytes that go out each side has an allow list or denies everything; nothing at all is no grant.
    """
    encoded = permissions.encode(Permissions(publish_side, subscribe_side, replies, 120.0))
    if not publish_side and not subscribe_side:
        assert b"" == encoded
        return

    for side, allowed in (("pub", publish_side), ("sub", subscribe_side)):
        expected = {"allow": list(allowed)} if allowed else {"deny": [">"]}
        assert expected == sides(encoded)[side]


def test_encoded_grant() -> None:
    """
    The grant is the `nats` object of a version 2 user JWT, without limits, replies in nanoseconds.
    """
    expected = {
        "pub": {"allow": ["a"]},
        "sub": {"allow": ["b"]},
        "resp": {"max": 1, "ttl": 120_000_000_000},
        "subs": -1,
        "data": -1,
        "payload": -1,
        "type": "user",
        "version": 2,
    }

    assert expected == sides(permissions.encode(Permissions(("a",), ("b",), 1, 120.0)))


def test_replies_can_be_turned_off() -> None:
    """
    With no replies allowed the user JWT has no reply permission.
    """
    assert "resp" not in sides(permissions.encode(Permissions(("a",), ("b",), 0, 120.0)))


def test_grants_are_made_once() -> None:
    """
    The refusals of a workload's annotations are told when its grant is made, and not again until they change.
    """
    grants = Grants(RULES)
    first, refused = grants.of("shop", "web", {PUB: "a b"})

    assert 1 == len(refused)
    assert (first, ()) == grants.of("shop", "web", {PUB: "a b"})
    changed, refused = grants.of("shop", "web", {PUB: "other"})
    assert first != changed
    assert () == refused


def test_grants_of_others_are_not_mixed_up() -> None:
    """
    Two workloads with equal annotations have each its own grant.
    """
    grants = Grants(RULES)

    assert grants.of("shop", "web", None) != grants.of("shop", "api", None)
    assert grants.of("shop", "web", None) != grants.of("bank", "web", None)


def test_grants_are_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Large grants push out old ones, never the newest.
    """
    monkeypatch.setattr(permissions, "CACHE_BYTES", 10_000)
    grants = Grants(RULES)
    for number in range(50):
        grants.of("shop", f"web{number}", {PUB: ",".join(f"a.{i}" for i in range(200))})

    assert 0 < grants.size <= 10_000
    assert grants.of("shop", "web49", {PUB: ",".join(f"a.{i}" for i in range(200))})[0]
