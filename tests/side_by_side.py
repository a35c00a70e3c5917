"""Runs what the cases of one test compare before they ask, some at a time: one that waits leaves the machine idle."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar, cast

import pytest

Case = TypeVar("Case")
Found = TypeVar("Found")


def side_by_side(
    request: pytest.FixtureRequest,
    test: str,
    case: Callable[[dict[str, Any]], Case],
    run: Callable[[Case], Found],
    at_once: int = 2,
) -> Iterator[Callable[[Case], Found]]:
    """Yield a function from a case to what `run` made of it; to be yielded from a fixture of the module's scope.

    `case` makes one (hashable) of the parameters of `test`; only cases that were selected for this session are run.
    """
    module = request.path
    chosen = [cast("pytest.Function", item) for item in request.session.items if item.path == module]
    cases = dict.fromkeys(case(item.callspec.params) for item in chosen if item.originalname == test)
    with ThreadPoolExecutor(at_once) as pool:
        begun = {one: pool.submit(run, one) for one in cases}
        yield lambda one: begun[one].result()
        pool.shutdown(cancel_futures=True)
