"""What annotations can never reach, and the data of a stream that they can."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nats_k8s_oidc_callout.core import subjects
from nats_k8s_oidc_callout.core.annotations import PermissionRules, compile_grant
from nats_k8s_oidc_callout.core.filter import JetStreamGrants
from nats_k8s_oidc_callout.core.subjects import private_inbox

RULES = PermissionRules()
PUB = "nats.io/allowed-pub-subjects"
SUB = "nats.io/allowed-sub-subjects"
labels = st.from_regex(r"\A[a-z0-9]([-a-z0-9]{0,8}[a-z0-9])?\Z")
names = st.lists(labels, min_size=1, max_size=3).map(".".join)
subject_texts = st.text(st.sampled_from("ab*>._$ JSKVIO,\n"), max_size=30)


def publish(text: str, rules: PermissionRules = RULES) -> tuple[str, ...]:
    """Return what an annotation added to the publish side."""
    return compile_grant("shop", "web", {PUB: text}, rules).permissions.publish[1:]


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
        "_GR_.>",
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
    grant = compile_grant("shop", "web", {PUB: trespass, SUB: trespass}, RULES)

    assert compile_grant("shop", "web", None, RULES).permissions == grant.permissions
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


@given(annotation=st.lists(subject_texts, max_size=8).map(",".join), inbox=names)
def test_no_annotation_reaches_an_inbox_or_the_system(annotation: str, inbox: str) -> None:
    """
    Whatever a tenant writes overlaps no inbox, reply or system subject.
    """
    for subject in publish(annotation):
        assert not subjects.problem(subject)
        for reserved in (
            "_INBOX.>",
            private_inbox("other", inbox),
            "_R_.>",
            "_GR_.>",
            "$SYS.>",
            "$JS.API.STREAM.CREATE.>",
        ):
            assert not subjects.overlap(subject, reserved)
