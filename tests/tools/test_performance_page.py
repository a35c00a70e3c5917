"""docs/PERFORMANCE.md and its plots show what bench/results keeps; `make bench` keeps to its time."""

import json
from pathlib import Path

import pytest

from bench import _page, _plots, _rows
from bench.__main__ import BENCHMARKS


def test_the_table_shows_what_is_kept() -> None:
    """
    `make docs` writes it anew.
    """
    document = _page.DOCUMENT.read_text(encoding="utf-8")

    assert _page.updated(document) == document


def test_the_plots_show_what_is_kept(tmp_path: Path) -> None:
    """
    `python bench/_plots.py` draws them anew.
    """
    drawn = {image.name: image.read_text(encoding="utf-8") for image in _plots.draw(_plots.RESULTS, tmp_path)}

    assert drawn == {name: (_plots.IMAGES / name).read_text(encoding="utf-8") for name in drawn}
    assert len(drawn) >= 3


def test_all_benchmarks_together_may_take_ten_minutes() -> None:
    assert sum(benchmark.seconds for benchmark in BENCHMARKS) <= 600


@pytest.mark.parametrize(
    ("row", "shown"),
    [
        (_rows.Row("a", 3.0, "ms", 1.5, "quiet", aim=2), ("a", "3.0 ms", "quiet, 1.50 ms", "2.00 ×", "≤ 2.00 ×", "ok")),
        (_rows.Row("a", 3.0, "ms", 1.5, ratio=2.1, aim=2), ("a", "3.0 ms", "1.50 ms", "2.10 ×", "≤ 2.00 ×", "missed")),
        (_rows.Row("a", 62.4, "MiB", aim=62), ("a", "62.4 MiB", "", "", "≤ 62 MiB", "missed")),
        (_rows.Row("a", 1.0, "ms", 1.0, aim=3, lost=0), ("a", "1.00 ms", "1.00 ms", "1.00 ×", "≤ 3.00 ×, none lost", "ok")),
        (_rows.Row("a", 1.0, "ms", aim=3, lost=2), ("a", "1.00 ms, 2 lost", "", "", "≤ 3 ms, none lost", "missed")),
        (_rows.Row("a", 1234.5, "µs", against="b"), ("a", "1,234 µs", "", "", "", "")),
    ],
)  # fmt: skip
def test_a_row_is_judged_by_its_aim(row: _rows.Row, shown: tuple[str, ...], tmp_path: Path) -> None:
    """
    It is the same after it was kept.
    """
    file = tmp_path / "x.json"
    _rows.keep(file, [row], {"rounds": 5})

    assert [row] == _rows.read(file)
    assert shown == row.cells()
    assert 5 == json.loads(file.read_text())["about"]["rounds"]
