"""Collected last: what all responders of the run wrote, at debug level, holds none of its secrets."""

import bisect
import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from tests.e2e.responder import LOG_FILES, new_log
from tests.leaks import SECRETS

pytestmark = pytest.mark.e2e
BATCH_BYTES = 4 << 20


def leaks(logs: Iterable[Path]) -> dict[str, str]:
    """Return the kind of secret that stands in a log, by the log's name and the line's place in it."""
    found = {}
    for batch in batches(path for path in logs if path.exists()):
        # Looking for all secrets costs more than the text: small logs are looked through together.
        texts = [path.read_bytes() for path in batch]
        begins = [0, *itertools.accumulate(len(text) + 1 for text in texts)]
        for finding in SECRETS.scan(b"\n".join(texts)):
            which = bisect.bisect_right(begins, finding.offset) - 1
            found[f"{batch[which].name}, byte {finding.offset - begins[which]}"] = finding.kind
    return found


def batches(logs: Iterable[Path]) -> Iterator[list[Path]]:
    """Yield the logs in order, together as long as they are short."""
    batch: list[Path] = []
    for path in logs:
        if batch and sum(one.stat().st_size for one in (*batch, path)) > BATCH_BYTES:
            yield batch
            batch = []
        batch.append(path)
    if batch:
        yield batch


# Some worlds are for `make test-all` only, so it is looked through there, too.
@pytest.mark.parametrize("run", ["test", pytest.param("test-all", marks=pytest.mark.slow)])
def test_no_secret_in_any_log(run: str) -> None:
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

    other = new_log("harmless")
    other.write_text('{"event":"allowed"}\n')
    LOG_FILES.remove(other)

    assert {f"{log.name}, byte 0": "token"} == leaks([other, log, other])
