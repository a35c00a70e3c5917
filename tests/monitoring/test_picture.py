"""The picture of the dashboard: it is of the dashboard that we ship, and numbers are shown as people say them."""

import math
import re
from html import unescape

import pytest

from tests.monitoring.shipped import ROOT, dashboard
from tools import dashboard_units as units
from tools.dashboard_picture import PICTURE, Panel, picture


def _texts(svg: str) -> list[str]:
    """Return what is written in a picture; a long title is on more than one line."""
    return re.findall(r">([^<>]+)</text>", re.sub(r"</?tspan[^>]*>", "", svg))


def test_picture_shows_the_dashboard() -> None:
    """docs/images has every panel and every row under its title, in their order, in less than 300 KB."""
    text = PICTURE.read_text(encoding="utf-8")
    words = [unescape(word).removeprefix("▾ ") for word in _texts(text)]
    titles = [panel["title"] for panel in dashboard()["panels"]]
    shown = iter(words)

    assert [] == [title for title in titles if title not in shown], "draw it again: tools/dashboard_picture.py"
    assert len(text.encode()) < 300_000
    assert str(ROOT) not in text


def test_a_panel_without_data_says_so() -> None:
    """What found nothing is drawn all the same: a number with its words for that, a graph with none."""
    panels = [panel for panel in dashboard()["panels"] if panel["type"] != "row"]
    nothing: dict[str, list[list[object]]] = {str(panel["id"]): [[] for _ in panel["targets"]] for panel in panels}
    drawn = picture(dashboard(), {"start": 0.0, "end": 60.0, "panels": nothing})

    assert "none ends" in drawn
    assert sum(panel["type"] == "timeseries" for panel in panels) == drawn.count(">nothing</text>")


def test_a_gap_is_drawn_as_one() -> None:
    """A share of nothing is no number, as before the first session ends: the line begins after it."""
    panel = next(panel for panel in dashboard()["panels"] if panel["title"] == "Time until a session is gone")
    points = [[0.0, math.nan], [4.0, math.nan], [8.0, 0.2], [12.0, 0.4]]
    found = {"labels": {}, "points": points}
    drawn = "".join(Panel(panel, [[found], []], 0.0, 60.0).draw())

    assert "nan" not in drawn
    assert ["50 %"] == [word for word in _texts(drawn) if word.endswith("%")]
    assert 1 == drawn.count('fill="none"')


@pytest.mark.parametrize(
    ("value", "unit", "decimals", "shown"),
    [
        (0, "s", None, "0 s"),
        (0.00725, "s", None, "7.25 ms"),
        (1.5, "s", None, "1.5 s"),
        (181, "s", 0, "3 min"),
        (75 * 86400, "s", 0, "75 d"),
        (78643200, "bytes", None, "75 MiB"),
        (0.036, "percentunit", 1, "3.6 %"),
        (5.52, "reqps", 1, "5.5 req/s"),
        (12345, "none", None, "12,345"),
        (-0.5, "none", None, "-0.5"),
    ],
)
def test_numbers_have_units(value: float, unit: str, decimals: int | None, shown: str) -> None:
    """A value stands in the unit in which it is easiest to read."""
    assert shown == units.shown(value, unit, decimals)


@pytest.mark.parametrize(
    ("lowest", "highest", "unit"),
    [
        (0, 0, "none"),
        (0, 1, "percentunit"),
        (0, 57, "reqps"),
        (0, 270, "s"),
        (0, 0.09, "s"),
        (0, 8e7, "bytes"),
        (0, 8e7, "s"),
    ],
)
def test_ticks_enclose_the_values(lowest: float, highest: float, unit: str) -> None:
    """
    Ticks are few and evenly apart, the first is no higher than the lowest value, and the last no lower than the highest.
    """
    ticks = units.ticks(lowest, highest, unit)

    assert 2 <= len(ticks) <= 7
    assert ticks[0] <= lowest
    assert ticks[-1] >= highest
    assert pytest.approx(ticks[1] - ticks[0]) == ticks[-1] - ticks[-2]
