"""Collected last: what all responders of the run wrote, at debug level, holds none of its secrets."""

from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.e2e.responder import LOG_FILES, new_log
from tests.leaks import SECRETS

pytestmark = pytest.mark.e2e


def leaks(logs: Iterable[Path]) -> dict[str, str]:
    """Return the kind of secret that stands in a log, by the log's name and the line's place in it."""
    found = {}
    for path in logs:
        if path.exists():
            for finding in SECRETS.scan(path.read_bytes()):
                found[f"{path.name}, byte {finding.offset}"] = finding.kind
    return found


def test_no_secret_in_any_log() -> None:
    """
    No 16 bytes in a row of any token, seed, creds or password of the run stand in any log, plain or in base64.
    """
    assert {} == leaks(LOG_FILES)


def test_planted_leak_is_found() -> None:
    """
    The same look, with the secrets of the run, finds 16 bytes of a signature in a line like all others.
    """
    token = SECRETS.register("token", f"eyJhbGciOiJSUzI1NiJ9.{'Zm9vYmFyIHBsYW50ZWQ' * 4}.{'kq83JdLw0zXcVb51' * 8}")
    log = new_log("planted")
    log.write_text(f'{{"event":"allowed","client":"{token[-40:-24]}"}}\n')
    LOG_FILES.remove(log)

    assert {f"{log.name}, byte 0": "token"} == leaks([log])
