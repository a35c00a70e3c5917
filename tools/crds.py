"""Fetches the CustomResourceDefinitions that the chart's objects are checked against, from the Go modules that hold them.

    python3 -m tools.crds   fetches what is not there yet, prints a line a file

tools/crds/ pins the modules and their checksums, which `go mod download` verifies; nothing of them is compiled or kept
in the checkout. The files go into the cache of tools/build.py, one folder for each set of pins. Only the standard library.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from tools import build

_HERE = Path(__file__).resolve().parent / "crds"
_MONITORING = "example/prometheus-operator-crd/monitoring.coreos.com_{}.yaml"
# What the chart makes, and where its definition is: apiVersion and kind, module, path in it.
_SOURCES = {
    ("monitoring.coreos.com/v1", kind): (
        "github.com/prometheus-operator/prometheus-operator",
        _MONITORING.format(plural),
    )
    for kind, plural in (
        ("PodMonitor", "podmonitors"),
        ("ServiceMonitor", "servicemonitors"),
        ("PrometheusRule", "prometheusrules"),
    )
} | {
    ("monitoring.grafana.com/v1alpha2", "PodLogs"): (
        "github.com/grafana/alloy",
        "operations/helm/charts/alloy/charts/crds/crds/monitoring.grafana.com_podlogs.yaml",
    ),
    ("monitoring.grafana.com/v1alpha1", "PodLogs"): (
        "github.com/grafana/agent",
        "operations/agent-static-operator/crds/monitoring.grafana.com_podlogs.yaml",
    ),
}


class FetchFailed(Exception):
    """A module could not be had, or is not the one that was pinned; the text has Go's own words."""


def folder() -> Path:
    """Return where the files go; it need not exist."""
    pins = hashlib.sha256()
    for part in (_HERE / "go.mod", _HERE / "go.sum"):
        pins.update(part.read_bytes())
    pins.update(repr(sorted(_SOURCES.items())).encode())
    return build.cache() / f"crds-{pins.hexdigest()[:12]}"


def path(api_version: str, kind: str) -> Path | None:
    """Return the file that defines this kind, if it is there; never fetches. Raise KeyError for a kind not listed."""
    file = _file(_SOURCES[api_version, kind])
    return file if file.is_file() else None


def files() -> list[Path]:
    """Return where all files are, or would be; never fetches."""
    return [_file(source) for source in _SOURCES.values()]


def fetch() -> list[Path]:
    """Return all files, after fetching those that are not there; raise FetchFailed."""
    missing = {source for source in _SOURCES.values() if not _file(source).is_file()}
    folders = _modules({module for module, _ in missing}) if missing else {}
    for module, inside in sorted(missing):
        target = _file((module, inside))
        target.parent.mkdir(parents=True, exist_ok=True)
        # Renamed into place: two runs beside each other never see half a file.
        aside = target.with_suffix(f".{os.getpid()}")
        shutil.copyfile(folders[module] / inside, aside)
        aside.chmod(0o644)
        aside.replace(target)
    return files()


def _file(source: tuple[str, str]) -> Path:
    module, inside = source
    return folder() / module.rpartition("/")[2] / Path(inside).name


def _modules(wanted: set[str]) -> dict[str, Path]:
    """Return where Go has unpacked these modules."""
    go = shutil.which("go")
    if go is None:
        raise FetchFailed("there is no `go` on PATH, which fetches the CRD files and verifies them")
    pins = dict(re.findall(r"^\t(\S+) (v\S+)$", (_HERE / "go.mod").read_text(encoding="utf-8"), re.MULTILINE))
    done = subprocess.run(
        [go, "mod", "download", "-json", *(f"{module}@{pins[module]}" for module in sorted(wanted))],
        check=False,
        cwd=_HERE,
        env={**os.environ, "GOWORK": "off", "GOFLAGS": "-mod=readonly"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        raise FetchFailed(f"go mod download failed:\n{done.stderr.strip() or done.stdout.strip()}")
    answers, decoder, rest = {}, json.JSONDecoder(), done.stdout.strip()
    while rest:
        answer, end = decoder.raw_decode(rest)
        answers[answer["Path"]] = Path(answer["Dir"])
        rest = rest[end:].lstrip()
    return answers


def main() -> int:
    try:
        for file in fetch():
            print(file)
    except FetchFailed as failure:
        print(failure, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
