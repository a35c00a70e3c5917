"""The bytes that carry permissions: no side is ever left open."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from nats_k8s_oidc_callout.core.model import Permissions
from nats_k8s_oidc_callout.core.nats.user import encode


def sides(encoded: bytes) -> dict[str, Any]:
    decoded: dict[str, Any] = json.loads(encoded)
    return decoded


@given(
    publish_side=st.lists(st.sampled_from(["a", "b.>"]), max_size=2).map(tuple),
    subscribe_side=st.lists(st.sampled_from(["a", "b.>"]), max_size=2).map(tuple),
    replies=st.integers(0, 2),
)
def test_no_side_is_left_open(publish_side: tuple[str, ...], subscribe_side: tuple[str, ...], replies: int) -> None:
    """In the bytes that go out each side has an allow list or denies everything; nothing at all is no grant."""
    encoded = encode(Permissions(publish_side, subscribe_side, replies, 120.0))
    if not publish_side and not subscribe_side:
        assert b"" == encoded
        return

    for side, allowed in (("pub", publish_side), ("sub", subscribe_side)):
        expected = {"allow": list(allowed)} if allowed else {"deny": [">"]}
        assert expected == sides(encoded)[side]


def test_encoded_grant() -> None:
    """The grant is the `nats` object of a version 2 user JWT, without limits, replies in nanoseconds."""
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

    assert expected == sides(encode(Permissions(("a",), ("b",), 1, 120.0)))


def test_replies_can_be_turned_off() -> None:
    """With no replies allowed the user JWT has no reply permission."""
    assert "resp" not in sides(encode(Permissions(("a",), ("b",), 0, 120.0)))
