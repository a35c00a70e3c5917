"""At most so much of what is compressed: a kilobyte can stand for a megabyte."""

import zlib

from nats_k8s_oidc_callout.errors import Unreadable

_GZIP = 31


def gunzip(data: bytes, bytes_max: int) -> bytes:
    """Return what a gzip stream holds; raise Unreadable when it is none, is cut, or holds more than `bytes_max`."""
    stream = zlib.decompressobj(_GZIP)
    try:
        found = stream.decompress(data, bytes_max + 1)
    except zlib.error:
        raise Unreadable("is not gzip") from None
    if len(found) > bytes_max or not stream.eof:
        raise Unreadable("is cut" if len(found) <= bytes_max else f"holds more than {bytes_max} bytes")
    return found
