"""Builds the servers and clients that tests run against, from the Go modules pinned beside this file.

    python3 tools/build.py [NAME …]      builds what is not there yet; without names, all that most tests need
    python3 tools/build.py --path NAME   prints where it is

The programs go into a cache outside the checkout, one folder for each set of pins, so that a changed pin is a new
program and an old one is never served for it: $NATS_CALLOUT_TOOLS, else ~/.cache/nats-k8s-oidc-callout/tools.
Where $KUBEBUILDER_ASSETS names a folder with kube-apiserver, etcd or kubectl, those are taken as they are.
Only the standard library: this runs before anything is installed.
"""

import argparse
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_HERE = Path(__file__).resolve().parent
_GO = "Go 1.26 or later"
_VERSION_OF_KUBERNETES = "-X k8s.io/component-base/version.git"


@dataclass(frozen=True, slots=True)
class Tool:
    """A program, the folder here whose go.mod pins it, and its main package."""

    name: str
    module: str
    package: str
    link: str = ""
    """What the linker writes into it, `{version}` being the pin: some programs know their own version only so."""
    on_demand: bool = False
    """Built only when it is named: `make tools` does without."""

    @property
    def version(self) -> str:
        """The version that go.mod pins, as `v1.2.3`."""
        pins = re.finditer(r"^(?:require )?\s*(\S+) (v\S+)", (_HERE / self.module / "go.mod").read_text(), re.MULTILINE)
        return max((pin[1], pin[2]) for pin in pins if f"{self.package}/".startswith(f"{pin[1]}/"))[1]

    @property
    def folder(self) -> Path:
        """Where this program goes: one folder for each set of pins, build options and kind of machine."""
        pins = hashlib.sha256()
        for part in ("go.mod", "go.sum"):
            pins.update((_HERE / self.module / part).read_bytes())
        pins.update(f"{self.link} {platform.system()} {platform.machine()}".encode())
        return cache() / f"{self.module}-{pins.hexdigest()[:12]}"


_KUBERNETES_LINK = (
    f"{_VERSION_OF_KUBERNETES}Version={{version}} {_VERSION_OF_KUBERNETES}Major=1 {_VERSION_OF_KUBERNETES}Minor=37"
)
# The Kubernetes that it takes for given where it does not ask one; without this it says 1.20.
_HELM_3_LINK = " ".join(f"-X helm.sh/helm/v3/pkg/chartutil.k8sVersion{part}" for part in ("Major=1", "Minor=37"))

# The quick ones first, so that a broken set-up shows in seconds.
TOOLS = {
    tool.name: tool
    for tool in (
        Tool("nats-server-2.15", "nats-server-2.15", "github.com/nats-io/nats-server/v2"),
        Tool("nats-server-2.11", "nats-server-2.11", "github.com/nats-io/nats-server/v2"),
        Tool("nats", "nats-cli", "github.com/nats-io/natscli/nats", "-X main.version={version}"),
        Tool("actionlint", "actionlint", "github.com/rhysd/actionlint/cmd/actionlint"),
        Tool("etcd", "etcd", "go.etcd.io/etcd/server/v3"),
        Tool("kube-apiserver", "kubernetes", "k8s.io/kubernetes/cmd/kube-apiserver", _KUBERNETES_LINK),
        Tool("kubectl", "kubernetes", "k8s.io/kubernetes/cmd/kubectl", _KUBERNETES_LINK),
        Tool(
            "kube-controller-manager",
            "kube-controller-manager",
            "k8s.io/kubernetes/cmd/kube-controller-manager",
            _KUBERNETES_LINK,
        ),
        Tool("helm", "helm", "helm.sh/helm/v4/cmd/helm"),
        Tool("helm-3", "helm-3", "helm.sh/helm/v3/cmd/helm", _HELM_3_LINK, on_demand=True),
        Tool("promtool", "prometheus", "github.com/prometheus/prometheus/cmd/promtool"),
        Tool("prometheus", "prometheus", "github.com/prometheus/prometheus/cmd/prometheus", on_demand=True),
    )
}


class BuildFailed(Exception):
    """A tool could not be built; the text says which and what Go said."""


def cache() -> Path:
    """Return the folder that holds all built tools; it need not exist."""
    chosen = os.environ.get("NATS_CALLOUT_TOOLS")
    if chosen:
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "nats-k8s-oidc-callout" / "tools"


def path(name: str) -> Path | None:
    """Return the program called `name` if it is there, built or in $KUBEBUILDER_ASSETS; never builds."""
    tool = TOOLS[name]
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    if assets and (Path(assets) / name).is_file():
        return Path(assets) / name
    built = tool.folder / name
    return built if built.is_file() else None


def build(name: str) -> Path:
    """Return the program called `name`, after building it if it is not there; raise BuildFailed."""
    there = path(name)
    if there is not None:
        return there
    tool = TOOLS[name]
    go = shutil.which("go")
    if go is None:
        raise BuildFailed(f"{name} {tool.version}: {_GO} is needed to build it, and there is no `go` on PATH")
    tool.folder.mkdir(parents=True, exist_ok=True)
    # Built aside and renamed: a build that was cut short, or a second one beside it, never leaves half a program.
    with tempfile.TemporaryDirectory(dir=tool.folder, prefix=".building-") as aside:
        made = Path(aside) / name
        command = [go, "build", "-trimpath", "-buildvcs=false", "-mod=readonly"]
        command += [
            "-ldflags",
            f"-s -w {tool.link.format(version=tool.version)}".strip(),
            "-o",
            str(made),
            tool.package,
        ]
        # Without cgo the program is the same on every Linux, and no C compiler is needed.
        environment = {**os.environ, "CGO_ENABLED": "0", "GOWORK": "off"}
        done = subprocess.run(
            command,
            check=False,
            cwd=_HERE / tool.module,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if done.returncode != 0:
            last_lines = "\n".join(done.stdout.splitlines()[-20:])
            raise BuildFailed(f"{name} {tool.version}: `go build` failed ({_GO} is needed):\n{last_lines}")
        made.replace(tool.folder / name)
    return tool.folder / name


def main(arguments: Sequence[str]) -> int:
    """Build what the command line names; print a line a tool; return the exit code."""
    wanted = [tool.name for tool in TOOLS.values() if not tool.on_demand]
    parser = argparse.ArgumentParser(description="Build the pinned test tools into a cache outside the checkout.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"any of: {', '.join(TOOLS)}")
    parser.add_argument("--path", metavar="NAME", choices=list(TOOLS), help="print where a tool is; 1 if it is not")
    options = parser.parse_args(arguments)
    if options.path:
        there = path(options.path)
        print(there or f"{options.path} is not built", file=sys.stdout if there else sys.stderr)
        return 0 if there else 1
    unknown = [name for name in options.names if name not in TOOLS]
    if unknown:
        parser.error(f"no such tool: {', '.join(unknown)} (there are: {', '.join(TOOLS)})")
    for name in options.names or wanted:
        version, there, started = TOOLS[name].version, path(name), time.monotonic()
        if there is not None:
            where = "in the cache" if there.is_relative_to(cache()) else f"from {there.parent}"
            print(f"{name} {version}: {where}" if where == "in the cache" else f"{name}: {where}", flush=True)
            continue
        print(f"{name} {version}: building …", flush=True)
        try:
            build(name)
        except BuildFailed as failure:
            print(failure, file=sys.stderr, flush=True)
            return 1
        print(f"{name} {version}: built in {time.monotonic() - started:.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
