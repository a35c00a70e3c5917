"""The table of docs/PERFORMANCE.md, written from what is kept in bench/results.

`python -m bench --write-docs` brings the document up to date; tests/tools/test_performance_page.py compares them.
"""

from pathlib import Path

from bench._rows import markdown, read
from tools.marked import with_part

ROOT = Path(__file__).resolve().parent.parent
DOCUMENT, RESULTS = ROOT / "docs" / "PERFORMANCE.md", ROOT / "bench" / "results"
ORDER = ("storm", "decide", "memory", "scale", "policy", "sessions", "sessions-mass", "flood", "reconnect")
MARK = "<!-- begin: made by `python -m bench --write-docs` from bench/results -->"


def updated(document: str) -> str:
    """Return the document with the rows that have an aim."""
    kept = (RESULTS / f"{name}.json" for name in ORDER)
    rows = [row for file in kept if file.exists() for row in read(file)]
    # How well the simulation tells what was measured is docs/SCALING.md's.
    lines = [row.cells() for row in rows if row.aim is not None and row.against != "simulated"]
    return with_part(document, MARK, markdown([*line[:-1], line[-1].replace("missed", "**missed**")] for line in lines))


def write() -> None:
    """Bring the document up to date."""
    DOCUMENT.write_text(updated(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")
