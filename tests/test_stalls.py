"""What a test measures is without the time in which its machine stood still."""

import json
import subprocess
import sys

_CODE = """
import json, os, signal, subprocess, time
from tests.fakes.stalls import awake, silence, stalled
began, moment, clock = awake(), time.time(), time.monotonic()
time.sleep(0.5)
subprocess.Popen(["sh", "-c", f"sleep 0.8; kill -CONT {os.getpid()}"])
os.kill(os.getpid(), signal.SIGSTOP)
now = time.time()
print(json.dumps([awake() - began, time.monotonic() - clock, stalled(moment, now), stalled(0, moment)]))
print(json.dumps([silence(moment - 9, moment), silence(moment, now), silence(moment - 9, now)]))
"""


def test_a_stall_is_not_counted() -> None:
    """A process that is stopped for a while sees that, at once and by either clock; sleeping is no stall."""
    said = subprocess.run([sys.executable, "-c", _CODE], check=True, capture_output=True, timeout=60)
    (ran, passed, stood_still, before), (quiet, stopped, both) = map(json.loads, said.stdout.splitlines())

    assert passed - 0.1 < ran + stood_still < passed + 0.1
    assert stood_still > 0.5
    assert ran > 0.4
    assert before == 0
    # A client that comes back late for another cause is late all the same.
    assert (9, 0) == (round(quiet), stopped)
    assert 6 < both < 9.5
