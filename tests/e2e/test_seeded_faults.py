"""The suite itself is tested: each of ten faults that an implementation of this could have is found by it."""

import pytest

from tests.mutants import SUITE_MUTANTS, Mutant, run_tests

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

FAILED = 1


@pytest.mark.parametrize("mutant", SUITE_MUTANTS, ids=lambda mutant: mutant.name)
def test_the_suite_finds(mutant: Mutant) -> None:
    """
    Tests that pass on the product fail on the product with this one fault.
    """
    ran = run_tests(mutant, mutant.tests)

    assert FAILED == ran.returncode, ran.stdout[-3000:] + ran.stderr[-1000:]


def test_the_same_tests_pass_without_a_fault() -> None:
    """
    On the product as it is the very same tests pass, so that what they found above was the fault.
    """
    for tests in dict.fromkeys(mutant.tests for mutant in SUITE_MUTANTS):
        ran = run_tests(None, tests)
        assert 0 == ran.returncode, ran.stdout[-3000:] + ran.stderr[-1000:]
