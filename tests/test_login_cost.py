"""What one warm login costs, counted: calls, memory, bytes. The same on any machine, however busy that is.

LOGIN_COST=write pytest tests/test_login_cost.py   writes tests/login_cost.json anew

Not counted is what happens within Python's own library and in C, but each call into it is.
"""

import asyncio
import gc
import json
import os
import statistics
import sys
import sysconfig
import threading
import tracemalloc
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import CodeType, FunctionType, MethodType
from typing import Any

import pytest

from tests.login_world import LoginWorld, StillLoop, login_world

KEPT = Path(__file__).parent / "login_cost.json"
_SRC = Path(__file__).parent.parent / "src"
_ROOTS = (_SRC / "nats_k8s_oidc_callout", *{Path(sysconfig.get_path(name)) for name in ("purelib", "platlib")})
# The token was seen before, or never; or it was, and the session's name is a label.
CASES = ("again", "new", "labelled")
MEMORY = ("bytes at most", "bytes that stay")
WARM_UP, ROUNDS = 30, 7
# Of memory so much is no change: what one login leaves behind may go with the next. All else is the same each time.
SAME_BYTES = 64

Costs = dict[str, dict[str, list[int]]]


@pytest.mark.skipif(sys.version_info[:2] != (3, 13), reason="kept for Python 3.13, which the image has")
def test_a_login_costs_what_it_did(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A warm login makes the calls, takes the memory and sends the bytes that the file says: more, or less, is on purpose.
    """
    found = table({case: cost_of(case, monkeypatch) for case in CASES})

    # Two signatures and the server's own; the token's when it is new.
    assert {
        "RSAPublicKey.verify": [0, 1, 0],
        "_sodium.Lib.crypto_sign": [2, 2, 2],
        "_sodium.Lib.crypto_sign_open": [1, 1, 1],
    } == {name: counts for name, counts in found["calls"].items() if name.startswith(("RSA", "EC", "Ed", "_sodium."))}
    before: Costs = json.loads(KEPT.read_text(encoding="utf-8"))
    changed = changes(before, found)
    if os.environ.get("LOGIN_COST") == "write":
        same = {name: before["in all"][name] for name in MEMORY if not any(f": {name} [" in line for line in changed)}
        KEPT.write_text(text_of({**found, "in all": {**found["in all"], **same}}), encoding="utf-8")
        return
    assert not changed, "\n".join(
        (
            f"a warm login does not cost what {KEPT.name} says ({', '.join(CASES)}):",
            *changed,
            "Is it meant? LOGIN_COST=write pytest tests/test_login_cost.py, and say why in the commit.",
        )
    )


def changes(before: Costs, now: Costs) -> list[str]:
    """Return a line for each count that is another one, the dearer first."""
    none = [0] * len(CASES)
    found = []
    for kind in now:
        for name in sorted({*before[kind], *now[kind]}):
            old, new = before[kind].get(name, none), now[kind].get(name, none)
            if any(abs(a - b) > (SAME_BYTES if name in MEMORY else 0) for a, b in zip(old, new, strict=True)):
                found.append((sum(old) - sum(new), f"  {kind}: {name} {old} -> {new}"))
    return [line for _, line in sorted(found)]


def table(costs: Mapping[str, tuple[Counter[str], Mapping[str, int]]]) -> Costs:
    """Return each count with its numbers in the order of CASES."""
    calls = {name: [costs[case][0][name] for case in CASES] for name in {n for c, _ in costs.values() for n in c}}
    whole = {name: [costs[case][1][name] for case in CASES] for name in costs[CASES[0]][1]}
    return {"in all": whole, "calls": calls}


def text_of(found: Costs) -> str:
    """Return the file: a line for each count."""
    kinds = (
        f' "{kind}": {{\n'
        + ",\n".join(f"  {json.dumps(name)}: {counts}" for name, counts in sorted(found[kind].items()))
        + "\n }"
        for kind in found
    )
    return "{\n" + ",\n".join(kinds) + "\n}\n"


def cost_of(case: str, monkeypatch: pytest.MonkeyPatch) -> tuple[Counter[str], Mapping[str, int]]:
    """Return the calls of one login of this kind, by their names, and its other numbers."""

    async def run() -> tuple[Counter[str], Mapping[str, int]]:
        async with login_world(monkeypatch, labelled=case == "labelled") as world:
            return await count(world, again=case != "new")

    # A collection would be somebody else's memory.
    gc.disable()
    try:
        with asyncio.Runner(loop_factory=StillLoop) as runner:
            return runner.run(run())
    finally:
        gc.enable()


async def count(world: LoginWorld, *, again: bool) -> tuple[Counter[str], Mapping[str, int]]:
    """Count while nothing else is looked at, then look at memory alone."""
    number = 0

    def message() -> bytes:
        nonlocal number
        number += not again
        return world.message(world.token(number))

    for _ in range(WARM_UP):
        await world.log_in(message())
        world.line()
    asked, turns, calls = message(), world.turns, Counter[str]()
    with counted(calls):
        answer = await world.log_in(asked)
    turns = world.turns - turns
    line = world.line()

    peaks, kept = [], []
    tracemalloc.start()
    try:
        for _ in range(ROUNDS):
            asked = message()
            before = tracemalloc.get_traced_memory()[0]
            tracemalloc.reset_peak()
            await world.log_in(asked)
            peaks.append(tracemalloc.get_traced_memory()[1] - before)
            world.line()
            kept.append(tracemalloc.get_traced_memory()[0] - before)
    finally:
        tracemalloc.stop()
    return calls, {
        "calls": calls.total(),
        "turns of the event loop": turns,
        "bytes of the answer": len(answer),
        "bytes of the log line": len(line),
        # Medians: now and then a dict grows, and the first round fills places that stay.
        **dict(zip(MEMORY, (int(statistics.median(sizes)) for sizes in (peaks, kept)), strict=True)),
    }


@contextmanager
def counted(calls: Counter[str]) -> Iterator[None]:
    """Count each call that this thread makes, each function that starts, and each coroutine that goes on."""
    # Not an attribute, since for mypy this is Python 3.11.
    monitoring: Any = vars(sys)["monitoring"]
    tool, events, here = monitoring.PROFILER_ID, monitoring.events, threading.get_ident()

    def started(code: CodeType, _: int) -> None:
        if threading.get_ident() == here and (place := _place(code)):
            calls[f"{place}:{code.co_qualname}"] += 1

    def resumed(code: CodeType, _: int) -> None:
        if threading.get_ident() == here and (place := _place(code)):
            calls[f"{place}:{code.co_qualname} goes on"] += 1

    def called(code: CodeType, _: int, function: object, __: object) -> None:
        if threading.get_ident() == here and _place(code) and (name := _name(function)):
            calls[name] += 1

    monitoring.use_tool_id(tool, "login cost")
    try:
        for event, callback in ((events.PY_START, started), (events.PY_RESUME, resumed), (events.CALL, called)):
            monitoring.register_callback(tool, event, callback)
        monitoring.set_events(tool, events.PY_START | events.PY_RESUME | events.CALL)
        yield
    finally:
        monitoring.set_events(tool, 0)
        monitoring.free_tool_id(tool)


@cache
def _place(code: CodeType) -> str:
    """Return the module that code of ours or of a library stands in; nothing for the tests' and for Python's own."""
    path = Path(code.co_filename)
    root = next((root for root in _ROOTS if path.is_relative_to(root)), None)
    return ".".join(path.relative_to(root).with_suffix("").parts) if root else ""


def _name(function: Any) -> str:
    """Return what is called, or nothing for what is counted when it starts."""
    while isinstance(function, MethodType):
        function = function.__func__
    if isinstance(function, FunctionType) and _place(function.__code__):
        return ""
    if not hasattr(function, "__qualname__"):
        function = type(function)
    module = getattr(function, "__module__", None) or "builtins"
    name: str = function.__qualname__
    return name if module == "builtins" else f"{module.removeprefix('nats_k8s_oidc_callout.')}.{name}"
