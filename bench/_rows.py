"""What a benchmark found, as rows: the one form in which all of them keep it, so that nobody reads printed text.

A benchmark with `--json FILE` writes `{"about": {…}, "rows": […], …}`; behind these two it may keep what it likes.
"""

import json
import os
import platform
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

HEADINGS = ("what", "measured", "compared with", "ratio", "aim", "")


@dataclass(frozen=True)
class Row:
    """One number, and the one of the same run that it is compared with, if there is one."""

    what: str
    measured: float
    unit: str
    other: float | None = None
    """What it is compared with, in the same unit, and the words for that."""
    against: str = ""
    ratio: float | None = None
    """Where it is another than of the two numbers: the median over the rounds."""
    aim: float | None = None
    """The most that the ratio may be; where nothing is compared, the most that may be measured."""
    lost: int | None = None
    """Logins that failed, or were answered too late, and should not have: with an aim, 0 is the aim."""

    @property
    def times(self) -> float | None:
        """How many times the other number it is."""
        return self.ratio if self.ratio is not None else self.measured / self.other if self.other else None

    @property
    def judged(self) -> float:
        """What the aim is for."""
        return self.measured if self.times is None else self.times

    @property
    def reached(self) -> bool | None:
        """Whether the aim is; None without one. Judged as it is shown, with two decimals."""
        return None if self.aim is None else round(self.judged, 2) <= self.aim and not self.lost

    def cells(self) -> tuple[str, ...]:
        """Return the row as HEADINGS has it."""
        other = "" if self.other is None else f"{number(self.other)} {self.unit}"
        measured = f"{number(self.measured)} {self.unit}" + (f", {self.lost} lost" if self.lost else "")
        most = (
            "" if self.aim is None else f"≤ {self.aim:g} {self.unit}" if self.times is None else f"≤ {self.aim:.2f} ×"
        )
        aim = most + (", none lost" if most and self.lost is not None else "")
        verdict = {None: "", True: "ok", False: "missed"}[self.reached]
        against = ", ".join(filter(None, (self.against, other))) if other else ""
        return self.what, measured, against, "" if self.times is None else f"{self.times:.2f} ×", aim, verdict


def number(value: float) -> str:
    """Return a number with as many digits as mean something."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 3 else f"{value:.2f}"


def markdown(lines: Iterable[Sequence[str]], headings: Sequence[str] = HEADINGS) -> str:
    """Return a table in Markdown."""
    return "\n".join(f"| {' | '.join(line)} |" for line in (headings, ["---"] * len(headings), *lines))


def aligned(lines: Sequence[Sequence[str]], headings: Sequence[str] = HEADINGS) -> str:
    """Return a table for a terminal."""
    every = [headings, *lines]
    widths = [max(len(line[column]) for line in every) for column in range(len(headings))]
    texts = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in every]
    return "\n".join([texts[0], "─" * sum(widths, 2 * len(widths) - 2), *texts[1:]])


def keep(file: Path | None, rows: Sequence[Row], about: Mapping[str, object] | None = None, **more: object) -> None:
    """Write what was found to this file, if there is one, with the day and the machine; lists get a line an entry."""
    if file is None:
        return
    told: dict[str, object] = {"when": time.strftime("%Y-%m-%d", time.gmtime()), "cpus": os.cpu_count()}
    told |= {"python": platform.python_version(), **(about or {})}
    plain = [{name: value for name, value in asdict(row).items() if value not in (None, "")} for row in rows]
    parts = [f'"about": {json.dumps(told)}']
    for name, found in {"rows": plain, **more}.items():
        entries = (
            "[\n" + ",\n".join(json.dumps(one, ensure_ascii=False) for one in found) + "\n]"
            if isinstance(found, list)
            else json.dumps(found, ensure_ascii=False)
        )
        parts.append(f'"{name}": {entries}')
    file.write_text("{\n" + ",\n".join(parts) + "\n}\n", encoding="utf-8")


def read(file: Path) -> list[Row]:
    """Return the rows that were kept. Raises KeyError where there are none."""
    known = {field.name for field in fields(Row)}
    found: list[dict[str, Any]] = json.loads(file.read_text(encoding="utf-8"))["rows"]
    return [Row(**{name: value for name, value in row.items() if name in known}) for row in found]
