"""The settings for a command, or a clear end: every problem at once, exit code 2."""

import os
import sys
from typing import NoReturn

from nats_k8s_oidc_callout.cli import EXIT_BAD_USE
from nats_k8s_oidc_callout.cli.output import say
from nats_k8s_oidc_callout.errors import ConfigurationError
from nats_k8s_oidc_callout.settings import Settings, load


def load_or_exit() -> Settings:
    """Return the settings in the environment."""
    try:
        return load(os.environ)
    except ConfigurationError as error:
        give_up(error)


def give_up(error: ConfigurationError) -> NoReturn:
    """Print every problem of the configuration, and exit 2."""
    many = len(error.problems) > 1
    number = f"{len(error.problems)} problems" if many else "one problem"
    say(f"Invalid configuration, {number}:", *(f"  {problem}" for problem in error.problems), err=True)
    sys.exit(EXIT_BAD_USE)
