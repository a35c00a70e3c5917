"""The demo's table is true: it is green on the product, and red on every way to break it."""

import pytest

from tests.mutants import DEMO_MUTANTS, Mutant, run_demo

pytestmark = pytest.mark.e2e


def test_the_demo_tells_the_truth() -> None:
    """
    On the product as it is every row of the demo is as expected.
    """
    ran = run_demo(None)

    assert 0 == ran.returncode, ran.stdout + ran.stderr
    assert "All 15 went as expected" in ran.stdout
    assert "WRONG" not in ran.stdout


@pytest.mark.slow
@pytest.mark.parametrize("mutant", DEMO_MUTANTS, ids=lambda mutant: mutant.name)
def test_the_demo_notices(mutant: Mutant) -> None:
    """
    A product that does not check what it should makes the demo exit 1 and mark the row.
    """
    ran = run_demo(mutant)

    assert 1 == ran.returncode, ran.stdout + ran.stderr
    assert "WRONG" in ran.stdout
