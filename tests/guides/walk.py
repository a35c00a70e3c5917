"""A document, run from top to bottom in one shell of one world, its printed output compared with what it says.

    with Walk(ROOT / "docs/DEPLOY.md", world, folder) as walk:
        walk.run()

The shell keeps variables, directory and background jobs from block to block, as a reader's terminal does. The test file that
walks documents names them in a literal `WALKED = ("docs/DEPLOY.md",)`, where test_blocks.py looks for them.
"""

import os
import re
import shlex
import subprocess
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, Self

from tests.guides.blocks import WALKED_KINDS, Block, blocks
from tests.guides.substitutions import Substitution, path_first, used, variables

BLOCK_SECONDS = 120.0
_ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")

# Each block is a file that the same bash reads. What it prints goes into a file of its own, so that a program left in
# the background keeps nothing open that somebody waits for. The trap sees each command that failed, not only the last.
_DRIVER = """
set -E
trap 'WALK_CODE=$?; case "$BASH_COMMAND" in ". "*) ;; *) echo "$WALK_CODE $BASH_COMMAND" >> "$WALK/failed" ;; esac' ERR
exec 9<> "$WALK/next"
while IFS= read -r -u 9 WALK_BLOCK; do
  [ "$WALK_BLOCK" = end ] && break
  : > "$WALK/failed"
  . "$WALK/$WALK_BLOCK.sh" > "$WALK/$WALK_BLOCK.out" 2>&1 < /dev/null 9<&-
  WALK_CODE=$?
  # A block that is no shell at all sets off no trap.
  [ $WALK_CODE = 0 ] || [ -s "$WALK/failed" ] || echo "$WALK_CODE the block" >> "$WALK/failed"
  : > "$WALK/$WALK_BLOCK.done"
done
trap - ERR
for job in $(jobs -p); do kill "$job" 2> /dev/null; done
exit 0
"""


class Result(Protocol):
    """What a world says about a script that ended."""

    @property
    def code(self) -> int: ...
    @property
    def output(self) -> str: ...


class World(Protocol):
    """Where a document is run: a machine, or a cluster's network (tests/node)."""

    def shell(self, script: str, cwd: Path, timeout: float = 60, env: Mapping[str, str] | None = None) -> Result:
        """Run a bash script there and return how it ended."""
        ...


@dataclass(frozen=True, slots=True)
class Done:
    code: int
    output: str


@dataclass(frozen=True, slots=True)
class Machine:
    """The world of a document that wants no cluster: this machine, with these variables."""

    env: Mapping[str, str] = field(default_factory=dict)

    def shell(self, script: str, cwd: Path, timeout: float = 60, env: Mapping[str, str] | None = None) -> Done:
        done = subprocess.run(
            ["bash", "--norc", "-c", script],
            check=False,
            cwd=cwd,
            env={**os.environ, **self.env, **(env or {})},
            timeout=timeout,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        return Done(done.returncode, done.stdout)


class WalkError(AssertionError):
    """A block did not do what the document says."""


class Walk:
    """One document in one world. Use it as a context manager; the shell starts on entering."""

    def __init__(
        self, document: Path, world: World, folder: Path, env: Mapping[str, str] | None = None, seconds: float = 600
    ) -> None:
        self.document, self.world, self.folder = document, world, folder
        self.seconds = seconds
        self.ran: list[Block] = []
        self.printed = ""
        self._count = 0
        self._pipe = -1
        self._state = folder / ".walk"
        self._env = {**variables(), **(env or {}), "WALK": str(self._state), "NO_COLOR": "1"}
        self._thread = threading.Thread(target=self._shell, name=f"walk {document.name}", daemon=True)
        self._ended: str | None = None

    def __enter__(self) -> Self:
        self._state.mkdir(parents=True)
        os.mkfifo(self._state / "next")
        # Open at both ends, so that neither writing nor reading waits for the other to be there.
        self._pipe = os.open(self._state / "next", os.O_RDWR)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._say("end")
        self._thread.join(30)
        os.close(self._pipe)

    def _shell(self) -> None:
        script = f"cd -- {shlex.quote(str(self.folder))} || exit\nexport PATH={path_first()}:$PATH\n{_DRIVER}"
        try:
            done = self.world.shell(script, self.folder, self.seconds, self._env)
            self._ended = f"the shell ended with {done.code}\n{done.output}"
        except Exception as error:  # noqa: BLE001  (told where the next block waits for it)
            self._ended = f"the shell ended: {error}"

    def _say(self, word: str) -> None:
        os.write(self._pipe, f"{word}\n".encode())

    # What is run

    def run(self, headings: tuple[str, ...] = ()) -> None:
        """Run the whole document, or only what stands below these headings."""
        todo = [one for one in blocks(self.document) if one.kind in WALKED_KINDS]
        todo = [one for one in todo if not headings or one.heading in headings]
        for index, block in enumerate(todo):
            if block.kind == "file":
                self.write(block)
            elif block.kind == "run":
                below = todo[index + 1] if index + 1 < len(todo) else None
                self.execute(block, below if below is not None and below.kind == "output" else None)

    def write(self, block: Block) -> None:
        """Write a file that the document prints, where the shell stands."""
        name = block.options["path"]
        code, printed = self.command(
            f"mkdir -p -- \"$(dirname '{name}')\" && cat > '{name}' <<'END OF FILE'\n{block.text}END OF FILE\n"
        )
        if code:
            raise WalkError(f"{block.place}: {printed}")

    def execute(self, block: Block, expected: Block | None) -> None:
        """Run a block, and compare what it printed with the block below it."""
        deadline = time.monotonic() + float(block.options.get("within", 0))
        while True:
            fault = self._fault(block, expected)
            if not fault:
                break
            if time.monotonic() >= deadline:
                raise WalkError(f"{block.place} ({block.heading}): {fault}")
            time.sleep(0.5)
        self.ran.append(block)

    def _fault(self, block: Block, expected: Block | None) -> str:
        _, self.printed = self.command(block.text)
        failed = [line.partition(" ") for line in (self._state / "failed").read_text().splitlines()]
        # A command that takes several lines leaves several lines here; the code stands on the first.
        codes = [code for code, _, _ in failed if code.isdigit()]
        wanted = block.options.get("exit")
        if (wanted is None and codes) or (wanted is not None and set(codes) != {wanted}):
            told = "; ".join(f"{command!r} ended with {code}" for code, _, command in failed) or "nothing failed"
            return f"{told}, and it says exit={wanted or 0}\n{block.text}\n{self.printed}"
        if expected is not None and not matches(expected.text, self.printed):
            return f"it printed\n{self.printed}\nand {expected.place} says\n{expected.text}"
        return ""

    def command(self, text: str, seconds: float = BLOCK_SECONDS) -> tuple[int, str]:
        """Run a piece of shell; return its code (0 or 1) and what it printed."""
        self._count += 1
        name = f"{self._count:03d}"
        (self._state / f"{name}.sh").write_text(text)
        self._say(name)
        deadline = time.monotonic() + seconds
        while not (self._state / f"{name}.done").exists():
            if self._ended is not None:
                raise WalkError(f"{self._ended}; it was running\n{text}\n{self._output(name)}")
            if time.monotonic() > deadline:
                raise WalkError(f"not done within {seconds} s:\n{text}\n{self._output(name)}")
            time.sleep(0.02)
        return int(bool((self._state / "failed").read_text())), self._output(name)

    def _output(self, name: str) -> str:
        path = self._state / f"{name}.out"
        return _ANSI.sub("", path.read_text(errors="replace")) if path.exists() else ""

    @property
    def substituted(self) -> list[Substitution]:
        """The rows of the table that were used so far."""
        return used(self._state)


def matches(expected: str, printed: str) -> bool:
    """Say whether output is what a document shows: `…` is any text, or any lines; runs of blanks count as one."""
    pattern = ""
    for line in expected.rstrip("\n").splitlines():
        if line.strip() == "…":
            pattern += r"(?:[^\n]*\n)*?"
            continue
        words = [".*?".join(re.escape(part) for part in word.split("…")) for word in line.split()]
        pattern += r"[ \t]*" + r"[ \t]+".join(words) + r"[ \t]*\n"
    return re.fullmatch(pattern, "".join(f"{line}\n" for line in printed.rstrip("\n").splitlines())) is not None
