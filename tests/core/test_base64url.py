import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nats_k8s_oidc_callout.core import base64url


@given(st.binary(max_size=100))
def test_round_trip(data: bytes) -> None:
    """Our base64url is the standard's, without padding."""
    assert base64.urlsafe_b64encode(data).rstrip(b"=") == base64url.encode(data)
    assert data == base64url.decode(base64url.encode(data))


@pytest.mark.parametrize("text", [b"YQ==", b"YQ=", b"Y", b"Y Q", b"YQ\n", b"+/+/", b"YQ!", b"Y\xc3\xa4", b"YQ\0"])
def test_other_spellings(text: bytes) -> None:
    """Padding, white space, the other alphabet and what is no base64 at all are refused, and not quoted."""
    with pytest.raises(ValueError) as refused:
        base64url.decode(text)
    assert text.decode("latin-1") not in str(refused.value)
