"""What one workload has of a subject, and what it could do beside its permissions."""

from dataclasses import replace

import pytest

from nats_k8s_oidc_callout.core.grants.annotations import Grant, compile_grant
from nats_k8s_oidc_callout.core.grants.filter import Side
from nats_k8s_oidc_callout.core.grants.holders import Hold, hold, may_aim, may_answer_itself
from nats_k8s_oidc_callout.core.grants.terms import Entry, ReplyMode
from tests.fakes.rules import PREFIX, TERMS


def granted(*publish: str, **more: object) -> Grant:
    given = tuple(Entry(subject, "rule") for subject in publish)
    return compile_grant("shop", "web", {}, replace(TERMS, publish=given, **more), PREFIX)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("side", "pattern", "expected"),
    [
        (Side.PUBLISH, "pay.x", None),
        (Side.PUBLISH, "shop.x", Hold(whole=True, subject="shop.>", origin="root", denied=())),
        (Side.PUBLISH, "*.x", Hold(whole=False, subject="shop.>", origin="root", denied=("a.x",))),
        (Side.PUBLISH, "a.>", Hold(whole=False, subject="a.>", origin="rule", denied=("a.x",))),
        (Side.SUBSCRIBE, "_INBOX.x", Hold(whole=True, subject="_INBOX.>", origin="inbox", denied=())),
        (Side.SUBSCRIBE, "a.b", None),
    ],
)
def test_hold(side: Side, pattern: str, expected: Hold | None) -> None:
    """All or some, by the first entry that gives it, and what is denied of it."""
    assert expected == hold(granted("a.>", deny_publish=("a.x",)), side, pattern)


@pytest.mark.parametrize(
    ("publish", "expected"),
    [
        ("$JS.API.CONSUMER.MSG.NEXT.ORDERS.web", True),
        ("$JS.API.DIRECT.GET.KV_flags", True),
        ("$JS.API.CONSUMER.DURABLE.CREATE.ORDERS.*", True),
        (">", True),
        ("$JS.API.STREAM.INFO.ORDERS", False),
        ("orders.>", False),
    ],
)
def test_may_aim(publish: str, expected: bool) -> None:
    """Whoever may pull, get or make consumers can say where the answers go."""
    assert expected == may_aim(granted(publish))


def test_may_answer_itself() -> None:
    """The reply permission of NATS, and nothing else."""
    assert [False, True, False] == [may_answer_itself(granted(reply_mode=mode)) for mode in ReplyMode]
