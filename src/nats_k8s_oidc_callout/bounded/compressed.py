"""At most so much of what is compressed: a kilobyte can stand for a megabyte."""

import zlib

from nats_k8s_oidc_callout.errors import Unreadable

_GZIP = 31


def gunzip(data: bytes, bytes_max: int) -> bytes:
    """Return what a gzip stream holds, one byte more than `bytes_max` at the most: then there is too much.

    Raises Unreadable when it is none, or is cut.
    """
    stream = zlib.decompressobj(_GZIP)
    try:
        found = stream.decompress(data, bytes_max + 1)
    except zlib.error:
        raise Unreadable("is not gzip") from None
    if len(found) <= bytes_max and not stream.eof:
        raise Unreadable("is cut")
    return found
