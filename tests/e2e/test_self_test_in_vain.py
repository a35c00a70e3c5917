"""Every way of running in vain: a responder that is ready and lets nobody in says so."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import faults
from tests.e2e.plans import Plan
from tests.e2e.self_tests import REJECTED, failure, line_of, measured, variables
from tests.e2e.worlds import BINARIES, world_of
from tests.leaks import SECRETS, Finding
from tests.side_by_side import side_by_side
from tests.test_doctor import told

pytestmark = pytest.mark.e2e


@dataclass(frozen=True)
class InVain:
    """What a responder that lets nobody in told of itself."""

    version: str
    line: dict[str, Any]
    rejections: float
    rejection: str
    leaks: list[Finding]
    ready: bool


def run_in_vain(plan: Callable[[Path], Plan], rejected: str, binary: str) -> InVain:
    with world_of(plan, binary) as world:
        responder = world.start_responder(**variables(world))
        if believes_everybody(plan, world.version):
            return InVain(world.version, {}, 0.0, "", [], responder.ready)
        line = failure(responder)
        rejection = ""
        if rejected:
            measured(responder, REJECTED, lambda value: value >= 1)
            rejection = line_of(responder, "nats rejected an answer")["reason"]
        leaks = SECRETS.scan(responder.log().encode())
        return InVain(world.version, line, responder.metrics()[REJECTED], rejection, leaks, responder.ready)


def believes_everybody(plan: Callable[[Path], Plan], version: str) -> bool:
    return plan is faults.callout_key_unknown and version.startswith("2.11.")


@pytest.fixture(scope="module")
def runs_in_vain(request: pytest.FixtureRequest) -> Iterator[Callable[[tuple[Any, ...]], InVain]]:
    """Say what became of a plan; each waits most of the time, so some run beside each other."""
    yield from side_by_side(
        request,
        test_running_in_vain_is_seen.__name__,
        lambda params: (params["plan"], params["rejected"], str(BINARIES[params["either_end"]]())),
        lambda case: run_in_vain(*case),
        at_once=3,
    )


@pytest.mark.parametrize(
    ("plan", "rejected", "cause"),
    [
        pytest.param(faults.answers_refused, "", "", id="answers-not-let-through"),
        pytest.param(
            faults.target_unknown, 'No valid account "AP"', "target_account_unknown", id="target-account-unknown"
        ),
        pytest.param(faults.other_issuer, "", "", id="other-issuer"),
        pytest.param(faults.callout_off, "", "", id="callout-off"),
        pytest.param(faults.sealed_for_another, "", "", id="other-xkey"),
        pytest.param(faults.not_allowed, "not permitted as valid", "target_not_allowed", id="target-not-allowed"),
        pytest.param(
            faults.callout_key_unknown, "key is unknown", "signing_key_of_another_account", id="callout-key-unknown"
        ),
        pytest.param(
            faults.target_key_unknown, "is not known", "signing_key_of_another_account", id="target-key-unknown"
        ),
        pytest.param(faults.scoped, "User JWT is not valid", "scoped_signing_key", id="scoped-signing-key"),
        pytest.param(faults.sentinel_missing, "", "", id="sentinel-missing"),
    ],
)
def test_running_in_vain_is_seen(
    plan: Callable[[Path], Plan],
    rejected: str,
    cause: str,
    either_end: str,
    runs_in_vain: Callable[[tuple[Any, ...]], InVain],
) -> None:
    """
    A responder that is ready but lets nobody in says so: in the metric, and in one line. Where the server refuses what
    we answer, that has a metric and a line of its own, in the server's words, and no secret is in any of them. doctor
    hears the same words, and knows their cause.
    """
    seen = runs_in_vain((plan, rejected, either_end))
    if believes_everybody(plan, seen.version):
        pytest.skip("2.11 believes a response's issuer_account, whoever signed it, and lets the client in")

    assert ("error", "refused") == (seen.line["level"], seen.line["reason"])
    assert rejected in seen.rejection
    assert not cause or (cause,) == told(seen.rejection).causes
    assert bool(rejected) == (seen.rejections >= 1)
    assert [] == seen.leaks
    assert seen.ready
