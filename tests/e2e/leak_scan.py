"""The look for secrets in what responders wrote. Each process of a run does it when it ends (tests/conftest.py)."""

import bisect
import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path

from tests.leaks import SECRETS

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
