"""Lay out the layers of the image, in the builder stage: bytecode, bill of materials, equal modes and times.

    python -m image.layers --environment VENV --to FOLDER --report PIP_REPORT … --license FILE

FOLDER gets `dependencies` (what others wrote: big, changes with requirements/) and `application` (what we wrote: small),
each a tree as it will stand below `/`. Only the standard library: this runs with the base image's Python.
"""

import argparse
import compileall
import json
import os
import platform
import py_compile
import re
import shutil
import stat
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import Distribution
from pathlib import Path

from image import sbom

PACKAGE = "nats-k8s-oidc-callout"
MODULE = "nats_k8s_oidc_callout"
BILL = Path("usr/share/doc", PACKAGE, "sbom.cdx.json")

# Of the standard library, what no server imports.
_NOT_COMPILED = re.compile(
    r"/(?:site-packages|test|idlelib|tkinter|turtledemo|ensurepip|pydoc_data|lib2to3|venv|config-[^/]*|turtle\.py)(?:/|$)"
)
_OWN_SCRIPTS = ("python", "python3", PACKAGE)


def main(arguments: Sequence[str]) -> int:
    """Write both layers."""
    parser = argparse.ArgumentParser(description="Lay out the layers of the image.")
    parser.add_argument("--environment", type=Path, required=True, help="the virtual environment, everything installed")
    parser.add_argument("--to", type=Path, required=True, help="an empty folder for the layers")
    parser.add_argument("--report", type=Path, action="append", required=True, help="what pip said it installed")
    parser.add_argument("--license", type=Path, required=True)
    options = parser.parse_args(arguments)
    epoch = int(os.environ["SOURCE_DATE_EPOCH"])
    dependencies, application = options.to / "dependencies", options.to / "application"

    environment: Path = options.environment
    remove_scripts(environment)
    libraries = Path(sysconfig.get_path("stdlib"))
    compile_all(libraries, _NOT_COMPILED)
    compile_all(environment)

    copy(environment_files(environment, own=False), dependencies)
    copy(libraries.rglob("__pycache__/*.pyc"), dependencies)
    copy(environment_files(environment, own=True), application)
    place(Path(__file__).with_name("wget.py"), application / "usr/local/bin/wget", f"#!{environment}/bin/python -I\n")
    place(options.license, application / BILL.with_name("LICENSE"))
    installed = [json.loads(report.read_text()) for report in options.report]
    found = map(Distribution.at, environment.glob("lib/python3*/site-packages/*.dist-info"))
    licenses = {
        sbom.normal(one.metadata["Name"]): str(one.metadata.json.get("license_expression", "")) for one in found
    }
    release = platform.freedesktop_os_release()
    debian = Path("/var/lib/dpkg/status").read_text(), f"{release['ID']}-{release['VERSION_ID']}"
    text = sbom.bill(PACKAGE, installed, licenses, debian, platform.python_version(), epoch)
    (application / BILL).write_text(text)

    for layer in (dependencies, application):
        settle(layer, epoch)
    return 0


def remove_scripts(environment: Path) -> None:
    """Leave Python and our own command in `bin`: dependencies bring programs that nobody runs here."""
    (environment / ".gitignore").unlink(missing_ok=True)
    for script in (environment / "bin").iterdir():
        if script.name not in _OWN_SCRIPTS:
            script.unlink()


def compile_all(folder: Path, leave_out: re.Pattern[str] | None = None) -> None:
    """Write bytecode that needs no look at its source: without it each start compiles everything anew."""
    # One process, in one order: what parts of bytecode share depends on what was compiled before.
    done = compileall.compile_dir(
        folder,
        maxlevels=20,
        quiet=1,
        force=True,
        rx=leave_out,
        workers=1,
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )
    if not done:
        raise SystemExit(f"{folder} does not compile")


def environment_files(environment: Path, *, own: bool) -> Iterator[Path]:
    """Yield what is in the virtual environment, either of our own package or of all others."""
    for path in environment.rglob("*"):
        if path.is_dir() and not path.is_symlink():
            continue
        # pip's note where our own wheel lay in the builder.
        if path.name == "direct_url.json":
            continue
        ours = any(
            part in (PACKAGE, MODULE) or part.startswith(f"{MODULE}-") for part in path.relative_to(environment).parts
        )
        if ours is own:
            yield path


def copy(files: Iterable[Path], layer: Path) -> None:
    """Copy files to where they stand now, below `layer`."""
    for file in sorted(files):
        target = layer / file.relative_to("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(file, target, follow_symlinks=False)


def place(source: Path, target: Path, first_line: str = "") -> None:
    """Copy one file of ours; with a `#!` line it is a program."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(first_line + source.read_text())
    target.chmod(0o755 if first_line else 0o644)


def settle(layer: Path, epoch: int) -> None:
    """Make owner, modes and times the same whoever builds it, and when."""
    for path in (layer, *layer.rglob("*")):
        if not path.is_symlink():
            runs = path.is_dir() or path.stat().st_mode & stat.S_IXUSR
            path.chmod(0o755 if runs else 0o644)
        os.chown(path, 0, 0, follow_symlinks=False)
        os.utime(path, (epoch, epoch), follow_symlinks=False)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
