"""docs/IMAGE.md is walked with the image that was built. Slow: it is built first."""

import sys
from pathlib import Path

import pytest

from tests.guides.blocks import ROOT
from tests.guides.walk import Machine, Walk
from tests.image.built import Image

pytestmark = pytest.mark.slow

WALKED = ("docs/IMAGE.md",)

# There is no engine with a daemon, and no registry: `docker run` runs the built image, the others are noted.
_DOCKER = """#!{python}
import os, sys
run, entry = {run!r}, {entry!r}
words = sys.argv[1:]
if words[0] in ("tag", "push"):
    with open(os.environ["WALK"] + "/substituted", "a") as noted:
        noted.write("image-push\\n")
    sys.exit(0)
assert words[:2] == ["run", "--rm"], words
words = words[2:]
if words[0] == "--entrypoint":
    entry, words = [words[1]], words[2:]
assert words[0] == {name!r}, words
os.execvp(run[0], [*run, *entry, *words[1:]])
"""


def test_the_document(image: Image, tmp_path: Path) -> None:
    """Every command in docs/IMAGE.md does what stands below it."""
    programs = tmp_path / "programs"
    programs.mkdir()
    docker = programs / "docker"
    name = f"nats-k8s-oidc-callout:{image.what.version}"
    docker.write_text(
        _DOCKER.format(python=sys.executable, run=image.program(), entry=image.config["Entrypoint"], name=name)
    )
    docker.chmod(0o755)
    folder = tmp_path / "walk"
    folder.mkdir()

    with Walk(
        ROOT / "docs" / "IMAGE.md",
        Machine({"PATH": f"{programs}:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}),
        folder,
    ) as walk:
        walk.run()
