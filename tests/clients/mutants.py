"""Examples without the lines that make them survive: what every one of them must not live through."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from tests.clients.builds import Change

_PLAIN = """import contextlib
import nats
NotConnected = Connection = nats.errors.Error

@contextlib.asynccontextmanager
async def connect(url, *, namespace, service_account, token_file):
    nc = await nats.connect(
        url,
        name=f"{namespace}/{service_account}",
        token=lambda: open(token_file).read().strip(),
        inbox_prefix=f"_INBOX_SA.{namespace}.{service_account}".encode(),
        max_reconnect_attempts=-1,
    )
    yield nc
"""


@dataclass(frozen=True)
class Mutant:
    """A language, what is taken away from its example, and the phase of the story that it does not outlive."""

    language: str
    change: Change
    ended_by: str


def without(*patterns: str) -> Change:
    """Return the change that takes away all that these patterns find, each of which must be there."""

    def change(text: str) -> str:
        for pattern in patterns:
            text, count = re.subn(pattern, "", text, flags=re.MULTILINE)
            assert count, pattern
        return text

    return change


def _plain_nats_py(text: str) -> str:
    imported = "from client import Connection, NotConnected, connect\n"
    assert imported in text
    assert ", timeout=None" in text
    return text.replace(imported, _PLAIN).replace(", timeout=None", "")


def _java_without_its_loop(text: str) -> str:
    return text.replace("while (!stopping) {\n            try", "if (!stopping) {\n            try").replace(
        ".noReconnect()", ".maxReconnects(-1).reconnectWait(Duration.ofMillis(100))"
    )


MUTANTS: Mapping[str, Mutant] = {
    "python-plain": Mutant("python", _plain_nats_py, "rotation"),
    "go-gives-up": Mutant("go", without(r"^.*nats\.IgnoreAuthErrorAbort\(\),$"), "restart"),
    "node-gives-up": Mutant("node", without(r"^  ignoreAuthErrorAbort: true,$"), "restart"),
    "node-old-token": Mutant(
        "node", lambda text: text.replace("tokenAuthenticator(token)", "tokenAuthenticator(token())"), "rotation"
    ),
    "java-gives-up": Mutant("java", _java_without_its_loop, "restart"),
}
