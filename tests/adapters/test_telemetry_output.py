import asyncio
import io
import os
from collections.abc import Callable
from typing import IO

import pytest
import structlog

from nats_k8s_oidc_callout.adapters.telemetry import configure
from nats_k8s_oidc_callout.adapters.telemetry.output import BACKLOG_BYTES, FLUSH_SECONDS, Output


def _full() -> IO[bytes]:
    return open("/dev/full", "wb", buffering=0)  # noqa: PTH123  # closed by the test


def _closed() -> IO[bytes]:
    device = io.BytesIO()
    device.close()
    return device


def _broken_pipe() -> IO[bytes]:
    reader, writer = os.pipe()
    os.close(reader)
    return os.fdopen(writer, "wb", 0)


@pytest.mark.parametrize("make", [_full, _closed, _broken_pipe])
def test_dead_device_loses_lines_and_nothing_else(make: Callable[[], IO[bytes]]) -> None:
    """A full disk, a closed stream or a closed pipe never raises; each lost line is counted."""
    device = make()
    logs = configure("info", "json", device)
    for _ in range(3):
        structlog.get_logger().warning("x")
    logs.close()
    device.close()

    assert 3 == logs.output.lost


def test_pipe_that_nobody_reads_never_blocks_and_keeps_whole_lines() -> None:
    """Writers go on while a reader stalls; what fits waits, the rest is counted, and the reader gets whole lines."""
    reader, writer = os.pipe()
    with os.fdopen(writer, "wb", 0) as device:
        output = Output(device)
        line = b"x" * 9999 + b"\n"
        for _ in range(200):
            output.write(line)
        lost = output.lost
        os.set_blocking(reader, False)
        got = b""
        for _ in range(2000):
            output.flush()
            try:
                got += os.read(reader, 65536)
            except BlockingIOError:
                break
    os.close(reader)

    assert lost > 0
    assert (200 - lost) * line == got
    assert len(got) <= BACKLOG_BYTES + 2 * 65536 + len(line)


async def test_info_lines_are_gathered_and_written_soon() -> None:
    """On a running loop info lines wait for a moment to be written together; a warning takes them along at once."""
    device = io.BytesIO()
    output = Output(device)
    output.write(b"one\n", urgent=False)
    assert b"" == device.getvalue()
    output.write(b"two\n", urgent=True)
    assert b"one\ntwo\n" == device.getvalue()
    output.write(b"three\n", urgent=False)
    await asyncio.sleep(2 * FLUSH_SECONDS)
    assert b"one\ntwo\nthree\n" == device.getvalue()


def test_without_a_loop_every_line_is_written_at_once() -> None:
    """At start and exit nothing waits for a timer that nobody runs."""
    device = io.BytesIO()
    Output(device).write(b"one\n", urgent=False)

    assert b"one\n" == device.getvalue()
