"""Where every line of the process goes through: structlog, stdlib logging and warnings, one form, one device.

Each event is stamped, its exception formatted (never with locals), every string masked and escaped, then
rendered as one JSON object a line or for people. Decision lines come in through `Logs.emit`, built by
`decisions` from fields that are clean already.
"""

import atexit
import logging
import sys
import time
from collections.abc import Mapping, MutableMapping
from typing import IO, Any, cast

import msgspec
import structlog
from structlog.processors import format_exc_info

from nats_k8s_oidc_callout.adapters.telemetry.output import Device, Output
from nats_k8s_oidc_callout.adapters.telemetry.redaction import MASK, redact
from nats_k8s_oidc_callout.adapters.telemetry.sampling import Sampler
from nats_k8s_oidc_callout.core.spelling import escape

DEBUG, INFO, WARN, ERROR = logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR
LEVELS = {"debug": DEBUG, "info": INFO, "warn": WARN, "warning": WARN, "error": ERROR}
_NAMES = {DEBUG: "debug", INFO: "info", WARN: "warn", ERROR: "error"}
_COLOURS = {"debug": "2", "info": "32", "warn": "33", "error": "31"}

TEXT_MAX = 2048
EXCEPTION_MAX = 16 * 1024
# Whatever strangers can make us warn of, be it by a flaw of ours, no one warning fills the disk.
SAME_WARNINGS_PER_SECOND = 100
_KINDS_MAX = 256
# Sessions that begin in one second end within a tenth of the hour that they last.
_MOMENTS_KEPT = 1024
# A field that is called so is masked whatever it looks like: passwords have no form of their own.
SECRET_FIELDS = frozenset(
    {"token", "auth_token", "pass", "password", "seed", "secret", "jwt", "authorization", "creds"}
)

Event = MutableMapping[str, Any]


class Logs:
    """The set-up log: a threshold, a form and a device. Only `configure` makes one."""

    def __init__(self, threshold: int, form: str, output: Output, coloured: bool) -> None:
        self.threshold = threshold
        self.output = output
        self.json = form == "json"
        self._coloured = coloured
        self._encoder = msgspec.json.Encoder()
        self._second = -1
        self._stamp = ""
        self._moments: dict[int, str] = {}
        self._warnings = Sampler(SAME_WARNINGS_PER_SECOND)
        self._kinds: set[str] = set()

    def stamp(self, now: float) -> str:
        """Return `now` (Unix seconds) as RFC 3339 in UTC with milliseconds."""
        second = int(now)
        if second != self._second:
            self._stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
            self._second = second
        return f"{self._stamp}.{int((now - second) * 1000):03d}Z"

    def moment(self, at: int) -> str:
        """Return whole Unix seconds as RFC 3339 in UTC; cheap for those that were asked for just now."""
        text = self._moments.get(at)
        if text is None:
            if len(self._moments) >= _MOMENTS_KEPT:
                self._moments.clear()
            text = self._moments[at] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))
        return text

    def emit(self, event: Mapping[str, Any] | msgspec.Struct, urgent: bool) -> None:
        """Write one event whose strings are clean; ts, level and event come first."""
        if self.json:
            self.output.write(self._encoder.encode(event) + b"\n", urgent)
            return
        if isinstance(event, msgspec.Struct):
            # Through JSON, so that what a Struct leaves out in one form is left out in the other.
            event = cast("dict[str, Any]", msgspec.json.decode(self._encoder.encode(event)))
        self.output.write(self._for_people(event), urgent)

    def process(self, logger: str, level: int, event: Event, kind: str) -> None:
        """Mask, escape, render and write one event of structlog's or logging's; never raises.

        Of the warnings and errors of one `kind` only so many a second are written; `tell` says how many were not.
        """
        if level >= WARN and not self._warnings.admit(self._closed(kind), time.monotonic()):
            return
        try:
            name = _NAMES.get(level) or ("error" if level > ERROR else "info")
            line: dict[str, Any] = {"ts": self.stamp(time.time()), "level": name, "event": ""}
            line["event"] = _fit(event.pop("event", ""), TEXT_MAX)
            if logger:
                line["logger"] = logger
            failure = format_exc_info(logger, name, {"exc_info": event.pop("exc_info", None)}).get("exception")
            for key, value in event.items():
                line[_fit(key, TEXT_MAX)] = MASK if key in SECRET_FIELDS and value else _safe(value)
            if failure:
                line["exception"] = escape(redact(failure[-4 * EXCEPTION_MAX :]), keep="\n\t")[-EXCEPTION_MAX:]
            self.emit(line, level >= WARN)
        except Exception:  # noqa: BLE001  # a __str__ that raises must not take down who logs
            self.output.lost += 1

    def take(self, logger: str, method: str, event: Event) -> Mapping[str, Any]:
        """Write an event as structlog's one and last processor; DropEvent, since it is written by then."""
        # Our events are constant phrases; what differs from line to line stands in the fields.
        self.process(logger, LEVELS.get(method, ERROR), event, str(event.get("event", "")))
        raise structlog.DropEvent

    def tell(self, monotonic: float | None) -> None:
        """Write how many warnings were held back in the seconds before `monotonic`, or ever (None: at the end)."""
        for kind, count in self._warnings.due(monotonic):
            line = {"ts": self.stamp(time.time()), "level": "warn", "event": "suppressed"}
            self.emit({**line, "reason": _fit(kind, TEXT_MAX), "count": count}, urgent=True)

    def _closed(self, kind: str) -> str:
        """Return the kind, or one name for all the rest: what is sampled by must be a closed set."""
        if kind not in self._kinds:
            if len(self._kinds) >= _KINDS_MAX:
                return "other warnings"
            self._kinds.add(kind)
        return kind

    def _for_people(self, event: Mapping[str, Any]) -> bytes:
        fields = dict(event)
        ts, level, text = fields.pop("ts"), fields.pop("level"), fields.pop("event")
        failure = fields.pop("exception", "")
        mark = f"{level:<5}"
        if self._coloured:
            mark = f"\x1b[{_COLOURS[level]}m{mark}\x1b[0m"
        pairs = " ".join(f"{key}={_quoted(value)}" for key, value in fields.items())
        line = f"{ts} {mark} {text}" + (f"  {pairs}" if pairs else "")
        # Indented, so that no text inside an exception can pass for a line of ours.
        line += "".join(f"\n    | {row}" for row in failure.splitlines())
        return line.encode() + b"\n"

    def close(self) -> None:
        """Write what waits and give stdlib logging and warnings back."""
        atexit.unregister(self.output.close)
        self.output.close()
        root = logging.getLogger()
        for handler in [h for h in root.handlers if isinstance(h, _Handler) and h.logs is self]:
            root.removeHandler(handler)
            root.setLevel(handler.level_before)
            logging.captureWarnings(False)


def configure(level: str, fmt: str, stream: IO[Any] | None = None) -> Logs:
    """Send everything at `level` (debug, info, warn, error) and above to `stream` (text or binary), else stderr; `fmt` is json or console.

    A second call replaces the first. The caller flushes at exit with `close`; atexit does it otherwise.
    """
    threshold = LEVELS[level.lower()]
    target = sys.stderr if stream is None else stream
    output = Output(_device(target))
    coloured = fmt == "console" and target.isatty()
    logs = Logs(threshold, fmt, output, coloured)
    atexit.register(output.close)

    structlog.configure(
        processors=[logs.take],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=lambda *names: names[0] if names else "",
        # Loggers are bound when modules load, before this runs, and tests configure again and again.
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    level_before = root.level
    for handler in [h for h in root.handlers if isinstance(h, _Handler)]:
        root.removeHandler(handler)
        level_before = handler.level_before
    root.addHandler(_Handler(logs, level_before))
    # The libraries' own debug chatter tells nothing about a login, and nats-py's holds protocol lines.
    root.setLevel(max(threshold, INFO))
    logging.captureWarnings(True)
    return logs


class _Handler(logging.Handler):
    """Brings aiohttp's, asyncio's, nats-py's lines and captured warnings onto the same road."""

    def __init__(self, logs: Logs, level_before: int) -> None:
        super().__init__()
        self.logs = logs
        self.level_before = level_before

    def emit(self, record: logging.LogRecord) -> None:
        text: object
        try:
            text = record.getMessage()
        except Exception:  # noqa: BLE001  # a format that does not fit its arguments is still worth a line
            text = record.msg
        self.logs.process(record.name, record.levelno, {"event": text, "exc_info": record.exc_info}, record.name)


def _device(stream: IO[Any]) -> Device:
    binary = getattr(stream, "buffer", stream)
    return cast("Device", getattr(binary, "raw", binary))


def _safe(value: object) -> object:
    """Return `value` as JSON can hold it, each string in it masked and escaped."""
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, Mapping):
        return {_fit(k, TEXT_MAX): MASK if k in SECRET_FIELDS and v else _safe(v) for k, v in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_safe(item) for item in value]
    if isinstance(value, bytes):
        value = value.decode(errors="replace")
    if isinstance(value, BaseException):
        value = f"{type(value).__name__}: {value}"
    return _fit(value, TEXT_MAX)


def _fit(value: object, limit: int) -> str:
    text = value if type(value) is str else str(value)
    masked = escape(redact(text[: 4 * limit]))
    return masked if len(masked) <= limit else f"{masked[:limit]}…"


def _quoted(value: object) -> str:
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    if text and not any(c in text for c in " =\"'\\"):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"' if isinstance(value, str) else text
