"""A stranger's JSON: a value of the type, or `Unreadable`, and never another exception."""

from contextlib import suppress

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nats_k8s_oidc_callout.core.strangers import reader
from nats_k8s_oidc_callout.errors import Unreadable


class Thing(msgspec.Struct):
    name: str
    inner: object = None


read = reader(Thing)


def test_what_fits_is_read() -> None:
    """JSON of the type becomes a value of the type; what the type does not know is ignored."""
    assert Thing("a") == read(b'{"name":"a","other":1}')


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"{", id="half"),
        pytest.param(b"[]", id="another-type"),
        pytest.param(b'{"name":7}', id="a-wrong-member"),
        pytest.param(b'{"name":"s3cret\xff"}', id="no-utf-8"),
        pytest.param(b'{"name":"a","inner":' + b"[" * 100_000, id="brackets-without-end"),
    ],
)
def test_everything_else_is_unreadable(data: bytes) -> None:
    """Each of the three exceptions that msgspec lets out becomes one, and its text quotes nothing."""
    with pytest.raises(Unreadable) as caught:
        read(data)

    assert "s3cret" not in str(caught.value)


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_else(data: bytes) -> None:
    """Whatever the bytes, the answer is a value or Unreadable."""
    for text in (data, b'{"name":"' + data + b'"}'):
        with suppress(Unreadable):
            assert isinstance(read(text), Thing)
