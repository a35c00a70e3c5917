"""Each security check has a test that fails without it, and a row of the threat table names that test."""

from collections.abc import Callable, Iterator
from subprocess import CompletedProcess

import pytest

from tests.attack.mutants import SECURITY_MUTANTS
from tests.attack.rows import FAULTS, ROW_MUTANTS, quick_proofs
from tests.mutants import PACKAGE, SOURCE, Mutant, run_tests
from tests.side_by_side import side_by_side

Case = tuple[Mutant, tuple[str, ...]]
FAILED = 1
MUTANTS = [*SECURITY_MUTANTS, *ROW_MUTANTS]
_IN_ROWS = {mutant.name for _, mutant in FAULTS}
# A fault of a row is looked for by what the row names, the others by the tests that they name themselves.
RUNS = [
    *(pytest.param(mutant, quick_proofs(row), id=f"{row} {mutant.name}") for row, mutant in FAULTS),
    *(pytest.param(mutant, mutant.tests, id=mutant.name) for mutant in MUTANTS if mutant.name not in _IN_ROWS),
]


def test_every_mutant_still_fits_its_line() -> None:
    """
    Each mutant finds the one line that it breaks: a check that was rewritten needs a mutant that was.
    """
    fits = {one.name: (SOURCE / PACKAGE / one.file).read_text().count(one.right) for one in MUTANTS}

    assert {} == {name: places for name, places in fits.items() if places != 1}
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)


def test_every_row_with_a_fault_has_a_quick_proof() -> None:
    """
    A row of the threat table that has a fault names a test that needs no server: the runs below stay short.
    """
    assert [] == [row for row, _ in FAULTS if not quick_proofs(row)]


@pytest.fixture(scope="module")
def runs(request: pytest.FixtureRequest) -> Iterator[Callable[[Case], CompletedProcess[str]]]:
    """Say what the tests that must notice a mutant printed."""
    yield from side_by_side(
        request,
        test_a_check_that_is_taken_out_is_missed.__name__,
        lambda params: (params["mutant"], params["tests"]),
        lambda case: run_tests(*case),
    )


@pytest.mark.slow
@pytest.mark.parametrize(("mutant", "tests"), RUNS)
def test_a_check_that_is_taken_out_is_missed(
    mutant: Mutant, tests: tuple[str, ...], runs: Callable[[Case], CompletedProcess[str]]
) -> None:
    """
    The tests that a row of the threat table names fail on the product without the check.
    """
    ran = runs((mutant, tests))

    assert FAILED == ran.returncode, ran.stdout[-3000:] + ran.stderr[-1000:]
