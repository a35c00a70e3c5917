"""Each security check has a test that fails without it."""

import pytest

from tests.attack.mutants import SECURITY_MUTANTS
from tests.mutants import PACKAGE, SOURCE, Mutant, run_tests

FAILED = 1


def test_every_mutant_still_fits_its_line() -> None:
    """
    Each mutant finds the one line that it breaks: a check that was rewritten needs a mutant that was.
    """
    fits = {one.name: (SOURCE / PACKAGE / one.file).read_text().count(one.right) for one in SECURITY_MUTANTS}

    assert {} == {name: places for name, places in fits.items() if places != 1}
    assert len({mutant.name for mutant in SECURITY_MUTANTS}) == len(SECURITY_MUTANTS)


@pytest.mark.slow
@pytest.mark.parametrize("mutant", SECURITY_MUTANTS, ids=lambda mutant: mutant.name)
def test_a_check_that_is_taken_out_is_missed(mutant: Mutant) -> None:
    """
    The test of a check fails on the product without this check.
    """
    ran = run_tests(mutant, mutant.tests)

    assert FAILED == ran.returncode, ran.stdout[-3000:] + ran.stderr[-1000:]
