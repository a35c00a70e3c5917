"""The world of a guide's part that wants no cluster: this machine, with our programs and the examples at hand."""

import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

from nats_k8s_oidc_callout.core.nats import natsjwt
from tests.guides.blocks import ROOT
from tests.guides.substitutions import variables
from tests.guides.walk import Machine
from tools import build


def machine(folder: Path, programs: Mapping[str, Path | None] | None = None, **env: str) -> Machine:
    """Return this machine, where a reader stands in a checkout: `folder`, which gets what guides use of it.

    On PATH are our command, the nats CLI, and `programs` (name to path).
    """
    shutil.copytree(ROOT / "examples" / "nats", folder / "examples" / "nats")
    bin_folder = folder / ".bin"
    bin_folder.mkdir()
    wanted = {"nats": build.path("nats"), **(programs or {})}
    for name, path in wanted.items():
        if path is None:
            pytest.skip(f"{name} is not built (make tools)")
        (bin_folder / name).symlink_to(path)
    ours = bin_folder / "nats-k8s-oidc-callout"
    python = variables()["GUIDES_PYTHON"]
    ours.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT}/src exec {python} -m nats_k8s_oidc_callout "$@"\n')
    ours.chmod(0o755)
    # First on PATH through the walk's own line; the nats CLI keeps contexts in $HOME.
    return Machine({**variables(), "PATH": f"{bin_folder}:/usr/local/bin:/usr/bin:/bin", "HOME": str(folder), **env})


def account_of(creds: Path) -> str:
    """Return the account that a creds file logs in to."""
    return natsjwt.parse_creds(creds.read_text()).account
