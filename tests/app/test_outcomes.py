"""What servers complain of, and which of it is about our answers."""

import msgspec
import pytest

from nats_k8s_oidc_callout.app.outcomes import complaint
from nats_k8s_oidc_callout.core.nats import callout

WORDS = "User JWT is not valid"


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (msgspec.json.encode({"reason": WORDS, "client": {}}), WORDS),
        (msgspec.json.encode({"reason": f"…{callout.REFUSAL}…"}), ""),
        (b'{"reason":"Authentication Failure"}', ""),
        (b'{"reason":"Authentication Timeout"}', ""),
        (b'{"reason":"Authentication Expired"}', ""),
        (b'{"reason":"Proxy Not Trusted"}', ""),
        (b'{"reason":"Proxy Required"}', ""),
        (b'{"reason":""}', ""),
        (b"{}", ""),
        (b"", ""),
        (b'{"reason":"\xff"}', ""),
        (b'{"reason":' + b"[" * 100_000, ""),
        (b'{"reason":1}', ""),
    ],
)
def test_complaints_about_us(event: bytes, reason: str) -> None:
    """Only words about an answer of ours count; what is no text raises nothing into the connection's reader."""
    assert reason == complaint(event)
