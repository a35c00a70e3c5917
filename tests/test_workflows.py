"""The public workflows, as far as they can be proven here: well formed, and made of targets that this CI runs."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tools import build

ROOT = Path(__file__).parent.parent
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
RECIPES = re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE)
TARGETS = set(RECIPES)
# What only the place of publication can do, and only there.
PUBLISHES = ("cosign sign ", "helm push ", "gh release create ", "mkdir dist && mv ")
USES = re.compile(r"uses: +([^@\s]+)@(.+)")
# Not by its commit yet: of what this branch points to today no commit could be looked up where this was written.
MOVING = {("pypa/gh-action-pypi-publish", "release/v1")}


def commands(path: Path) -> Iterator[str]:
    for job in yaml.safe_load(path.read_text())["jobs"].values():
        for step in job["steps"]:
            yield from step.get("run", "").splitlines()


def test_each_make_target_has_one_recipe() -> None:
    """The later one would win, with a warning that scrolls by: so `make check` once checked nothing for ten minutes."""
    assert sorted(TARGETS) == sorted(RECIPES)


@pytest.mark.go
def test_workflows_are_well_formed() -> None:
    """Actionlint finds nothing: no unknown key, no bad expression, no event that does not exist."""
    linted = subprocess.run(
        [build.build("actionlint"), "-shellcheck=", "-pyflakes="],
        cwd=ROOT, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False,
    )  # fmt: skip

    assert len(WORKFLOWS) > 2
    assert "" == linted.stdout + linted.stderr


def test_workflows_run_our_own_targets() -> None:
    """Each command is a make target, so that a developer can run what the public CI runs; publishing alone is not."""
    lines = {path.name: list(commands(path)) for path in WORKFLOWS}
    asked = [line for file in lines.values() for line in file if line.startswith("make ")]
    others = [(name, line) for name, file in lines.items() for line in file if not line.startswith("make ")]

    assert [] == [line for line in asked if line.split()[1] not in TARGETS]
    assert [] == [(name, line) for name, line in others if name != "release.yml" or not line.startswith(PUBLISHES)]


def test_nothing_may_more_than_it_needs() -> None:
    """Each workflow reads by default; a job that may write says what."""
    assert [{"contents": "read"}] * len(WORKFLOWS) == [
        yaml.safe_load(path.read_text())["permissions"] for path in WORKFLOWS
    ]


def test_actions_of_others_are_pinned() -> None:
    """Each action is named by its commit, with the version beside it, the same everywhere: a tag can be moved."""
    used = {found for path in WORKFLOWS for found in USES.findall(path.read_text())}
    moving = {(action, at) for action, at in used if not re.fullmatch(r"[0-9a-f]{40} # v\d+\.\d+\.\d+", at)}

    assert moving == MOVING
    assert len(used) == len({action for action, _ in used})
