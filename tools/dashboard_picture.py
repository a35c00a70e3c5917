"""Draws docs/images/dashboard.svg: the panels of dashboard.json, from what a real Prometheus recorded.

    python tools/dashboard_picture.py              records (eleven minutes, see tests/monitoring/recording.py) and draws
    python tools/dashboard_picture.py --from FILE  draws again from what --keep FILE kept

Grafana draws more beautifully. Titles, places, units, thresholds, legends, colours and queries are the dashboard's own.
"""

import argparse
import json
import math
import sys
import tempfile
import textwrap
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
# Run as a script: what it draws from lies beside tools/.
sys.path.insert(0, str(ROOT))
from tools import dashboard_units as units  # noqa: E402

DASHBOARD = ROOT / "helm" / "nats-k8s-oidc-callout" / "files" / "dashboard.json"
PICTURE = ROOT / "docs" / "images" / "dashboard.svg"

_CELL_WIDTH, _CELL_HEIGHT, _GAP, _TOP = 50, 30, 6, 44
_PALETTE = (
    "#3f8f4f",
    "#e0b400",
    "#5794f2",
    "#ff780a",
    "#e02f44",
    "#8f3bb8",
    "#37872d",
    "#b877d9",
    "#705da0",
    "#1f78c1",
)
_COLOURS = {
    "green": "#3f8f4f", "red": "#e02f44", "orange": "#f2790d", "blue": "#3274d9", "text": "#555a66",
}  # fmt: skip
_GREY, _LINE, _INK = "#6b7280", "#e4e7eb", "#24292f"

Series = tuple[str, list[tuple[float, float]]]


def text(x: float, y: float, words: object, anchor: str = "start", size: int = 12, more: str = "") -> str:
    where = f' text-anchor="{anchor}"' if anchor != "start" else ""
    return f'<text x="{x:.0f}" y="{y:.0f}"{where} font-size="{size}"{more}>{escape(str(words))}</text>'


def colour(threshold_steps: Sequence[dict[str, Any]], value: float) -> str:
    """Return the colour that a value has by the panel's thresholds."""
    reached = [step for step in threshold_steps if step["value"] is None or value >= step["value"]]
    return _COLOURS[reached[-1]["color"]]


class Panel:
    """One panel, its place in pixels, and the parts that it is drawn of."""

    def __init__(self, panel: dict[str, Any], found: list[list[dict[str, Any]]], start: float, end: float) -> None:
        box = panel["gridPos"]
        self.x: float = box["x"] * _CELL_WIDTH + _GAP / 2
        self.y: float = _TOP + box["y"] * _CELL_HEIGHT + _GAP / 2
        self.width: float = box["w"] * _CELL_WIDTH - _GAP
        self.height: float = box["h"] * _CELL_HEIGHT - _GAP
        self.panel, self.start, self.end = panel, start, end
        self.defaults = panel["fieldConfig"]["defaults"]
        self.unit = self.defaults["unit"]
        self.left: float = self.x + 68.0
        self.right: float = self.x + self.width - 12.0
        self.top: float = self.y + 32.0
        self.floor: float = self.top
        self.low, self.high = 0.0, 1.0
        self.series: list[Series] = []
        for target, answers in zip(panel["targets"], found, strict=True):
            for answer in answers:
                points = [(float(at), float(value)) for at, value in answer["points"]]
                self.series.append((units.legend(target["legendFormat"], answer["labels"]), points))

    def draw(self) -> Iterator[str]:
        if self.panel["type"] == "stat":
            yield from self._stat()
            return
        yield self._frame("#ffffff")
        yield self._title()
        yield from self._graph()

    def _title(self) -> str:
        """Return the title, on as many lines as the panel's width makes of it."""
        # Bold letters are some 0.62 of their size wide.
        title, room = self.panel["title"], self.width - 14
        size = 13 if len(title) * 8 < room else 12
        lines = textwrap.wrap(title, int(room / 0.62 / size))
        self.top += 14 * (len(lines) - 1)
        parts = (
            f'<tspan x="{self.x + 10:.0f}" y="{self.y + 19 + 14 * number:.0f}">{escape(line)}</tspan>'
            for number, line in enumerate(lines)
        )
        return f'<text font-size="{size}" font-weight="600">{" ".join(parts)}</text>'

    def _frame(self, fill: str) -> str:
        return (
            f'<rect x="{self.x:.0f}" y="{self.y:.0f}" width="{self.width:.0f}" height="{self.height:.0f}" rx="3" '
            f'fill="{fill}" stroke="{_LINE}"/>'
        )

    def _stat(self) -> Iterator[str]:
        value = self.series[0][1][-1][1] if self.series and self.series[0][1] else None
        mapped = {k: v for m in self.defaults["mappings"] for k, v in m["options"].items()}
        if value is None:
            shown, fill = self.defaults["noValue"], _GREY
        elif f"{value:g}" in mapped:
            shown, fill = mapped[f"{value:g}"]["text"], _COLOURS[mapped[f"{value:g}"]["color"]]
        else:
            shown = units.shown(value, self.unit, self.defaults.get("decimals"))
            fill = colour(self.defaults["thresholds"]["steps"], value)
        white = ' fill="#ffffff"'
        middle = self.x + self.width / 2
        yield self._frame(fill)
        # As large as fits: letters are some 0.6 of their size wide.
        title, room = self.panel["title"], self.width - 12
        yield text(middle, self.y + 22, title, "middle", min(12, int(room / 0.56 / len(title))), white)
        size = min(30, int(room / 0.66 / len(shown)))
        yield text(middle, self.y + 76, shown, "middle", size, f'{white} font-weight="600"')

    # A graph over time

    def _graph(self) -> Iterator[str]:
        names = list(dict.fromkeys(name for name, _ in self.series))
        rows = self._legend_rows(names)
        self.floor = self.y + self.height - 24 - 16 * len(rows)
        drawn = self._stacked()
        ticks = self._ticks([value for _, points in drawn for _, value in points if not math.isnan(value)])
        self.low, self.high = ticks[0], ticks[-1]
        for tick in ticks:
            y = self._at(tick)
            yield f'<path d="M{self.left:.0f} {y:.0f}H{self.right:.0f}" stroke="{_LINE}"/>'
            yield text(self.left - 6, y + 4, units.shown(tick, self.unit), "end", 11, f' fill="{_GREY}"')
        for minute in range(0, int((self.end - self.start) // 60) + 1, 2 if self.width > 400 else 5):
            x = self._across(self.start + 60 * minute)
            yield text(x, self.floor + 15, f"{minute} min" if minute else "0", "middle", 11, f' fill="{_GREY}"')
        if not self.series:
            yield text(
                (self.left + self.right) / 2, (self.top + self.floor) / 2, "nothing", "middle", 13, f' fill="{_GREY}"'
            )
        yield from self._lines(names, drawn)
        yield from self._thresholds()
        for number, row in enumerate(rows):
            x = self.left - 56
            for name in row:
                y = self.floor + 33 + 16 * number
                yield f'<rect x="{x:.0f}" y="{y - 7:.0f}" width="12" height="4" fill="{self._colour(name, names)}"/>'
                yield text(x + 17, y, name, size=11)
                x += 30 + 6.3 * len(name)

    def _legend_rows(self, names: Sequence[str]) -> list[list[str]]:
        rows: list[list[str]] = [[]]
        room = self.width - 24
        for name in names:
            need = 30 + 6.3 * len(name)
            if rows[-1] and need > room:
                rows.append([])
                room = self.width - 24
            rows[-1].append(name)
            room -= need
        return rows

    def _ticks(self, values: Sequence[float]) -> list[float]:
        highest = max(values, default=1.0)
        lowest = self.defaults.get("min", min(values, default=0.0))
        return units.ticks(lowest, max(highest, self.defaults.get("max", 0) if highest > 0.5 else 0), self.unit)

    def _overrides(self, name: str) -> dict[str, Any]:
        rules = self.panel["fieldConfig"]["overrides"]
        return {p["id"]: p["value"] for rule in rules if rule["matcher"]["options"] == name for p in rule["properties"]}

    def _colour(self, name: str, names: Sequence[str]) -> str:
        fixed = self._overrides(name).get("color")
        return _COLOURS[fixed["fixedColor"]] if fixed else _PALETTE[names.index(name) % len(_PALETTE)]

    def _stacked(self) -> list[Series]:
        """Return the series as they are drawn: on top of each other where the panel says so."""
        if self.defaults["custom"]["stacking"]["mode"] != "normal":
            return self.series
        below: dict[float, float] = {}
        drawn: list[Series] = []
        for name, points in self.series:
            if "custom.stacking" in self._overrides(name):
                drawn.append((name, points))
                continue
            raised = [(at, below.get(at, 0.0) + value) for at, value in points]
            below.update(raised)
            drawn.append((name, raised))
        return drawn

    def _lines(self, names: Sequence[str], drawn: Sequence[Series]) -> Iterator[str]:
        fill = self.defaults["custom"]["fillOpacity"]
        steps = self.defaults["custom"]["lineInterpolation"] == "stepAfter"
        # The highest of a stack first, so that each is seen above the one before.
        for name, points in reversed(drawn) if fill else drawn:
            shade = self._colour(name, names)
            dashed = ' stroke-dasharray="6 4"' if "custom.lineStyle" in self._overrides(name) else ""
            for part in self._unbroken(points):
                line = self._path(part, steps)
                if fill and not dashed:
                    base = f"V{self.floor:.0f}H{self._across(part[0][0]):.0f}Z"
                    yield f'<path d="{line}{base}" fill="{shade}" stroke="#ffffff" stroke-width=".5"/>'
                else:
                    yield f'<path d="{line}" fill="none" stroke="{shade}" stroke-width="1.6"{dashed}/>'

    def _unbroken(self, points: Sequence[tuple[float, float]]) -> Iterator[list[tuple[float, float]]]:
        part: list[tuple[float, float]] = []
        for at, value in points:
            if math.isnan(value) or (part and at - part[-1][0] > 9):
                if part:
                    yield part
                part = []
            if not math.isnan(value):
                part.append((at, value))
        if part:
            yield part

    def _path(self, points: Sequence[tuple[float, float]], steps: bool) -> str:
        """Return the line through these points, without those that it passes anyway."""
        kept: list[tuple[float, float]] = []
        for at, value in points:
            x, y = self._across(at), self._at(value)
            if steps and kept and kept[-1][1] != y:
                kept.append((x, kept[-1][1]))
            if len(kept) > 1 and kept[-1][1] == kept[-2][1] == y:
                kept[-1] = (x, y)
            else:
                kept.append((x, y))
        return "M" + "L".join(f"{x:.0f} {y:.1f}".removesuffix(".0") for x, y in kept)

    def _thresholds(self) -> Iterator[str]:
        if self.defaults["custom"]["thresholdsStyle"]["mode"] == "off":
            return
        for step in self.defaults["thresholds"]["steps"]:
            if step["value"] is not None and self.low <= step["value"] <= self.high:
                y, shade = self._at(step["value"]), _COLOURS[step["color"]]
                yield (
                    f'<path d="M{self.left:.0f} {y:.0f}H{self.right:.0f}" stroke="{shade}" stroke-dasharray="8 5" '
                    f'stroke-width="1.2"/>'
                )

    def _across(self, at: float) -> float:
        return self.left + (self.right - self.left) * (at - self.start) / (self.end - self.start)

    def _at(self, value: float) -> float:
        return self.floor - (self.floor - self.top) * (value - self.low) / (self.high - self.low)


def picture(dashboard: dict[str, Any], recorded: dict[str, Any]) -> str:
    """Return the dashboard as SVG."""
    parts = [text(12, 28, dashboard["title"], size=18, more=' font-weight="600"')]
    bottom = 0.0
    for panel in dashboard["panels"]:
        box = panel["gridPos"]
        bottom = max(bottom, _TOP + (box["y"] + box["h"]) * _CELL_HEIGHT)
        if panel["type"] == "row":
            y = _TOP + box["y"] * _CELL_HEIGHT + 21
            parts.append(text(12, y, f"▾ {panel['title']}", size=14, more=' font-weight="600"'))
        else:
            found = recorded["panels"][str(panel["id"])]
            parts.extend(Panel(panel, found, recorded["start"], recorded["end"]).draw())
    width = 24 * _CELL_WIDTH
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {bottom + 6:.0f}" fill="{_INK}" '
        f'font-family="Inter, Helvetica, Arial, DejaVu Sans, sans-serif">\n<rect width="100%" height="100%" '
        f'fill="#f4f5f7"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description="Draw docs/images/dashboard.svg.")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="keep what was recorded here")
    parser.add_argument("--from", dest="kept", type=Path, metavar="FILE", help="draw what was kept there")
    options = parser.parse_args()
    if options.kept:
        recorded = json.loads(options.kept.read_text())
    else:
        from tests.monitoring import recording  # noqa: PLC0415  # servers and clients, which drawing alone does without

        with tempfile.TemporaryDirectory(prefix="recording-") as folder:
            recorded = recording.record(Path(folder), print)
        if options.keep:
            options.keep.write_text(json.dumps(recorded))
    PICTURE.write_text(picture(json.loads(DASHBOARD.read_text()), recorded))
    print(f"{PICTURE.relative_to(ROOT)}: {PICTURE.stat().st_size // 1024} KiB")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
