"""docs/POLICY.md, followed on this machine."""

from pathlib import Path

import pytest

from tests.guides.blocks import ROOT
from tests.guides.machine import machine
from tests.guides.walk import Walk

WALKED = ("docs/POLICY.md",)


@pytest.mark.slow
def test_policy_is_true(tmp_path: Path) -> None:
    """
    Each step's file says of each workload what the page says that it changes.
    """
    folder = tmp_path / "reader"
    folder.mkdir()
    (folder / "accounts").mkdir()
    with Walk(ROOT / WALKED[0], machine(folder, {}), folder) as walk:
        walk.run()
