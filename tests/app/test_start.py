"""The first second of a process."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.mutants import SOURCE


def test_stopped_while_it_starts(tmp_path: Path) -> None:
    """SIGTERM ends the process by a handler of its own from before the imports on: as process 1 nothing else would."""
    # The first thing that the command line imports, here with a signal that arrives just then.
    (tmp_path / "click.py").write_text(
        "import os, signal, time\nos.kill(os.getpid(), signal.SIGTERM)\ntime.sleep(20)\n"
    )

    done = subprocess.run(
        [sys.executable, "-m", "nats_k8s_oidc_callout", "version"],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": f"{tmp_path}{os.pathsep}{SOURCE}"},
        check=False,
        timeout=30,
    )

    assert 128 + signal.SIGTERM == done.returncode
