"""docs/POLICY.md, followed on this machine; and the policies that other documents print."""

from pathlib import Path

import pytest

from nats_k8s_oidc_callout.settings.policy import PolicyFile, load
from nats_k8s_oidc_callout.settings.policy.findings import Findings
from nats_k8s_oidc_callout.settings.policy.tables import read_table
from tests.guides.blocks import ROOT, Block
from tests.guides.machine import machine
from tests.guides.test_blocks import of_kind
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


@pytest.mark.parametrize("block", of_kind("policy"))
def test_printed_policies_are_good(block: Block) -> None:
    """A policy that a document prints has no error."""
    assert isinstance(load(block.text.encode()), PolicyFile)


@pytest.mark.parametrize("block", of_kind("cases"))
def test_printed_tables_are_good(block: Block) -> None:
    """A table of expectations that a document prints can be read."""
    found = Findings()

    assert read_table(block.text.encode(), found) is not None
    assert () == found.sorted()
