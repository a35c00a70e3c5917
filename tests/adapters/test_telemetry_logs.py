import io
import json
import logging
import re
import sys
import time
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from nats_k8s_oidc_callout.adapters.telemetry import configure, redact
from nats_k8s_oidc_callout.adapters.telemetry.logs import SAME_WARNINGS_PER_SECOND

TOKEN = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJzeXN0ZW0ifQ." + "Ab3_" * 86
SEED = "SUAH6WZ3LK7QW4V2XRNC5PDTYGBJMEIAOFU3KS7ZQ2LW6HXV5TRDCNPGYM"


class Sink(io.BytesIO):
    """A log in memory."""

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.getvalue().splitlines()]


@pytest.fixture
def sink() -> Iterator[Sink]:
    device = Sink()
    logs = configure("debug", "json", device)
    yield device
    logs.close()


def test_line_is_one_object_with_time_level_and_event_first(sink: Sink) -> None:
    """A line begins with ts (RFC 3339, UTC, milliseconds), level and event; fields follow."""
    structlog.get_logger("cache").warning("informer watch ended", reason="410", after=1.5)

    assert re.fullmatch(
        rb'\{"ts":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z","level":"warn","event":"informer watch ended",'
        rb'"logger":"cache","reason":"410","after":1.5\}\n',
        sink.getvalue(),
    )


def test_libraries_take_the_same_road(sink: Sink) -> None:
    """Stdlib logging comes out as lines of the same form, masked as ours."""
    logging.getLogger("nats.aio").error("connection to %s lost", "nats://user:pw@10.0.0.1")

    assert [("nats.aio", "connection to nats://[redacted]@10.0.0.1 lost")] == [
        (line["logger"], line["event"]) for line in sink.lines()
    ]


def test_warnings_take_the_same_road() -> None:
    """A Python warning is a line, not a print to stderr."""
    device = Sink()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logs = configure("info", "json", device)
        warnings.warn("old ways", DeprecationWarning, stacklevel=1)
        logs.close()

    assert ["py.warnings"] == [line["logger"] for line in device.lines() if "old ways" in line["event"]]


def test_line_whose_arguments_do_not_fit_is_still_written(sink: Sink) -> None:
    """A library's broken format string costs nothing but its arguments."""
    # Not by a logger: pytest's own handler, beside ours, takes such a line for a failed test.
    ours = next(h for h in logging.getLogger().handlers if type(h).__module__.startswith("nats_k8s_oidc_callout"))
    ours.handle(logging.LogRecord("x", logging.ERROR, "x.py", 1, "%d and %d", (1,), None))

    assert "%d and %d" == sink.lines()[0]["event"]


def test_object_that_cannot_be_shown_is_lost_and_counted() -> None:
    """A value whose __str__ fails does not reach whoever logs it."""

    class Broken:
        def __str__(self) -> str:
            raise RuntimeError

    logs = configure("info", "json", Sink())
    structlog.get_logger().info("x", value=Broken())
    logs.close()

    assert 1 == logs.output.lost


def test_traceback_is_masked_and_shows_no_locals(sink: Sink) -> None:
    """An exception is logged with its chain, without tokens and without the values of variables."""
    innermost = "a local value"
    try:
        try:
            raise ValueError(f"cannot parse {TOKEN} of {len(innermost)}")
        except ValueError as error:
            raise RuntimeError(f"login with {SEED}") from error
    except RuntimeError:
        structlog.get_logger().exception("failed")
    text = sink.lines()[0]["exception"]

    assert "ValueError: cannot parse [redacted]" in text
    assert "RuntimeError: login with [redacted]" in text
    assert "a local value" not in text.replace('innermost = "a local value"', "")
    assert TOKEN.encode()[50:] not in sink.getvalue()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"got {TOKEN}.", "got [redacted]"),
        (f"got {TOKEN[:60]}", "got [redacted]"),
        ("e30." + "x" * 20, "e30." + "x" * 20),
        ("Aa0" * 30, "[redacted]"),
        (f"seed {SEED}", "seed [redacted]"),
        (f"seed {SEED[:30]}", "seed [redacted]"),
        ("key UAH6WZ3LK7QW4V2XRNC5PDTYGBJMEIAOFU3KS7ZQ2LW6HXV5TRDCNPGY", None),
        ("kid qZ0v7c4Yb0m8m1c2xV9s3kJtQe5rUwLh6Np8aXoDfGk", None),
        ("nats://u:p@a:4222,nats://t@b:4222", "nats://[redacted]@b:4222"),
        ("nats://u:p/w@d@a:4222 x@y", "nats://[redacted]@a:4222 x@y"),
        ("cannot reach user:pw@host:4222", "cannot reach [redacted]@host:4222"),
        ("https://kubernetes.default.svc/openid/v1/jwks", None),
        ("Authorization: Bearer abc", "Authorization: Bearer [redacted]"),
        ("Authorization: Basic YTpi", "Authorization: Basic [redacted]"),
        ("bearer abc.def", "bearer [redacted]"),
        (
            'CONNECT {"auth_token":"a\\"b","pass":"x","user":"u"}',
            'CONNECT {"auth_token":[redacted],"pass":[redacted],"user":"u"}',
        ),
        ("{'password': 'it\\'s'}", "{'password': [redacted]}"),
        ("token=abc&x=1", "token=[redacted]&x=1"),
        ("-----BEGIN PRIVATE KEY-----\nMII\n-----END PRIVATE KEY-----\nrest", "[redacted]\nrest"),
        (f"-----BEGIN NATS USER JWT-----\n{TOKEN}", "[redacted]"),
        ("a" * 80, None),
        ("system:serviceaccount:team-a:orders", None),
        ("orders-7d9f8b6c5-abcde in team-a, 0b7a3c2e-5f7b-4a51-9a52-1c0d7f2b9e1d", None),
    ],
)
def test_credentials_are_masked_and_names_are_not(text: str, expected: str | None) -> None:
    """What looks like a credential is masked; keys, kids, names, uids and addresses stay readable."""
    assert (text if expected is None else expected) == redact(text)


@pytest.mark.parametrize("piece", ["a", "://", "a:", "eyJ", "SA", "'", '"pass":"', "bearer ", "Ab3_.", "-----BEGIN "])
def test_masking_takes_linear_time(piece: str) -> None:
    """No text makes the masking expressions look at it again and again (80 kB each, with and without an @)."""
    began = time.process_time()
    for text in (piece * (80_000 // len(piece)), piece * (80_000 // len(piece)) + " @"):
        redact(text)

    # Quadratic would be minutes; linear is milliseconds.
    assert time.process_time() - began < 5


def test_fields_named_like_secrets_are_masked_at_any_depth(sink: Sink) -> None:
    """A password has no form of its own: its field's name is enough."""
    structlog.get_logger().info("x", password="hunter2", options={"token": "hunter2", "name": ["n", "nats://u:p@h"]})
    line = sink.lines()[0]

    assert "[redacted]" == line["password"]
    assert {"token": "[redacted]", "name": ["n", "nats://[redacted]@h"]} == line["options"]


def test_threshold_holds_and_library_debug_stays_out() -> None:
    """Lines below the level are not written; libraries' debug lines never are, since they show protocol bytes."""
    device = Sink()
    logs = configure("warn", "json", device)
    structlog.get_logger().info("no")
    structlog.get_logger().warning("yes")
    logging.getLogger("x").info("no")
    logs.close()
    logs = configure("debug", "json", device)
    logging.getLogger("nats").debug("CONNECT {}")
    logs.close()

    assert ["yes"] == [line["event"] for line in device.lines()]


def test_console_exception_cannot_pass_for_a_line() -> None:
    """For people an exception's rows are indented, also those inside its text."""
    device = io.BytesIO()
    logs = configure("info", "console", device)
    structlog.get_logger().error("failed", exc_info=ValueError("x\n2026-01-01T00:00:00.000Z info  all good"))
    logs.close()

    assert all(row.startswith(b"    | ") for row in device.getvalue().splitlines()[1:])
    assert b"\x1b" not in device.getvalue()


def test_console_is_coloured_on_a_terminal_only() -> None:
    """Colours are for terminals; pipes and files get none."""

    class Terminal(io.BytesIO):
        def isatty(self) -> bool:
            return True

    device = Terminal()
    logs = configure("info", "console", device)
    structlog.get_logger().error("failed")
    logs.close()

    assert b"\x1b[31merror\x1b[0m failed\n" in device.getvalue()


def test_close_gives_stdlib_logging_back() -> None:
    """After close the root logger has no handler of ours."""
    before = list(logging.getLogger().handlers)
    configure("info", "json", Sink())
    configure("info", "json", Sink()).close()

    assert before == logging.getLogger().handlers


def test_default_device_is_stderr(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """Without a stream, lines go to stderr: stdout is for what a command prints."""
    logs = configure("info", "json", sys.stderr)
    structlog.get_logger().warning("x")
    logs.close()

    assert b'"event":"x"' in capfdbinary.readouterr().err


def test_one_warning_does_not_fill_the_disk() -> None:
    """
    Of one warning so many a second are written and the rest is counted and told; other warnings are written meanwhile.
    """
    device = Sink()
    logs = configure("debug", "json", device)
    began = time.monotonic()
    for number in range(1000):
        structlog.get_logger("cache").warning("informer live lookup failed", workload=f"team-a/{number}")
    structlog.get_logger("cache").warning("another")
    structlog.get_logger("cache").info("informer listed")
    seconds = 2 + int(time.monotonic() - began)
    logs.tell(None)
    logs.close()

    events = [line["event"] for line in device.lines()]
    assert events.count("informer live lookup failed") <= SAME_WARNINGS_PER_SECOND * seconds
    assert {"another", "informer listed"} <= set(events)
    told = sum(line["count"] for line in device.lines() if line["event"] == "suppressed")
    assert 1000 == told + events.count("informer live lookup failed")


def test_kinds_of_warnings_are_a_closed_set() -> None:
    """However many phrases are logged, what is counted by phrase stays small."""
    logs = configure("debug", "json", Sink())
    for number in range(5000):
        structlog.get_logger("x").warning(f"phrase {number}")
    kept = len(logs._warnings._windows)
    logs.close()

    assert kept <= 257
