"""What all responders of a run wrote, at debug level, holds none of its secrets."""

import pytest

from tests.e2e.leak_scan import leaks
from tests.e2e.responder import LOG_FILES, new_log
from tests.leaks import SECRETS

pytestmark = pytest.mark.e2e


def test_no_secret_in_any_log() -> None:
    """
    No 16 bytes in a row of any token, seed, creds or password of the run stand in a log so far, plain or in base64.

    The same look ends the run, at the logs that were written since.
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

    other = new_log("harmless")
    other.write_text('{"event":"allowed"}\n')
    LOG_FILES.remove(other)

    assert {f"{log.name}, byte 0": "token"} == leaks([other, log, other])
