"""Each security check has a test that fails without it."""

from collections.abc import Callable, Iterator
from subprocess import CompletedProcess

import pytest

from tests.attack.mutants import SECURITY_MUTANTS
from tests.mutants import PACKAGE, SOURCE, Mutant, run_tests
from tests.side_by_side import side_by_side

FAILED = 1


def test_every_mutant_still_fits_its_line() -> None:
    """
    Each mutant finds the one line that it breaks: a check that was rewritten needs a mutant that was.
    """
    fits = {one.name: (SOURCE / PACKAGE / one.file).read_text().count(one.right) for one in SECURITY_MUTANTS}

    assert {} == {name: places for name, places in fits.items() if places != 1}
    assert len({mutant.name for mutant in SECURITY_MUTANTS}) == len(SECURITY_MUTANTS)


@pytest.fixture(scope="module")
def runs(request: pytest.FixtureRequest) -> Iterator[Callable[[Mutant], CompletedProcess[str]]]:
    """Say what the tests of a mutant printed."""
    yield from side_by_side(
        request,
        test_a_check_that_is_taken_out_is_missed.__name__,
        lambda params: params["mutant"],
        lambda mutant: run_tests(mutant, mutant.tests),
    )


@pytest.mark.slow
@pytest.mark.parametrize("mutant", SECURITY_MUTANTS, ids=lambda mutant: mutant.name)
def test_a_check_that_is_taken_out_is_missed(mutant: Mutant, runs: Callable[[Mutant], CompletedProcess[str]]) -> None:
    """
    The test of a check fails on the product without this check.
    """
    ran = runs(mutant)

    assert FAILED == ran.returncode, ran.stdout[-3000:] + ran.stderr[-1000:]
