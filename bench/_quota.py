"""A CPU limit for a running process, as Kubernetes sets one: a quota of each 100 ms."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PERIOD_SECONDS = 0.1
_ROOTS = (Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/cpu"))


@contextmanager
def limited(pid: int, processors: float) -> Iterator[str]:
    """Let the process have so much (0: all there is) until the block ends; yield how it is done."""
    if not processors:
        yield "none"
        return
    name = f"bench-flood-{os.getpid()}"
    period = int(PERIOD_SECONDS * 1e6)
    quota = int(processors * period)
    for root in _ROOTS:
        group = root / name
        try:
            group.mkdir()
            # The root of version 1 is a plain folder, and takes any name.
            if not (group / "cgroup.procs").exists():
                raise FileNotFoundError
            # The weight is the highest: what else runs on the machine is not what is measured.
            if (group / "cpu.max").exists():
                (group / "cpu.max").write_text(f"{quota} {period}")
                (group / "cpu.weight").write_text("10000")
            else:
                (group / "cpu.cfs_period_us").write_text(str(period))
                (group / "cpu.cfs_quota_us").write_text(str(quota))
                (group / "cpu.shares").write_text("262144")
            for task in Path(f"/proc/{pid}/task").iterdir():
                # A quota does not count for real-time threads, which all are under `chrt -f 1`.
                os.sched_setscheduler(int(task.name), os.SCHED_OTHER, os.sched_param(0))
            (group / "cgroup.procs").write_text(str(pid))
        except OSError:
            with suppress(OSError):
                group.rmdir()
            continue
        try:
            yield f"{processors} by cgroup"
            stat = dict(line.split() for line in (group / "cpu.stat").read_text().splitlines())
            print(f"\nthrottled in {stat['nr_throttled']} of {stat['nr_periods']} periods")
        finally:
            (root / "cgroup.procs").write_text(str(pid))
            group.rmdir()
        return
    ended = threading.Event()
    thread = threading.Thread(target=_in_turns, args=(pid, processors, ended), daemon=True)
    thread.start()
    try:
        yield f"{processors} by SIGSTOP and SIGCONT"
    finally:
        ended.set()
        thread.join()


def _in_turns(pid: int, processors: float, ended: threading.Event) -> None:
    while not ended.wait(PERIOD_SECONDS * processors):
        os.kill(pid, signal.SIGSTOP)
        ended.wait(PERIOD_SECONDS * (1 - processors))
        os.kill(pid, signal.SIGCONT)
