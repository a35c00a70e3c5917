"""The command line: one file a command, imported only when it is called for."""

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click

from nats_k8s_oidc_callout.core.names import PROGRAM
from nats_k8s_oidc_callout.core.spelling import escape

_COMMANDS = ("serve", "demo", "doctor", "explain", "keys", "policy", "sessions", "who-can")
# Bad use and bad configuration, for scripts to tell from a failed check (1).
EXIT_BAD_USE = 2
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


class _Lazy(click.Group):
    """Loads a command's module when it is named: `serve` must not pay for what only people's commands need."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*_COMMANDS, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return super().get_command(ctx, cmd_name)
        module = cmd_name.replace("-", "_")
        command: click.Command = importlib.import_module(f"{__name__}.{module}").command
        return command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        with _escaped():
            return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401  # click's
        with _escaped():
            return super().invoke(ctx)


@contextmanager
def _escaped() -> Iterator[None]:
    """Escape what click says about bad use: it quotes the arguments, which may come from a cluster by a script."""
    try:
        yield
    except click.ClickException as error:
        raise click.UsageError(escape(error.format_message(), keep="\n"), getattr(error, "ctx", None)) from None


@click.group(cls=_Lazy, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.pass_context
def main(ctx: click.Context) -> None:
    """NATS logins for Kubernetes pods, by nothing but their ServiceAccount token.

    Without a command this serves, configured by environment variables: docs/CONFIGURATION.md lists them.
    """
    if ctx.invoked_subcommand is None:
        serve = main.get_command(ctx, "serve")
        if serve is not None:
            ctx.invoke(serve)


@main.command("version")
def _version() -> None:
    """Print the version."""
    from nats_k8s_oidc_callout.cli.output import say

    say(f"{PROGRAM} {version(PROGRAM)}")
