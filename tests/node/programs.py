"""The programs of this machine that the cluster's shell and its images are made of."""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import nats_k8s_oidc_callout
from tests.e2e.apiserver import program
from tests.node.control_plane import ControlPlane
from tests.node.network import NODES
from tools import build

OWN_IMAGE = "nats-k8s-oidc-callout"
_SOURCES = Path(nats_k8s_oidc_callout.__file__).resolve().parent.parent
_HERE = Path(__file__).resolve().parent
_OWN_PROGRAM = """\
#!{python} -P
import sys
sys.path.insert(0, "{sources}")
from nats_k8s_oidc_callout.__main__ import run
run()
"""


def unbuilt(names: Sequence[str]) -> list[str]:
    """Return those of these programs that `make tools` has not built."""
    return [name for name in names if build.path(name) is None]


def install(folder: Path) -> None:
    """Fill `bin`, which is first on the shell's PATH, and `image-bin`, whose files images get into /opt/bin."""
    for place in ("bin", "image-bin"):
        (folder / place).mkdir(exist_ok=True)
    for name in ("helm", "nats"):
        (folder / "bin" / name).symlink_to(program(name))
    _script(folder / "bin" / OWN_IMAGE, _OWN_PROGRAM.format(python=sys.executable, sources=_SOURCES))
    kubectl = (_HERE / "kubectl.sh").read_text()
    places = {"KUBECTL": program("kubectl"), "PYTHON": sys.executable, "CHECKOUT": _HERE.parents[1], "NODE": folder}
    for word, path in places.items():
        kubectl = kubectl.replace(f"@{word}@", str(path))
    _script(folder / "bin" / "kubectl", kubectl)
    # Where root.py lays the venv and the sources in such an image.
    _script(folder / "image-bin" / OWN_IMAGE, _OWN_PROGRAM.format(python="/opt/venv/bin/python", sources="/opt/src"))


def kubelet_settings(
    folder: Path, api: ControlPlane, image_root: Path | None, image_config: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Return what the kubelet must know of the machine and the images, as JSON has it."""
    host: dict[str, Any] = {"root": None, "entrypoint": [], "command": ["sh"], "env": {}, "user": ""}
    own = {**host, "entrypoint": [OWN_IMAGE], "command": [], "user": "65532:65532"}
    if image_root is not None:
        config = image_config if image_config is not None else json.loads(Path(f"{image_root}.json").read_text())
        own = {
            "root": str(image_root),
            "entrypoint": list(config.get("Entrypoint") or []),
            "command": list(config.get("Cmd") or []),
            "env": dict(entry.split("=", 1) for entry in config.get("Env") or []),
            "user": str(config.get("User") or ""),
            "workdir": config.get("WorkingDir") or "/",
        }
    return {
        "folder": str(folder),
        "url": api.url,
        "ca": str(api.ca_file),
        "kubeconfig": str(api.kubeconfig),
        "nodes": NODES,
        "images": {
            OWN_IMAGE: own,
            "nats": {**host, "entrypoint": ["nats-server"], "command": ["--config", "/etc/nats/nats-server.conf"]},
            "nats-box": host,
            "busybox": host,
            "alpine": host,
            "curl": {**host, "entrypoint": ["curl"], "command": []},
        },
        "machine": {
            "python": sys.base_prefix,
            "venv": sys.prefix,
            "sources": str(_SOURCES),
            "bin": {
                OWN_IMAGE: str(folder / "image-bin" / OWN_IMAGE),
                "nats": str(program("nats")),
                "nats-server": str(program("nats-server-2.15")),
            },
        },
    }


def _script(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)
