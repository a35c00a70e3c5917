"""The log lines of a list or watch that fails: each failure once a minute."""

from collections.abc import Callable

import structlog

from nats_k8s_oidc_callout.adapters.kubernetes.failure import Failed

log = structlog.get_logger("informer")

REPEAT_LOG_SECONDS = 60.0
RBAC_FIX = "grant get, list and watch on {}: check the (Cluster)Role and its binding"


class Trouble:
    """What is wrong at present between the API server and one reflector."""

    def __init__(self, resource: str, namespace: str | None, monotonic: Callable[[], float]) -> None:
        self._resource, self._namespace, self._monotonic = resource, namespace, monotonic
        self._failing = ""
        self._logged_at = 0.0

    def over(self) -> None:
        """Log that it is over, if there was any."""
        if self._failing:
            log.info("informer recovered", after=self._failing, resource=self._resource)
            self._failing = ""

    def tell(self, failed: Failed, verb: str, delay: float) -> None:
        """Log a failure: at warning when it is a new one or a minute has gone by, else at debug."""
        now = self._monotonic()
        if failed.reason == "silence":
            # Nothing is wrong while the server takes the next watch; when it does not, that says so.
            log.debug("informer watch silent, reconnecting", retry_seconds=round(delay, 3))
            return
        is_news = failed.reason != self._failing or now - self._logged_at >= REPEAT_LOG_SECONDS
        if is_news:
            self._failing, self._logged_at = failed.reason, now
        say = log.warning if is_news else log.debug
        if failed.reason == "forbidden":
            say(
                "informer forbidden", verb=verb, resource=self._resource, namespace=self._namespace or "all",
                fix=RBAC_FIX.format(self._resource), retry_seconds=round(delay, 3),
            )  # fmt: skip
            return
        say(
            "informer failed", verb=verb, resource=self._resource, reason=failed.reason, detail=str(failed),
            retry_seconds=round(delay, 3),
        )  # fmt: skip
