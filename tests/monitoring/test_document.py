"""docs/MONITORING.md, run: rules and configuration made without Helm, and the commands of the runbooks in a release."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.chart_world import shared_release
from tests.guides.walk import Machine, Walk
from tests.monitoring.shipped import DOCUMENT, ROOT, promtool

WALKED = ("docs/MONITORING.md",)


def test_rules_are_made_by_hand(tmp_path: Path) -> None:
    """
    Without Helm and operator the two commands of the document give rules and a configuration that Prometheus takes.
    """
    folder = tmp_path / "by-hand"
    folder.mkdir()
    (folder / "helm").symlink_to(ROOT / "helm")
    (folder / "promtool").symlink_to(promtool())
    machine = Machine({"PATH": f"{folder}:/usr/local/bin:/usr/bin:/bin"})
    with Walk(DOCUMENT, machine, folder) as walk:
        walk.run(("Without the Prometheus Operator",))

    assert 2 == len(walk.ran)
    assert "NAMESPACE_SELECTOR" not in (folder / "nats-auth.rules.yml").read_text()


def test_values_exist() -> None:
    """A value of the chart that the document names is one, with that path."""
    values = yaml.safe_load((ROOT / "helm" / "nats-k8s-oidc-callout" / "values.yaml").read_text())
    named = set(re.findall(r"`([a-z]\w+(?:\.\w+)+)`", DOCUMENT.read_text()))
    asked = {name for name in named if name.partition(".")[0] in values}

    assert len(asked) > 5
    assert set() == asked - set(_paths(values))


def _paths(values: dict[str, Any], above: str = "") -> Iterator[str]:
    for name, value in values.items():
        yield above + name
        if isinstance(value, dict):
            yield from _paths(value, f"{above}{name}.")


@pytest.mark.slow
def test_commands_of_the_runbooks_work(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    """What each runbook sends people to do can be done in a release that was installed as the guide says."""
    release = shared_release(request, tmp_path_factory)
    with Walk(DOCUMENT, release.node, tmp_path / "reader") as walk:
        walk.run(("What the runbooks use",))

    assert 3 == len(walk.ran)
