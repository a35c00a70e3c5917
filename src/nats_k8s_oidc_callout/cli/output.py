"""The one way from a command to a terminal. Whatever others wrote goes through here, and none of it is obeyed there."""

import json
import sys
import traceback
from types import TracebackType
from typing import Any

import click

from nats_k8s_oidc_callout.adapters.telemetry import redact
from nats_k8s_oidc_callout.core.spelling import escape


def say(*lines: str, err: bool = False) -> None:
    """Print lines, each on its own line whatever stands in it."""
    for line in lines:
        click.echo(escape(line), err=err)


def say_painted(head: str, colour: str | None, rest: str) -> None:
    """Print one line whose head, words of our own, has a colour on a terminal."""
    click.echo(f"{click.style(head, fg=colour)}{escape(rest)}".rstrip())


def say_json(value: Any) -> None:  # noqa: ANN401  # what json takes
    r"""Print JSON that is plain ASCII: a terminal shows it, too. (json leaves DEL as it is, which is not.)"""
    click.echo(json.dumps(value, indent=2).replace("\x7f", "\\u007f"))


def tell_fault(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Print the traceback of a fault of ours as sys.excepthook does, masked and escaped."""
    text = "".join(traceback.format_exception(kind, error, trace))
    sys.stderr.write(escape(redact(text), keep="\n"))
