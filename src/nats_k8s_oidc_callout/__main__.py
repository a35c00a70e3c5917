"""`python -m nats_k8s_oidc_callout` is the command `nats-k8s-oidc-callout`."""

import signal
import sys
from types import TracebackType


def run() -> None:
    """Run the command line, and be stoppable from here on."""
    # Process 1 of a container ignores what it has no handler for, and the imports take most of a second: a pod that is
    # deleted meanwhile would start, serve, and be killed after its grace period. `serve` puts its own in this one's place.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        from nats_k8s_oidc_callout.cli import main
    except ModuleNotFoundError as missing:
        if (missing.name or "").startswith("nats_k8s_oidc_callout"):
            raise
        # The bare package is for workloads, which need client.py and nats-py alone.
        sys.stderr.write(f"{missing.name} is not installed: pip install 'nats-k8s-oidc-callout[responder]'\n")
        sys.exit(2)

    sys.excepthook = _tell_fault
    main()


def _tell_fault(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Print a traceback that no text of somebody else can turn against the terminal."""
    from nats_k8s_oidc_callout.cli.output import tell_fault

    tell_fault(kind, error, trace)


if __name__ == "__main__":
    run()
