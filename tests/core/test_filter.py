"""What annotations can never reach, and the data of a stream, a bucket or a service that they can."""

from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nats_k8s_oidc_callout.core.grants import filter as reach
from nats_k8s_oidc_callout.core.grants.annotations import compile_grant
from nats_k8s_oidc_callout.core.grants.filter import JetStreamGrants, Side
from nats_k8s_oidc_callout.core.grants.terms import InboxMode, ReplyMode, Terms
from nats_k8s_oidc_callout.core.nats import subjects
from nats_k8s_oidc_callout.core.nats.subjects import guide_inbox, private_inbox
from tests.core.overlap import overlap
from tests.fakes.rules import PREFIX, TERMS

# Nothing that is refused here is a default already.
RULES = replace(TERMS, inbox_mode=InboxMode.PRIVATE, reply_mode=ReplyMode.NONE)
PUB = "nats.io/allowed-pub-subjects"
SUB = "nats.io/allowed-sub-subjects"
labels = st.from_regex(r"\A[a-z0-9]([-a-z0-9]{0,8}[a-z0-9])?\Z")
names = st.lists(labels, min_size=1, max_size=3).map(".".join)
subject_texts = st.text(st.sampled_from("ab*>._$ JSKVIO,\n"), max_size=30)


def publish(text: str, terms: Terms = RULES) -> tuple[str, ...]:
    """Return what an annotation added to the publish side."""
    grant = compile_grant("shop", "web", {PUB: text}, terms, PREFIX)
    return tuple(entry for entry in grant.permissions.publish if entry not in grant.default_publish)


def subscribe(text: str, terms: Terms = RULES) -> tuple[str, ...]:
    """Return what an annotation added to the subscribe side."""
    grant = compile_grant("shop", "web", {SUB: text}, terms, PREFIX)
    return tuple(entry for entry in grant.permissions.subscribe if entry not in grant.default_subscribe)


@pytest.mark.parametrize(
    "trespass",
    [
        *(">", "*", "*.>", "*.*", "*.a", "_INBOX.>", "_INBOX_other_sa.>", "_INBOX_SA", "_INBOX_SA.>"),
        *("_INBOX_SA.other.sa.>", "_INBOX_SA.shop.web.x", "_R_.x", "_GR_.>", "_REPLY", "$SYS.>"),
        *("$SYS.REQ.USER.AUTH", "$MQTT.>", "$SRV.>", "$SRV.*", "$SRV.PING.*", "$SRV.PING.>"),
        *("$SRV.PING.orders.id.x", "$SRV.ADD", "$G", "$JS", "$JS.>", "$JS.*.>", "$JS.API.>", "$JS.API.*"),
        *("$JS.API.STREAM.CREATE.S", "$JS.API.STREAM.UPDATE.S", "$JS.API.STREAM.INFO.*", "$JS.API.STREAM.>"),
        *("$JS.API.STREAM.MSG.DELETE.S", "$JS.API.CONSUMER.*.S", "$JS.API.CONSUMER.CREATE.*"),
        *("$JS.API.CONSUMER.CREATE.>", "$JS.API.CONSUMER.>", "$JS.API.DIRECT.GET.*.>", "$JS.ACK.>"),
        *("$JS.ACK.*.>", "$JS.ACK.S", "$JS.ACK._.>", "$JS.ACK.*.*.>", "$JS.ACK.*.*.S.>"),
        *("$JS.ACK.*.*.S.*.*.*.*.>", "$JS.ACK.*.*.*.*.*.*.*.*.>", "$JS.ACK.*.*.5.*.*.*.*.*.>"),
        *("$JS.ACK.*.*.5.>", "$JS.FC._.>", "$JS.FC.*.*.>", "$JS.FC.*.*.5.>", "$JS.hub.API.INFO"),
        *("$JS.hub.API.CONSUMER.MSG.NEXT.S.C", "$JS.EVENT.>", "$JS.EVENT.ADVISORY.>", "$JS.EVENT.ADVISORY.API"),
        *("$JS.EVENT.ADVISORY.CONSUMER.*.S.>", "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.>"),
        *("$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.*.>", "$JS.API.STREAM.PURGE.S", "$JS.API.STREAM.PURGE.*"),
        *("$JS.API.STREAM.PURGE.KV_", "$JS.API.STREAM.PURGE.KV_B.x", "$JS.API.INFO.x"),
        *("$JS.API.STREAM.NAMES.>", "$JS.API.STREAM.LIST", "$KV.>", "$KV.*", "$KV.*.>", "$KV.B", "$O.>"),
        *("$O.*.C.>",),
    ],
)
def test_what_no_annotation_reaches(trespass: str) -> None:
    """Inboxes, system subjects, and JetStream beyond one named stream stay out of a tenant's reach."""
    grant = compile_grant("shop", "web", {PUB: trespass, SUB: trespass}, RULES, PREFIX)

    assert compile_grant("shop", "web", None, RULES, PREFIX).permissions == grant.permissions
    assert (PUB, trespass) in [(refusal.annotation, refusal.subject) for refusal in grant.refused]


PUBLISHED = [
    "$JS.ACK.S.>",
    "$JS.ACK.S.C.>",
    "$JS.ACK._S.>",
    "$JS.ACK.*.*.S.*.*.*.*.*.>",
    "$JS.ACK.*.*.S.C.*.*.*.*.>",
    "$JS.ACK.*.*.5S.*.*.*.*.*.>",
    "$JS.FC.S.>",
    "$JS.FC.*.*.S.>",
    "$KV.B.>",
    "$KV.B.key.*",
    "$KV.B.*",
    "$O.B.>",
    "$JS.API.INFO",
    "$JS.API.STREAM.NAMES",
    "$JS.API.STREAM.INFO.S",
    "$JS.API.STREAM.MSG.GET.S",
    "$JS.API.STREAM.PURGE.KV_B",
    "$JS.API.STREAM.PURGE.OBJ_B",
    "$JS.API.DIRECT.GET.S",
    "$JS.API.DIRECT.GET.S.>",
    *(
        f"$JS.API.CONSUMER.{verb}.S{rest}"
        for verb in (
            *("CREATE", "DURABLE.CREATE", "INFO", "NAMES", "LIST", "MSG.NEXT", "DELETE", "PAUSE", "UNPIN", "RESET"),
        )
        for rest in ("", ".>", ".C", ".*")
    ),
]
HEARD = [
    "$KV.B.>",
    "$KV.B.key.*",
    "$KV.B.*",
    "$O.B.>",
    "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.S.>",
    "$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.S.*",
    *(
        f"$SRV.{verb}{rest}"
        for verb in ("PING", "INFO", "STATS")
        for rest in ("", ".orders", ".orders.*", ".orders.id")
    ),
]


@pytest.mark.parametrize("entry", PUBLISHED)
def test_what_may_be_published_below_the_dollar(entry: str) -> None:
    """A tenant may use the data of a stream or bucket that it names, and ask for the account's state."""
    assert (entry,) == publish(entry)


@pytest.mark.parametrize("entry", HEARD)
def test_what_may_be_heard_below_the_dollar(entry: str) -> None:
    """A tenant may hear a bucket, the dead letters of a stream and who looks for a service, each by its name."""
    assert (entry,) == subscribe(entry)


@pytest.mark.parametrize("entry", sorted({*PUBLISHED, *HEARD}))
@pytest.mark.parametrize("grants", JetStreamGrants)
def test_each_side_has_a_list_of_its_own(entry: str, grants: JetStreamGrants) -> None:
    """
    What is on one side's list only is refused on the other: who hears requests to JetStream learns the inboxes of others,
    and only a platform user asks `$SRV`. JETSTREAM_GRANTS=admin changes nothing on the subscribe side.
    """
    terms = replace(TERMS, jetstream_grants=grants)

    assert (entry in HEARD) == (entry in subscribe(entry, terms))
    assert (entry in PUBLISHED or (grants == "admin" and not entry.startswith("$SRV"))) == (
        entry in publish(entry, terms)
    )


def test_admin_grants() -> None:
    """With JETSTREAM_GRANTS=admin any JetStream subject may be published, the system's still not."""
    admin = replace(TERMS, jetstream_grants=JetStreamGrants.ADMIN)

    assert ("$JS.API.>", "$KV.>", "$O.>") == publish("$JS.API.>,$KV.>,$O.>,$SYS.>,$SRV.PING,_INBOX.>,>", admin)
    assert () == subscribe("$JS.API.>,$JS.ACK.S.>,$KV.>,$O.>,$SYS.>,$SRV.>,_INBOX.>,>", admin)


def test_a_wide_acknowledgement_says_how_to_write_it() -> None:
    """Who asks for acknowledgements of the second form too widely is told the spelling that is taken."""
    why = reach.trespass("$JS.ACK.*.*.S.>", Side.PUBLISH, JetStreamGrants.DATA)

    assert "$JS.ACK.*.*.STREAM.*.*.*.*.*.>" in why


def test_the_verb_decides() -> None:
    """No verb begins with another one, so that the first that is found is the only one."""
    for table in (reach.MAY_PUBLISH, reach.MAY_SUBSCRIBE):
        assert [] == [(one, two) for one in table for two in table if two.startswith(f"{one}.")]


NAMES = ("ORDERS", "MINE", "KV_B", "OBJ_B", "B", "5", "_", "hub")
# What servers and clients listen on, and what each of it is about: `{name}` is a stream, a bucket or a service. The
# domain `eu` shares its name with no stream: `$JS.ACK.eu.>` would be every stream's there.
SERVED: Mapping[str, list[str]] = {
    Side.PUBLISH: [
        *("$JS.ACK.{name}.*.*.*.*.*.*", "$JS.FC.{name}.*.*"),
        *("$JS.ACK.eu.h.{name}.*.*.*.*.*.>", "$JS.ACK._.h.{name}.*.*.*.*.*.>"),
        *("$JS.FC.eu.h.{name}.*.*", "$JS.FC._.h.{name}.*.*"),
        *("$KV.{name}.>", "$O.{name}.>", "$JS.API.INFO", "$JS.API.STREAM.NAMES", "$JS.API.STREAM.INFO.{name}"),
        *("$JS.API.STREAM.MSG.GET.{name}", "$JS.API.DIRECT.GET.{name}", "$JS.API.DIRECT.GET.{name}.>"),
        *("$JS.API.STREAM.PURGE.KV_{name}", "$JS.API.STREAM.PURGE.OBJ_{name}"),
        *("$JS.API.CONSUMER.CREATE.{name}", "$JS.API.CONSUMER.CREATE.{name}.>"),
        *(
            f"$JS.API.CONSUMER.{verb}.{{name}}.*"
            for verb in ("DURABLE.CREATE", "INFO", "MSG.NEXT", "DELETE", "PAUSE", "UNPIN", "RESET")
        ),
        *("$JS.API.CONSUMER.NAMES.{name}", "$JS.API.CONSUMER.LIST.{name}"),
    ],
    Side.SUBSCRIBE: [
        *("$KV.{name}.>", "$O.{name}.>", "$SRV.PING", "$SRV.INFO", "$SRV.STATS"),
        *(f"$SRV.{verb}.{{name}}{rest}" for verb in ("PING", "INFO", "STATS") for rest in ("", ".*")),
        *(f"$JS.EVENT.ADVISORY.CONSUMER.{event}.{{name}}.*" for event in ("MAX_DELIVERIES", "MSG_TERMINATED")),
    ],
}
# What no annotation may ever reach.
NEVER: Mapping[str, list[str]] = {
    Side.PUBLISH: [
        *("$SYS.>", "$SRV.>", "$MQTT.>", "_INBOX.>", "_R_.>", "_GR_.>"),
        *(f"$JS.API.STREAM.{verb}.>" for verb in ("CREATE", "UPDATE", "DELETE", "SNAPSHOT", "RESTORE", "MSG.DELETE")),
        *("$JS.API.STREAM.LIST", "$JS.API.STREAM.PURGE.ORDERS", "$JS.API.STREAM.PURGE.KV", "$JS.API.ACCOUNT.>"),
        *("$JS.API.STREAM.LEADER.>", "$JS.API.STREAM.PEER.>", "$JS.API.CONSUMER.LEADER.>", "$JS.API.META.>"),
        *("$JS.hub.API.>", "$JS.EVENT.>", "$JS.SNAPSHOT.>", "$JSC.>", "$G.>"),
    ],
    Side.SUBSCRIBE: [
        *("$JS.API.>", "$JS.ACK.>", "$JS.FC.>", "$JS.hub.API.>", "$JS.EVENT.ADVISORY.API", "$JS.EVENT.METRIC.>"),
        *("$JS.EVENT.ADVISORY.STREAM.>", "$JS.EVENT.ADVISORY.CONSUMER.CREATED.>", "$JS.SNAPSHOT.>", "$JSC.>"),
        *("$SYS.>", "$SRV.OTHER.>", "$MQTT.>", "_R_.>", "_GR_.>", "$G.>"),
    ],
}
WORDS = sorted({token for entry in (*PUBLISHED, *HEARD) for token in entry.split(".")} | {*NAMES, "STREAM", "x"})
entries = st.builds(
    lambda entry, at, word, much: ".".join([*entry.split(".")[:at], word, *entry.split(".")[at + 1 :]][:much]),
    st.sampled_from([*PUBLISHED, *HEARD]),
    st.integers(0, 11),
    st.sampled_from(WORDS),
    st.integers(1, 12),
)


@given(entry=entries, side=st.sampled_from((Side.PUBLISH, Side.SUBSCRIBE)))
@settings(max_examples=500)
def test_what_passes_is_about_one_name_and_nothing_else(entry: str, side: str) -> None:
    """Whatever a tenant writes below `$` reaches one stream, bucket or service, and nothing that is not on the list."""
    if entry not in (publish if side == Side.PUBLISH else subscribe)(entry):
        return
    reached = subjects.subscribed(entry) if side == Side.SUBSCRIBE else entry
    named = {
        name
        for served in SERVED[side]
        for name in NAMES
        if "{name}" in served and overlap(reached, served.replace("{name}", name))
    }

    assert [] == [never for never in NEVER[side] if overlap(reached, never)]
    assert len(named) <= 1


@given(annotation=st.lists(subject_texts, max_size=8).map(",".join), inbox=names)
def test_no_annotation_reaches_an_inbox_or_the_system(annotation: str, inbox: str) -> None:
    """Whatever a tenant writes overlaps no inbox, reply or system subject."""
    for subject in publish(annotation):
        assert not subjects.problem(subject)
        for reserved in (
            "_INBOX.>",
            "_INBOX_SA.>",
            private_inbox("other", inbox),
            guide_inbox("other", inbox),
            "_R_.>",
            "_GR_.>",
            "$SYS.>",
            "$JS.API.STREAM.CREATE.>",
        ):
            assert not overlap(subject, reserved)
