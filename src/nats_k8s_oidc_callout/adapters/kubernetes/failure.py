"""What can go wrong with a list or a watch, each with the one word that metrics and logs have for it."""

from typing import Literal

import aiohttp

from nats_k8s_oidc_callout.errors import Unreachable

Reason = Literal[
    "forbidden", "gone", "history_went_back", "internal", "refused", "reset", "server_error", "short", "silence",
    "timeout", "too_many_requests", "unauthorized", "unreachable", "unreadable",
]  # fmt: skip


class Failed(Unreachable):
    """A list or a watch ended otherwise than it should."""

    def __init__(
        self, reason: Reason, detail: str, *, must_list: bool = False, after_seconds: float = 0.0, is_bug: bool = False
    ) -> None:
        """`must_list`: what the watch would bring from here on is not the whole truth. `after_seconds`: the server's wish."""
        super().__init__(detail)
        self.reason = reason
        self.must_list = must_list
        self.after_seconds = after_seconds
        self.is_bug = is_bug


def from_status(response: aiohttp.ClientResponse, verb: str, resource: str) -> Failed:
    """Return what an answer other than 200 means."""
    status = response.status
    if status == 410:
        return Failed("gone", "the server forgot the version that we know", must_list=True)
    if status == 401:
        return Failed("unauthorized", "the server does not accept our token")
    if status == 403:
        return Failed("forbidden", f"this identity may not {verb} {resource}")
    if status == 429:
        return Failed("too_many_requests", "the server is busy", after_seconds=_seconds(response))
    if status >= 500:
        return Failed("server_error", f"the server answered {status}", after_seconds=_seconds(response))
    # Any other refusal may be about the version we ask from, and asking the same again would never end.
    return Failed("refused", f"the server answered {status}", must_list=True)


def from_error(error: Exception, verb: str) -> Failed:
    """Return what an exception of the connection, or of ours, means."""
    kind = type(error).__name__
    if isinstance(error, Failed):
        return error
    if isinstance(error, Unreachable):
        # A line that cannot be read may have been a delete. Skipping it could keep what is deleted alive.
        return Failed("unreadable", str(error), must_list=True)
    if isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError):
        return Failed("unreachable", f"no connection ({kind})")
    if isinstance(error, TimeoutError):
        return Failed("timeout", f"no answer to the {verb} in time")
    if isinstance(error, aiohttp.ClientError | OSError):
        return Failed("reset", f"the connection broke ({kind})")
    return Failed("internal", kind, must_list=True, is_bug=True)


def _seconds(response: aiohttp.ClientResponse) -> float:
    """Retry-After in seconds; the API server never sends the date form."""
    value = response.headers.get("Retry-After", "")
    return float(value) if value.isascii() and value.isdigit() and len(value) < 6 else 0.0
