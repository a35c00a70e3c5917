"""Numbers as a dashboard shows them, by Grafana's names of units: `1.5 s`, `12 ms`, `75 MiB`, `4 %`, `3.2 req/s`."""

import math
from collections.abc import Sequence

_TIMES: Sequence[tuple[float, str]] = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"), (1e-3, "ms"), (1e-6, "µs"))
_SIZES: Sequence[tuple[float, str]] = ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"), (1, "B"))
# Steps between ticks that people count in.
_TIME_STEPS = (
    1,
    2,
    5,
    10,
    15,
    30,
    60,
    120,
    300,
    600,
    1800,
    3600,
    7200,
    21600,
    86400,
    10 * 86400,
    30 * 86400,
    300 * 86400,
)


def shown(value: float, unit: str, decimals: int | None = None) -> str:
    """Return a value with its unit; `decimals` None takes as many as it needs."""
    if unit == "s":
        return _scaled(value, _TIMES, decimals)
    if unit == "bytes":
        return _scaled(value, _SIZES, decimals)
    if unit == "percentunit":
        return f"{_number(100 * value, decimals)} %"
    behind = {"reqps": " req/s", "cps": " /s"}.get(unit, "")
    return f"{_number(value, decimals)}{behind}"


def _scaled(value: float, scales: Sequence[tuple[float, str]], decimals: int | None) -> str:
    if value == 0:
        return f"0 {next(name for size, name in scales if size == 1)}"
    size, name = next((scale for scale in scales if abs(value) >= scale[0]), scales[-1])
    return f"{_number(value / size, decimals)} {name}"


def _number(value: float, decimals: int | None) -> str:
    if decimals is not None:
        return f"{value:.{decimals}f}"
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"


def legend(pattern: str, labels: dict[str, str]) -> str:
    """Return the legend of a series, as Grafana fills it in; of a pod and a digest only so much as tells it apart."""
    short = {"pod": labels.get("pod", "").rpartition("-")[2], "sha256": labels.get("sha256", "")[:8]}
    for name, value in labels.items():
        pattern = pattern.replace(f"{{{{{name}}}}}", short.get(name, value))
    return pattern


def ticks(lowest: float, highest: float, unit: str) -> list[float]:
    """Return three to six round values that enclose lowest and highest."""
    if highest <= lowest:
        highest = lowest + 1
    rough = (highest - lowest) / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * part for part in (1, 2, 2.5, 5, 10) if power * part >= rough * 0.999)
    if unit == "bytes":
        step = 2.0 ** math.ceil(math.log2(rough))
    elif unit == "s" and rough >= 1:
        step = next((each for each in _TIME_STEPS if each >= rough * 0.999), step)
    first = math.floor(lowest / step + 1e-9)
    last = math.ceil(highest / step - 1e-9)
    return [number * step for number in range(first, last + 1)]
