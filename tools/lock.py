"""Pins what pyproject.toml asks for, with the hashes of every wheel: `make lock` writes requirements/*.txt.

Each file is whole in itself, and all agree on each version: runtime (the image), demo, kubeconfig, test (the parts on
another Python), dev (everything), fuzz (the fuzzers), lock (the tool that does this), and audit (pip-audit). One file serves Python 3.11
and later on every platform. No index, no link and no path of the machine that ran it goes into them.
"""

import os
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path

_ROOT = Path(__file__).resolve().parent.parent
_OUT = _ROOT / "requirements"
_HEADER = "# Pinned by `make lock` from pyproject.toml. Install with: pip install --require-hashes -r {file}\n"
_UV = "uv>=0.9"
_AUDIT = "pip-audit>=2.9"
# What would let this machine's own set-up leak into the result.
_OURS_ALONE = ("UV_", "PIP_FIND_LINKS", "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL")

# File -> extras, and whether it must also be able to build the package (`--no-build-isolation`).
_FILES = {
    "runtime.txt": ((), False),
    "demo.txt": (("demo",), True),
    "kubeconfig.txt": (("kubeconfig",), False),
    "test.txt": (("demo", "kubeconfig", "test"), False),
    "fuzz.txt": (("fuzz", "test"), False),
}
# Not for everybody's `dev`: atheris is built from source where it has no wheel.
_APART = ("fuzz",)


def _pin(wanted: Iterable[str], to: Path, upgrade: bool, agree_with: Path | None = None) -> None:
    """Write the pins of these requirements to a file; what the file had stays unless `upgrade`."""
    with tempfile.TemporaryDirectory() as aside:
        source, result = Path(aside) / "wanted.in", Path(aside) / "pins.txt"
        source.write_text("\n".join(wanted) + "\n")
        if to.exists() and not upgrade:
            result.write_text(to.read_text())
        command = ["uv", "pip", "compile", "--universal", "--python-version", "3.11", "--generate-hashes"]
        command += ["--no-annotate", "--no-header", "--quiet", "--no-config", "--output-file", str(result), str(source)]
        if agree_with is not None:
            command += ["--constraint", str(agree_with)]
        environment = {name: value for name, value in os.environ.items() if not name.startswith(_OURS_ALONE)}
        subprocess.run(command, check=True, env=environment, stdin=subprocess.DEVNULL)
        to.write_text(_HEADER.format(file=f"requirements/{to.name}") + result.read_text())
    print(
        f"requirements/{to.name}: {sum(line[0] not in '# ' for line in to.read_text().splitlines())} pins", flush=True
    )


def main(arguments: Sequence[str]) -> int:
    """Pin all files; `--upgrade` moves to the newest versions, without it only what pyproject.toml changed moves."""
    upgrade = "--upgrade" in arguments
    project = tomllib.loads((_ROOT / "pyproject.toml").read_text())
    name: str = project["project"]["name"]
    # An extra that asks for another of ours, as `demo` for `responder`, is written out here: each file is whole.
    extras: dict[str, list[str]] = {
        extra: [entry for entry in entries if not entry.startswith(name)]
        for extra, entries in project["project"]["optional-dependencies"].items()
    }
    runtime: list[str] = [*project["project"]["dependencies"], *extras["responder"]]
    builds: list[str] = project["build-system"]["requires"]
    shared = [extra for extra_name, extra in extras.items() if extra_name not in _APART]
    everything = [entry for extra in shared for entry in extra]
    everything += [*runtime, *builds]
    _OUT.mkdir(exist_ok=True)
    _pin(everything, _OUT / "dev.txt", upgrade)
    for file, (names, may_build) in _FILES.items():
        wanted = [*runtime, *(entry for extra in names for entry in extras[extra]), *(builds if may_build else ())]
        _pin(wanted, _OUT / file, upgrade, agree_with=_OUT / "dev.txt")
    _pin([_UV], _OUT / "lock.txt", upgrade)
    _pin([_AUDIT], _OUT / "audit.txt", upgrade)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
