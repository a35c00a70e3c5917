"""The self-test of a running responder: how it is turned on, and what it tells."""

import time
from collections.abc import Callable
from typing import Any

from tests.e2e import plans
from tests.e2e.responder import ResponderProcess
from tests.e2e.worlds import World

SUCCESS = "nats_auth_selftest_success"
REJECTED = "nats_auth_answers_rejected_total"
WITHIN_SECONDS = 15.0


def variables(world: World) -> dict[str, Any]:
    """Return what turns the self-test on in this world."""
    token = world.folder / "self-test.token"
    token.write_text(world.token() + "\n")
    found = {"SELF_TEST_TOKEN_FILE": str(token)}
    if world.plan.sentinel:
        found["NATS_SENTINEL_CREDS_FILE"] = plans.write_creds(world.folder / "sentinel", world.plan.sentinel)
    return found


def measured(responder: ResponderProcess, metric: str, wanted: Callable[[float], bool]) -> float:
    """Return the metric once it is as wanted; fail with the log otherwise."""
    deadline = time.monotonic() + WITHIN_SECONDS
    while not ((value := responder.metrics().get(metric)) is not None and wanted(value)):
        assert time.monotonic() < deadline, f"{metric} is {value}:\n{responder.log()[-3000:]}"
        time.sleep(0.05)
    return value


def line_of(responder: ResponderProcess, event: str) -> dict[str, Any]:
    """Return the first line of this event; the log may be a moment behind the metrics."""
    deadline = time.monotonic() + WITHIN_SECONDS
    while not (lines := responder.events(event)):
        assert time.monotonic() < deadline, f"no {event}:\n{responder.log()[-3000:]}"
        time.sleep(0.05)
    return lines[0]


def failure(responder: ResponderProcess) -> dict[str, Any]:
    """Return the log line of the self-test that failed, once the metric says so."""
    measured(responder, SUCCESS, lambda value: value == 0)
    return line_of(responder, "self-test login failed")
