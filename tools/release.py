"""A release: the version and the owner everywhere they stand, what is published, and its notes.

python -m tools.release 1.2.3                 write the version everywhere, and the day into CHANGELOG
python -m tools.release 1.2.3 --check         say where it is missing; exit code 1 if anywhere
python -m tools.release --owner NAME          write who publishes it (`your-org` until somebody does)
python -m tools.release 1.2.3 --dist FOLDER   build wheel, source archive and chart, and NOTES.md
"""

import argparse
import datetime
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from tools import build

ROOT = Path(__file__).resolve().parent.parent
NAME = "nats-k8s-oidc-callout"
CHART = f"helm/{NAME}"
_VERSION = r"\d+\.\d+\.\d+(?:-[0-9A-Za-z.]+)?"
# File, and what stands before the version there; each stands there once.
_PLACES = (
    ("pyproject.toml", r'^version = "'),
    (f"{CHART}/Chart.yaml", r"^version: "),
    (f"{CHART}/Chart.yaml", r'^appVersion: "'),
    (f"{CHART}/Chart.yaml", rf"^      image: {NAME}:"),
    ("Dockerfile", r"^ARG VERSION="),
    ("docs/IMAGE.md", rf"^IMAGE={NAME}:"),
    ("docs/IMAGE.md", "^… "),
)
# Files that name the owner; pyproject.toml says who it is.
_OWNED = (
    "pyproject.toml",
    "PACKAGE.md",
    f"{CHART}/Chart.yaml",
    f"{CHART}/artifacthub-repo.yml",
    "docs/DEPLOY.md",
    ".github/CODEOWNERS",
    ".github/ISSUE_TEMPLATE/config.yml",
)
_BUILD = "import sys; from flit_core import buildapi as b; b.build_wheel(sys.argv[1]); b.build_sdist(sys.argv[1])"


def versions(root: Path = ROOT) -> Iterator[tuple[str, str]]:
    """Yield each place (file and what stands before it) and the version there; empty when the place is gone."""
    for file, before in _PLACES:
        found = re.findall(f"{before}({_VERSION})", (root / file).read_text(encoding="utf-8"), re.MULTILINE)
        yield f"{file} ({before})", found[0] if len(found) == 1 else ""


def set_version(version: str, today: str, root: Path = ROOT) -> None:
    """Write the version to every place, and give CHANGELOG's unreleased section its name and day."""
    for file, before in _PLACES:
        path = root / file
        text = re.sub(f"({before}){_VERSION}", rf"\g<1>{version}", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
        path.write_text(text, encoding="utf-8")
    log = root / "CHANGELOG.md"
    heading = f"## {version} ({today})"
    log.write_text(re.sub(r"^## Unreleased.*$", heading, log.read_text(encoding="utf-8"), count=1, flags=re.MULTILINE))


def problems(version: str, root: Path = ROOT) -> list[str]:
    """Return where this version is missing."""
    wrong = [f"{place}: {found or 'no version'}" for place, found in versions(root) if found != version]
    return wrong if notes(version, root) else [*wrong, f"CHANGELOG.md: no section {version}"]


def notes(version: str, root: Path = ROOT) -> str:
    """Return CHANGELOG's section of a version, without its heading; empty when there is none."""
    text = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    found = re.search(rf"^## {re.escape(version)} \(.*\)\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    return found[1].strip() + "\n" if found else ""


def owner(root: Path = ROOT) -> str:
    """Return who publishes it."""
    text = (root / "pyproject.toml").read_text(encoding="utf-8")
    return str(re.findall(rf'^Homepage = "https://github.com/([\w-]+)/{NAME}"$', text, re.MULTILINE)[0])


def set_owner(name: str, root: Path = ROOT) -> None:
    """Write the owner to every file that names one."""
    before = owner(root)
    for file in _OWNED:
        path = root / file
        text = path.read_text(encoding="utf-8")
        path.write_text(re.sub(rf"(?<![\w-]){re.escape(before)}(?![\w-])", name, text), encoding="utf-8")


def dist(version: str, folder: Path) -> None:
    """Build what is published into a folder; raise CalledProcessError when a part cannot be built."""
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run([sys.executable, "-c", _BUILD, str(folder.resolve())], cwd=ROOT, check=True)
    package = [build.build("helm"), "package", CHART, "--destination", folder.resolve()]
    subprocess.run([str(word) for word in package], cwd=ROOT, check=True)
    (folder / "NOTES.md").write_text(notes(version) or f"{version} is not released.\n", encoding="utf-8")


def main(arguments: Sequence[str]) -> int:
    """Do what the command line says; return the exit code."""
    parser = argparse.ArgumentParser(description="Prepare or check a release.")
    parser.add_argument("version", nargs="?", default="")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--owner", default="")
    parser.add_argument("--dist", type=Path)
    options = parser.parse_args(arguments)
    if options.version and not re.fullmatch(_VERSION, options.version):
        parser.error(f"{options.version} is no version like 1.2.3")
    if options.owner:
        set_owner(options.owner)
    if options.dist:
        dist(options.version, options.dist)
    elif options.version and not options.check:
        set_version(options.version, datetime.datetime.now(datetime.UTC).date().isoformat())
    if not options.version or options.dist:
        return 0
    wrong = problems(options.version)
    print("\n".join(wrong) if wrong else f"{options.version} stands everywhere.")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
