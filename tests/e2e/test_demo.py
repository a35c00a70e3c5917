"""The demo's table is true: it is green on the product, and red on every way to break it."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.mutants import DEMO_MUTANTS, PACKAGE, SOURCE, Mutant, run_demo
from tools import build

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def demo() -> Iterator[tuple[str, list[str]]]:
    """Give what `demo --keep` tells of its story, and the lines that it offers for pasting, while it goes on running."""
    environment = {**os.environ, "PYTHONPATH": str(SOURCE), "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", PACKAGE, "demo", "--keep"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        lines: list[str] = []
        for line in running.stdout:
            lines.append(line)
            if line.startswith("  ls "):
                break
        start = next(number for number, line in enumerate(lines) if line.startswith("Everything goes on"))
        yield "".join(lines[:start]), [line.strip() for line in lines[start:] if line.startswith("  ")]
        # Not SIGINT: who starts this in the background of a script has it ignored, and so has every child.
        running.terminate()
        running.stdout.read()


@pytest.fixture
def kept(demo: tuple[str, list[str]]) -> list[str]:
    return demo[1]


def test_the_demo_tells_the_truth(demo: tuple[str, list[str]]) -> None:
    """
    On the product as it is every row of the demo is as expected.
    """
    assert "All 19 went as expected" in demo[0]
    assert "WRONG" not in demo[0]


def paste(lines: list[str]) -> subprocess.CompletedProcess[str]:
    """Run lines in a shell of their own, which goes on after a failure as a person's does."""
    return subprocess.run(
        ["bash", "-c", "\n".join(lines)],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=60,
        check=False,
    )


def test_what_keep_prints_can_be_pasted(kept: list[str]) -> None:
    """
    Each line does what is said above it, `doctor` and `explain` among them.
    """
    ours = [line for line in kept if not line.startswith(("nats ", "TOKEN="))]
    ran = paste(["set -e", *ours])

    assert 0 == ran.returncode, ran.stdout + ran.stderr
    assert "FAIL" not in ran.stdout
    assert re.search(r"^ok +round trip", ran.stdout, re.MULTILINE)
    # Once by its name, once by its token.
    assert 2 == len(re.findall(r"^shop/web$", ran.stdout, re.MULTILINE))
    assert "readyz check passed" in ran.stdout
    assert re.search(r"^shop/web +APP .* current +live$", ran.stdout, re.MULTILINE)
    assert "1 done, 0 gone, 0 silent" in ran.stdout


@pytest.mark.go
def test_what_keep_prints_for_the_nats_cli(kept: list[str]) -> None:
    """
    A subscriber hears what is published, and the last one is not permitted.
    """
    cli = build.path("nats")
    if cli is None:
        pytest.skip("the nats CLI is not built (make tools)")
    lines = [line for line in kept if line.startswith(("nats ", "TOKEN="))]
    # Somebody at a keyboard is slower than a script: the subscription is there before the next line is pasted.
    waiting = [line for listed in lines for line in ([listed, "sleep 1"] if listed.endswith("&") else [listed])]
    ran = paste([f"PATH={cli.parent}:$PATH", *waiting, "echo code $?", "sleep 0.2", "kill %1"])

    assert "world" in ran.stdout
    assert "code 1" in ran.stdout
    assert 'Permissions Violation for Publish to "elsewhere.hello"' in ran.stdout + ran.stderr


def test_what_keep_prints_means_the_same_to_every_shell(kept: list[str]) -> None:
    """
    Outside of quotes there is nothing that zsh, or a shell without comments, reads otherwise.
    """
    assert {line: [] for line in kept} == {line: re.findall(r"[?*\[\]#!~^=()]", _bare(line)) for line in kept}


def _bare(line: str) -> str:
    """Return a line without its quotes, its assignments, options and substitutions."""
    return re.sub(r"'[^']*'|\$\([^)]*\)|^[A-Z]+=|--[\w-]+=", "", line)


@pytest.mark.slow
@pytest.mark.parametrize("mutant", [None, *DEMO_MUTANTS], ids=lambda mutant: mutant.name if mutant else "none")
def test_the_demo_notices(mutant: Mutant | None) -> None:
    """
    A product that does not check what it should makes the demo exit 1 and mark the row; one that does, exit 0.
    """
    ran = run_demo(mutant)

    assert int(mutant is not None) == ran.returncode, ran.stdout + ran.stderr
    assert ("WRONG" in ran.stdout) == (mutant is not None)
