"""A stranger's JSON as a type of ours, or `Unreadable`. The only place that reads any, and that knows what it raises."""

from collections.abc import Callable
from typing import TypeVar

import msgspec

from nats_k8s_oidc_callout.errors import Unreadable

T = TypeVar("T")

# The last two are not msgspec's own, and easily forgotten: one byte that is no UTF-8, and brackets without end.
_RAISED = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def reader(of: type[T]) -> Callable[[bytes | msgspec.Raw], T]:
    """Return a function from JSON to an `of`; it raises Unreadable for anything else, and nothing but that."""
    decode = msgspec.json.Decoder(of).decode

    def read(data: bytes | msgspec.Raw) -> T:
        try:
            return decode(data)
        except _RAISED:
            # msgspec's text may quote what it read, and that may be a token.
            raise Unreadable("is not the JSON that was expected") from None

    return read
