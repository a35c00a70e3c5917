"""Chunks of bytes as lines."""

from collections.abc import AsyncIterator

import pytest

from nats_k8s_oidc_callout.adapters.kubernetes.lines import split_lines
from nats_k8s_oidc_callout.bounded.bodies import TooLarge


async def split(*chunks: bytes, bytes_max: int = 10) -> list[bytes]:
    async def come() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk

    return [line async for line in split_lines(come(), bytes_max)]


@pytest.mark.parametrize(
    ("chunks", "lines"),
    [
        ([b"a\nb\n"], [b"a", b"b"]),
        ([b"a", b"b\nc", b"\n"], [b"ab", b"c"]),
        ([b"\n\r\na\n"], [b"a"]),
        ([b"a\nrest"], [b"a"]),
        ([b""], []),
        ([b"123456", b"7890", b"\n"], [b"1234567890"]),
        ([b"12345\n12345", b"\n12345", b"\n12345", b"\n123"], [b"12345"] * 4),
        ([b"1234567890\n" * 5], [b"1234567890"] * 5),
    ],
    ids=["two", "split", "empty lines", "rest", "nothing", "just fits", "many small", "many at once"],
)
async def test_lines_come_whole_however_they_are_cut(chunks: list[bytes], lines: list[bytes]) -> None:
    """Each ended line comes once and whole; an unended rest does not come."""
    assert lines == await split(*chunks)


@pytest.mark.parametrize(
    "chunks", [[b"12345678901\n"], [b"123456", b"78901"], [b"a\n12345678901"], [b"123456", b"78901\n"]],
    ids=["whole", "not ended", "after another", "split"],
)  # fmt: skip
async def test_a_line_over_the_bound_is_an_error(chunks: list[bytes]) -> None:
    """A line is not held beyond its bound, ended or not."""
    with pytest.raises(TooLarge):
        await split(*chunks)
