"""Refuses what must not be in the repository: paths of one machine, names of package registries, private lock files.

    python3 tools/hygiene.py   prints each find as file:line, exit code 1 if there is one

A checkout built on one machine must build on any other, and no file may decide from where packages come: that is the
business of whoever installs. Only the standard library.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

_ROOT = Path(__file__).resolve().parent.parent
_LARGEST = 1 << 20
# The patterns are spelt so that this file does not find itself.
_TEXTS = {
    "a path of one machine": r"(?<![\w.~$}])/(?:work|root|home/(?!me/)\w+|Users/(?!me/)\w+)/(?=\w|\.)|/tmp[/]v/",
    "a package registry's host": (
        r"\b(?:pypi[.]org|files[.]pythonhosted[.]org|(?:proxy|sum)[.]golang[.]org|registry[.]npmjs[.]org"
        r"|registry[.]yarnpkg[.]com|(?:static[.]|index[.])?crates[.]io|repo1?[.]maven[.](?:apache[.]org|org)"
        r"|deb[.]debian[.]org|archive[.]ubuntu[.]com)\b"
    ),
    "an index option": r"^\s*--(?:extra-)?(?:index-url|find-links|trusted-host)\b",
    "a merge left open": r"^(?:<{7} |>{7} )",
}
_FINDS = {what: re.compile(pattern, re.MULTILINE) for what, pattern in _TEXTS.items()}
_FILES = {
    "uv.lock", "poetry.lock", "Pipfile.lock", "pdm.lock", "Cargo.lock", "package-lock.json", "yarn.lock", ".netrc",
    "pip.conf",
}  # fmt: skip


def committed(root: Path) -> list[Path]:
    """Return the files that git has, or would add: everything but what .gitignore names."""
    command = ["git", "-C", str(root), "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL).stdout
    return sorted(root / name for name in set(listed.split("\0")) if name and (root / name).is_file())


def finds(file: Path) -> Iterator[tuple[int, str]]:
    """Yield the line (0: the file as such) and the name of everything in this file that must not be there."""
    if file.name in _FILES:
        yield 0, "a lock or set-up file that names hosts"
    if file.stat().st_size > _LARGEST:
        yield 0, "more than 1 MiB"
        return
    try:
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return
    for what, pattern in _FINDS.items():
        for match in pattern.finditer(text):
            yield text.count("\n", 0, match.start()) + 1, f"{what}: {match[0].strip()}"


def main() -> int:
    """Look through the whole checkout; print what must go; return the exit code."""
    found = 0
    for file in committed(_ROOT):
        for line, what in finds(file):
            print(f"{file.relative_to(_ROOT)}:{line}: {what}")
            found += 1
    print(f"hygiene: {found} must go" if found else "hygiene: clean")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
