"""Every fenced block of the documents, run, rendered or compared."""

import pytest

OPEN_FAULT = pytest.mark.xfail(
    strict=False,
    reason="an open fault: with three nats-servers one of them may refuse logins for a while after a replica or a server "
    "has left (docs/UPGRADING.md); in about one of three runs",
)
