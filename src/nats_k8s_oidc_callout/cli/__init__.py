"""The command line: one file a command, imported only when it is called for."""

import importlib
from importlib.metadata import version

import click

PACKAGE = "nats-k8s-oidc-callout"
_COMMANDS = ("serve", "demo", "doctor", "explain", "keys")
# Bad use and bad configuration, for scripts to tell from a failed check (1).
EXIT_BAD_USE = 2


class _Lazy(click.Group):
    """Loads a command's module when it is named: `serve` must not pay for what only people's commands need."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*_COMMANDS, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return super().get_command(ctx, cmd_name)
        command: click.Command = importlib.import_module(f"nats_k8s_oidc_callout.cli.{cmd_name}").command
        return command


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
    click.echo(f"{PACKAGE} {version(PACKAGE)}")
