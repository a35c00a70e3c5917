"""The settings for a command, or a clear end: every problem at once, exit code 2."""

import asyncio
import os
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from nats_k8s_oidc_callout.adapters import telemetry
from nats_k8s_oidc_callout.app.facts import policy_of
from nats_k8s_oidc_callout.bounded.files import read_file
from nats_k8s_oidc_callout.cli import EXIT_BAD_USE
from nats_k8s_oidc_callout.cli.output import say
from nats_k8s_oidc_callout.core.grants.policy import Policy
from nats_k8s_oidc_callout.errors import BadPolicy, ConfigurationError, Unreachable
from nats_k8s_oidc_callout.settings import Settings, load, read_policy

T = TypeVar("T")


def load_or_exit(*, policy: bool = True) -> Settings:
    """Return the settings in the environment; without `policy` all but POLICY_FILE, for who has a policy already."""
    try:
        return load({name: value for name, value in os.environ.items() if policy or name != "POLICY_FILE"})
    except ConfigurationError as error:
        give_up(error)


def policy_at(path: Path, settings: Settings) -> Policy | list[str]:
    """Return the policy of a file, where it is silent by the settings; or everything that is wrong, with its place."""
    try:
        return read_policy(read_file(path), settings)
    except OSError as error:
        return [f"{path}: cannot be read: {error.strerror or error}"]
    except BadPolicy as error:
        return [f"{path}:{problem}" for problem in error.problems]


def policy_or_exit(path: Path | None, settings: Settings) -> Policy:
    """Return the policy of a file, else the one that the settings name, or make."""
    if path is None:
        return policy_of(settings)
    found = policy_at(path, settings)
    return found if isinstance(found, Policy) else stop(*found)


def stop(*why: str) -> NoReturn:
    """Print why there is no answer, and exit 2."""
    say(*why, err=True)
    sys.exit(EXIT_BAD_USE)


def give_up(error: ConfigurationError) -> NoReturn:
    """Print every problem of the configuration, and exit 2."""
    many = len(error.problems) > 1
    number = f"{len(error.problems)} problems" if many else "one problem"
    stop(f"Invalid configuration, {number}:", *(f"  {problem}" for problem in error.problems))


def run_or_exit(work: Coroutine[Any, Any, T]) -> T:
    """Return what the work comes to; what cannot be told now ends with exit code 2."""
    logs = telemetry.configure("warn", "console")
    try:
        return asyncio.run(work)
    except ConfigurationError as error:
        give_up(error)
    except (Unreachable, OSError) as error:
        stop(f"Cannot answer now: {error}")
    finally:
        logs.close()
