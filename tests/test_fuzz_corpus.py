"""The kept inputs of the fuzzers hold on every Python, without the fuzzer; with FUZZ_SECONDS set it runs, too."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fuzz.run import NAMES
from fuzz.targets import TARGETS

ROOT = Path(__file__).parent.parent
CORPUS = ROOT / "fuzz" / "corpus"
SECONDS = os.environ.get("FUZZ_SECONDS", "")
# Each target: its time, and some seconds to start.
_STARTS_SECONDS = 15


def test_every_target_has_a_corpus_and_is_run() -> None:
    """The runner knows every target, and each has inputs to begin with."""
    assert set(TARGETS) == set(NAMES) == {folder.name for folder in CORPUS.iterdir()}


@pytest.mark.parametrize("name", NAMES)
def test_kept_inputs_hold(name: str) -> None:
    """What once was found, or shows the shape of a good input, is taken or refused as it should be."""
    inputs = sorted((CORPUS / name).iterdir())

    assert inputs
    for path in inputs:
        TARGETS[name](path.read_bytes())


@pytest.mark.parametrize("name", NAMES)
def test_every_short_input_holds(name: str) -> None:
    """Nothing, each single byte, and each kept input cut off anywhere or with a byte changed, is no surprise either."""
    target = TARGETS[name]
    target(b"")
    for byte in range(256):
        target(bytes([byte]))
    for path in sorted((CORPUS / name).iterdir())[:3]:
        data = path.read_bytes()
        for place in range(0, len(data), max(1, len(data) // 40)):
            target(data[:place])
            target(data[:place] + bytes([data[place] ^ 0x15]) + data[place + 1 :])


@pytest.mark.slow
@pytest.mark.skipif(not SECONDS, reason="FUZZ_SECONDS is not set: `make fuzz` runs the fuzzers")
def test_fuzzers_find_nothing() -> None:
    """Each fuzzer runs for FUZZ_SECONDS and finds nothing."""
    if importlib.util.find_spec("atheris") is None:
        pytest.skip(f"atheris is not installed for Python {sys.version.split()[0]}")
    # What each did is shown by `pytest -s`.
    ran = subprocess.run(
        [sys.executable, "fuzz/run.py", "--seconds", SECONDS],
        cwd=ROOT,
        stdout=None,
        text=True,
        timeout=len(NAMES) * (int(SECONDS) + _STARTS_SECONDS),
        check=False,
    )
    assert 0 == ran.returncode
