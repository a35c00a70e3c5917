"""Run the responder."""

import asyncio
import ctypes
import gc
import signal
import sys
from contextlib import suppress

import click
import structlog

from nats_k8s_oidc_callout.adapters import telemetry
from nats_k8s_oidc_callout.app import App
from nats_k8s_oidc_callout.cli.configuration import give_up, load_or_exit
from nats_k8s_oidc_callout.errors import ConfigurationError
from nats_k8s_oidc_callout.settings import Settings

log = structlog.get_logger("app")


@click.command("serve")
def command() -> None:
    """Answer the auth callout of NATS servers until SIGTERM.

    Everything is configured by environment variables (docs/CONFIGURATION.md). An invalid configuration exits 2
    and names every problem; SIGTERM answers what is in flight and exits 0.
    """
    give_memory_back()
    settings = load_or_exit()
    logs = telemetry.configure(settings.log_level.value, settings.log_format.value)
    try:
        _run(settings, logs)
    except ConfigurationError as error:
        give_up(error)
    except OSError as error:
        log.error(
            "http cannot listen", error=error.strerror or type(error).__name__, host=settings.host, port=settings.port
        )
        sys.exit(1)
    except Exception:
        # The last line before the process goes: an orchestrator starts it again.
        log.exception("background task ended unexpectedly")
        sys.exit(1)
    finally:
        logs.close()


# mallopt(3), and how much unused memory at the end of its heap glibc may hold back.
_M_TRIM_THRESHOLD = -1
_TRIM_BYTES = 1 << 20


def give_memory_back() -> None:
    """Have glibc return freed memory to the system, as it does until a program has freed something large once.

    From then on it would serve large texts, such as a page of ServiceAccounts, from the heap, and hold that back in
    pieces: with every store full 100 MiB more. Elsewhere than with glibc nothing happens.
    """
    _glibc("mallopt", _M_TRIM_THRESHOLD, _TRIM_BYTES)


def _glibc(function: str, *arguments: int) -> None:
    with suppress(OSError, AttributeError):
        getattr(ctypes.CDLL(None), function)(*arguments)


def _run(settings: Settings, logs: telemetry.Logs) -> None:
    async def serve() -> None:
        app = App(settings, logs)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, app.stop)
        # What the imports left behind lives as long as the process: no collection need look at it again.
        gc.collect()
        gc.freeze()
        _glibc("malloc_trim", 0)
        await app.run()

    try:
        import uvloop
    except ImportError:
        asyncio.run(serve())
    else:
        uvloop.run(serve())
