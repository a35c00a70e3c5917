"""The client examples, and the testers of JetStream, as programs: each built once into the cache, under the hash of its files.

    python -m tests.clients.builds   builds what is not there yet; a first build takes minutes

It happens in a copy, so that nothing of it (a lock file, jars, modules) is left in the checkout.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tools import build

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples" / "clients"
JETSTREAM = ROOT / "tests" / "clients" / "jetstream"
"""Programs that are no examples: they do all that JetStream has, and say what worked."""
JETSTREAM_LANGUAGES = ("python", "go", "node")
INTENTS = ROOT / "tests" / "clients" / "intents"
"""Programs that do what intents are for, in each of LANGUAGES."""
STOCK = ROOT / "tests" / "clients" / "stock"
"""Connections with the libraries' defaults, in each of LANGUAGES."""
# Rust compiles its client library for minutes where nothing is there yet.
BUILD_SECONDS = 1200
_QUICKER = {"CARGO_PROFILE_DEV_DEBUG": "0", "CARGO_INCREMENTAL": "0", "CGO_ENABLED": "0", "GOWORK": "off"}

Change = Callable[[str], str]


@dataclass(frozen=True)
class Language:
    """How an example becomes a program, and how that is started. `@` stands for the folder of the build."""

    main: str
    steps: Sequence[Sequence[str]]
    command: Sequence[str]
    tools: Sequence[str]


LANGUAGES: Mapping[str, Language] = {
    "python": Language("main.py", (), (sys.executable, "@/main.py"), ()),
    "go": Language("main.go", (("go", "build", "-o", "survivor", "."),), ("@/survivor",), ("go",)),
    "node": Language(
        "main.js",
        (("npm", "install", "--omit=dev", "--no-package-lock", "--ignore-scripts"),),
        ("node", "@/main.js"),
        ("node", "npm"),
    ),
    "java": Language(
        "src/main/java/Main.java",
        (
            ("mvn", "--quiet", "--batch-mode", "dependency:copy-dependencies", "-DoutputDirectory=lib"),
            ("javac", "--release", "17", "-cp", "lib/*", "-d", "classes", "src/main/java/Main.java"),
        ),
        ("java", "-XX:TieredStopAtLevel=1", "-Xmx128m", "-cp", "@/classes:@/lib/*", "Main"),
        ("java", "javac", "mvn"),
    ),
    "rust": Language(
        "src/main.rs",
        (("cargo", "build", "--quiet"), ("cp", "@target/debug/survivor", "survivor")),
        ("@/survivor",),
        ("cargo", "cc"),
    ),
}


class NoToolchain(Exception):
    """A program that building or running this example needs is not on PATH."""


def _folder() -> Path:
    return build.cache() / "clients"


def command(language: str, change: Change | None = None, folder: Path = EXAMPLES) -> list[str]:
    """Return what starts this example, built if it is not there yet; `change` turns its main file into another one."""
    plan = LANGUAGES[language]
    for tool in plan.tools:
        if shutil.which(tool) is None:
            raise NoToolchain(f"{language}: there is no {tool} on PATH")
    source = folder / language
    main = (source / plan.main).read_text()
    text = change(main) if change else main
    assert change is None or text != main, f"the change of {language} changes nothing"
    digest = hashlib.sha256(repr(plan.steps).encode())
    for file in sorted(path for path in source.rglob("*") if path.is_file() and "__pycache__" not in path.parts):
        digest.update(f"{file.relative_to(source)}\0".encode())
        digest.update(text.encode() if file == source / plan.main else file.read_bytes())
    made = _folder() / f"{language}-{digest.hexdigest()[:12]}"
    if not made.is_dir():
        _make(plan, source, text, made)
    return [part.replace("@", str(made)) for part in plan.command]


def _make(plan: Language, source: Path, text: str, made: Path) -> None:
    made.parent.mkdir(parents=True, exist_ok=True)
    target = _folder() / "rust-target"
    # Built aside and renamed, as tools/build.py does.
    with tempfile.TemporaryDirectory(dir=made.parent, prefix=".building-") as scratch:
        aside = Path(scratch) / "example"
        shutil.copytree(source, aside, ignore=shutil.ignore_patterns("__pycache__"))
        (aside / plan.main).write_text(text)
        for step in plan.steps:
            done = subprocess.run(
                [part.replace("@target", str(target)) for part in step],
                check=False,
                cwd=aside,
                env={**os.environ, **_QUICKER, "CARGO_TARGET_DIR": str(target)},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=BUILD_SECONDS,
            )
            assert done.returncode == 0, f"{' '.join(step)} in {source.name}:\n{done.stdout[-4000:]}"
        try:
            aside.replace(made)
        except OSError:
            # Somebody else was quicker.
            assert made.is_dir()


def main() -> int:
    """Build all examples, outside of any test's time limit; say what is lacking; return the exit code."""
    programs = [(language, folder) for folder in (EXAMPLES, INTENTS, STOCK) for language in LANGUAGES]
    programs += [(language, JETSTREAM) for language in JETSTREAM_LANGUAGES]
    for language, folder in programs:
        try:
            command(language, folder=folder)
            sys.stdout.write(f"client {folder.name} {language}: in the cache\n")
        except NoToolchain as lacking:
            sys.stdout.write(f"client example {lacking}: its tests will be skipped\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
