"""Draws performance-*.svg from what benchmarks found. Nothing is measured here.

python bench/_plots.py   draws docs/images anew from the numbers kept in bench/results
"""

import json
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULTS, IMAGES = ROOT / "bench" / "results", ROOT / "docs" / "images"
_COLOURS = ("#1f6feb", "#7aa7e8", "#b35900", "#e0a458", "#6e7781", "#2da44e")
_WIDTH = 760


def text(x: float, y: float, words: object, anchor: str = "start", size: int = 12, weight: str = "normal") -> str:
    return (
        f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}" font-size="{size}" font-weight="{weight}">'
        f"{escape(str(words))}</text>"
    )


def box(x: float, y: float, width: float, height: float, colour: str) -> str:
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{colour}"/>'


def page(title: str, height: float, parts: Sequence[str]) -> str:
    body = "\n".join([text(16, 24, title, size=15, weight="bold"), *parts])
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height:.0f}" font-family="sans-serif" '
        f'fill="#24292f">\n<rect width="100%" height="100%" fill="#ffffff"/>\n{body}\n</svg>\n'
    )


def bars(title: str, rows: Sequence[tuple[str, float, str, str]]) -> str:
    """Return one horizontal bar a row: label, value, what stands behind the bar, colour."""
    left, longest = 290, max(value for _, value, _, _ in rows)
    parts = []
    for number, (label, value, shown, colour) in enumerate(rows):
        y = 44 + 24 * number
        parts.append(text(left - 8, y + 13, label, "end"))
        parts.append(box(left, y, (_WIDTH - left - 90) * value / longest, 17, colour))
        parts.append(text(left + (_WIDTH - left - 90) * value / longest + 6, y + 13, shown))
    return page(title, 60 + 24 * len(rows), parts)


def storm(found: dict[str, Any]) -> str:
    """CPU of the responder for each login, by how many clients come at a time."""
    kept = found["medians"]
    names = list(dict.fromkeys(row["responder"] for row in kept))
    levels = list(dict.fromkeys(row["parallel"] for row in kept))
    highest = max(row["responder_us"] for row in kept)
    parts = [
        part
        for number, name in enumerate(names)
        for part in (box(16 + 180 * number, 38, 12, 12, _COLOURS[number]), text(34 + 180 * number, 48, name))
    ]
    for panel, tokens in enumerate(dict.fromkeys(row["tokens"] for row in kept)):
        top, floor = 70 + 210 * panel, 240 + 210 * panel
        parts.append(text(16, top + 10, f"tokens {'never seen' if tokens == 'new' else 'seen'} before", weight="bold"))
        for place, level in enumerate(levels):
            x = 30 + 182 * place
            parts.append(text(x + 80, floor + 16, f"{level} at a time", "middle"))
            for number, name in enumerate(names):
                row: dict[str, Any] = next(
                    r for r in kept if (r["tokens"], r["parallel"], r["responder"]) == (tokens, level, name)
                )
                height = (floor - top - 34) * row["responder_us"] / highest
                width = 160 / len(names)
                parts.append(box(x + width * number, floor - height, width - 4, height, _COLOURS[number]))
                parts.append(
                    text(x + width * (number + 0.5) - 2, floor - height - 4, f"{row['responder_us']:.0f}", "middle", 10)
                )
    return page("Responder CPU for each login, µs (median of the rounds)", 470, parts)


def decide(found: dict[str, Any]) -> str:
    """One decision in process as a multiple of its bare cryptography."""
    rows = [
        (
            row["kind"],
            row["multiple"],
            f"{row['multiple']:.2f} × {row['bare_us']:.0f} µs",
            _COLOURS[2 if row["denied"] else 0],
        )
        for row in found["kinds"]
    ]
    return bars("One decision, as a multiple of the cryptography in it", rows)


def profile(found: dict[str, Any]) -> str:
    """Where the microseconds of one login go."""
    rows = [
        (
            row["piece"],
            row["us"],
            f"{row['us']:.0f} µs, {100 * row['share']:.0f} %",
            _COLOURS[4 if ":" in row["piece"][:9] else 0],
        )
        for row in found["pieces"]
    ]
    return bars(f"Where the {found['us']:.0f} µs of a login go (grey: bare cryptography)", rows)


def reconnect(found: dict[str, Any]) -> str:
    """Logins that are refused when so many come at once, by the whole cores that the replicas have (simulated)."""
    left, right, top, floor = 70, _WIDTH - 110, 60, 300
    sweep = found["sweep"]
    most = max(row["clients"] for row in sweep)
    parts = [text(left, 46, "logins that are refused, as a share of the clients", size=12)]
    for percent in (0, 25, 50, 75, 100):
        y = floor - (floor - top) * percent / 100
        parts += [box(left, y, right - left, 1, "#d0d7de"), text(left - 8, y + 4, f"{percent} %", "end")]
    for clients in range(0, most + 1, 5000):
        parts.append(text(left + (right - left) * clients / most, floor + 18, f"{clients:,}", "middle"))
    parts.append(text((left + right) / 2, floor + 38, "clients that come at once", "middle"))
    for number, cores in enumerate(dict.fromkeys(row["replicas"] for row in sweep)):
        line = [
            (left + (right - left) * row["clients"] / most, floor - (floor - top) * row["late"])
            for row in sweep
            if row["replicas"] == cores
        ]
        points = " ".join(f"{x:.0f},{y:.0f}" for x, y in line)
        colour = _COLOURS[number % len(_COLOURS)]
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2.5"/>')
        y = 70 + 20 * number
        parts += [box(right + 12, y, 12, 12, colour), text(right + 30, y + 10, f"{cores} core{'s' * (cores > 1)}")]
    return page("Replicas of one core each, five nodes of eight cores (simulated)", 350, parts)


def draw(results: Path, images: Path) -> list[Path]:
    """Draw a plot into `images` for each of the results that are there; return the files."""
    drawn = []
    for kind in (storm, decide, profile, reconnect):
        found = results / f"{kind.__name__}.json"
        if found.exists():
            drawn.append(images / f"performance-{kind.__name__}.svg")
            drawn[-1].write_text(kind(json.loads(found.read_text(encoding="utf-8"))), encoding="utf-8")
    return drawn


if __name__ == "__main__":
    draw(RESULTS, IMAGES)
