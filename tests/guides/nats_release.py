"""`helm … nats/nats` of a document: the same command with a small chart of ours, around the configuration of theirs.

Run by programs/helm, with the real helm in $REAL_HELM. Releases, revisions, upgrades and roll-backs are helm's own.
"""

import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from tests.guides import nats_chart

CHART = Path(__file__).with_name("nats_release_chart")
_TAKEN = {"--values": True, "-f": True, "--set": True, "--reuse-values": False, "--reset-values": False}


def split(arguments: Sequence[str]) -> tuple[list[str], list[tuple[str, str]]]:
    """Return what stays of a helm command, and its options about values, as (option, value)."""
    rest: list[str] = []
    about: list[tuple[str, str]] = []
    todo = list(arguments)
    while todo:
        word = todo.pop(0)
        name, equals, value = word.partition("=")
        if name not in _TAKEN:
            rest.append(str(CHART) if word == "nats/nats" else word)
        elif _TAKEN[name]:
            about.append((name, value if equals else todo.pop(0)))
        else:
            raise SystemExit(f"{name}: say all values in the command, with --values and --set")
    return rest, about


def values_of(about: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """Return the values that `--values` and `--set` make."""
    values: dict[str, Any] = {}
    for option, given in about:
        if option == "--set":
            for pair in given.split(","):
                path, _, text = pair.partition("=")
                _put(values, path.split("."), yaml.safe_load(text))
        else:
            _merge(values, yaml.safe_load(Path(given).read_text(encoding="utf-8")) or {})
    return values


def _put(values: dict[str, Any], path: list[str], value: object) -> None:
    for name in path[:-1]:
        values = values.setdefault(name, {})
    values[path[-1]] = value


def _merge(under: dict[str, Any], over: dict[str, Any]) -> None:
    for name, value in over.items():
        if isinstance(value, dict) and isinstance(under.get(name), dict):
            _merge(under[name], value)
        else:
            under[name] = value


def release_values(values: dict[str, Any]) -> dict[str, Any]:
    """Return the values of our chart: the configuration that theirs makes of its own, and what the pods depend on."""
    rendered = nats_chart.render(values)
    if rendered.dropped:
        raise SystemExit(f"the NATS chart has no value {', '.join(rendered.dropped)}, and would say nothing")
    return {
        "configuration": rendered.config,
        "replicas": rendered.replicas,
        "checksum": rendered.restarts,
        "natsBox": values.get("natsBox", {}).get("enabled", True),
    }


def main(arguments: Sequence[str]) -> int:
    rest, about = split(arguments)
    with tempfile.TemporaryDirectory(prefix="nats-release-") as scratch:
        file = Path(scratch) / "values.yaml"
        file.write_text(yaml.safe_dump(release_values(values_of(about))), encoding="utf-8")
        return os.spawnv(os.P_WAIT, os.environ["REAL_HELM"], ["helm", *rest, "--values", str(file)])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
