"""The live sessions: who is there, since when and until when; end some; stop and resume all that ends them."""

import sys
import time

import click

from nats_k8s_oidc_callout.app.sessions import replicas
from nats_k8s_oidc_callout.app.sessions.connecting import connect
from nats_k8s_oidc_callout.app.sessions.listing import Answer, Question, ask
from nats_k8s_oidc_callout.app.sessions.today import Census, take_census
from nats_k8s_oidc_callout.cli import EXIT_BAD_USE, session_kicks
from nats_k8s_oidc_callout.cli.configuration import load_or_exit, run_or_exit, stop
from nats_k8s_oidc_callout.cli.output import say
from nats_k8s_oidc_callout.cli.session_rows import as_json, count, footer, read_who, say_line, summary, table
from nats_k8s_oidc_callout.settings import SessionControl, Settings


class _Group(click.Group):
    """Without the name of a command this lists: `sessions shop` is `sessions list shop`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or args[0] not in (*self.commands, *ctx.help_option_names):
            args = ["list", *args]
        return super().parse_args(ctx, args)


@click.group(
    "sessions",
    cls=_Group,
    short_help="List live sessions, end some, hold and resume what ends them.",
    subcommand_metavar="[NAMESPACE[/NAME]] | COMMAND ...",
)
def command() -> None:
    """List live sessions: whose, in which account, since when and until when, from where, and whether they still fit.

    Needs no running responder: reads the same environment variables, asks the NATS servers with the responder's login (or
    that of NATS_SYSTEM_CREDS_FILE), and the cluster for what a login would get now. `sessions list --help` has the
    options; a namespace that is called as a command goes behind `list`.
    """


@command.command("list", short_help="List live sessions (what no command does, too).")
@click.argument("who", metavar="[NAMESPACE[/NAME]]", required=False, callback=read_who)
@click.option("--json", "as_lines", is_flag=True, help="Print one JSON object a line, the summary last.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Show so many sessions at the most.")
def _list(who: Question, as_lines: bool, limit: int | None) -> None:
    """List the live sessions of all workloads, of a namespace or of one ServiceAccount, in the accounts of this release.

    grant: whether a login would get the same now. state: live; renewal due; why a responder would end it (deleted,
    recreated, revoked, refused, account changed, grant changed); another release, or a namespace that is not served: it
    is left alone; no label: it was let in without SESSION_CONTROL. Exits 1 when there is none, 2 when that cannot be
    told.
    """
    settings = load_or_exit()
    now = time.time()
    answer, census = run_or_exit(_ask(settings, who, now))
    told = summary(answer, census, now)
    shown = answer.found[:limit]
    if as_lines:
        for one in shown:
            say_line(as_json(one))
        say_line({"summary": told})
    else:
        say(*table(shown, now))
        if len(answer.found) > len(shown):
            say(f"and {len(answer.found) - len(shown):,} more (--limit)")
        say(*footer(told))
        if settings.session_control is SessionControl.OFF:
            say("SESSION_CONTROL is off: new sessions get no label, and none is ended early")
    if answer.found:
        sys.exit(0)
    sys.exit(1 if answer.is_whole else EXIT_BAD_USE)


async def _ask(settings: Settings, who: Question, now: float) -> tuple[Answer, Census]:
    census = await take_census(settings)
    async with connect(settings) as servers:
        return await ask(servers, settings, census, who, now), census


command.add_command(session_kicks.command)


@command.command("hold", short_help="Stop all replicas from ending sessions.")
def _hold() -> None:
    """Stop every replica from ending sessions, for whatever reason, until `sessions resume`.

    Sessions then end when their time is up, and clients of deleted ServiceAccounts stay as long. Logins go on. It lasts
    over restarts as long as one replica that heard it lives. Exits 1 when no replica answers.
    """
    _tell("hold")


@command.command("resume", short_help="Let all replicas end sessions again.")
def _resume() -> None:
    """Let every replica end sessions again, after `sessions hold`: what has waited goes first, at the usual rate.

    Exits 1 when no replica answers.
    """
    _tell("resume")


def _tell(word: str) -> None:
    settings = load_or_exit()
    if settings.session_control is SessionControl.OFF:
        stop("SESSION_CONTROL is off: no replica ends a session, and none listens")
    found = run_or_exit(replicas.tell(settings, word))
    for answer in found:
        say(f"{answer.replica} {'holds' if answer.held else 'ends sessions'}")
    say(f"{count(len(found), 'replica')} answered" if found else "no replica answered")
    sys.exit(0 if found and all(answer.held == (word == "hold") for answer in found) else 1)
