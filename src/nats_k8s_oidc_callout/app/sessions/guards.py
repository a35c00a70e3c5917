"""When a client may be sent to log in again: a kick while logins fail closes stock clients for good."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from nats_k8s_oidc_callout.core.sessions.kicks import Guards

SELF_TEST_SECONDS = 90.0
CALM_AGE_SECONDS = 0.1
CALM_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Signs:
    """What the guards go by, as plain callables."""

    ready: Callable[[], bool]
    tested: Callable[[], float | None]
    """When the self-test passed last (monotonic seconds), infinity without one; None while it has not, or fails."""
    keys_fresh: Callable[[], bool]
    behind_seconds: Callable[[], float]
    """How long the oldest login has waited here."""
    late: Callable[[], int]
    """How many logins came too late, ever."""
    leaving: Callable[[], bool]
    listed_at: Callable[[], float]
    """When the last whole list of ServiceAccounts began (Unix seconds)."""


class LiveGuards:
    """The guards at this moment."""

    def __init__(
        self,
        signs: Signs,
        complete: Callable[[], bool],
        settled: Callable[[], bool],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`complete` says whether the table is, `settled` whether all changes are judged."""
        self._signs, self._complete, self._settled, self._monotonic = signs, complete, settled, monotonic
        self._late, self._late_at = signs.late(), -math.inf

    def __call__(self) -> Guards:
        signs, now = self._signs, self._monotonic()
        late = signs.late()
        if late != self._late:
            self._late, self._late_at = late, now
        tested = signs.tested()
        return Guards(
            ready=signs.ready() and tested is not None and now - tested < SELF_TEST_SECONDS,
            keys_fresh=signs.keys_fresh(),
            complete=self._complete(),
            calm=signs.behind_seconds() < CALM_AGE_SECONDS and now - self._late_at >= CALM_SECONDS,
            draining=signs.leaving(),
            settled=self._settled(),
            listed_at=signs.listed_at(),
        )
