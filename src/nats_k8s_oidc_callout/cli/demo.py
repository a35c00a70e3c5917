"""Show the whole story on this machine, as a table that can fail."""

import asyncio
import sys
import time

import click
from rich.console import Console
from rich.table import Table

from nats_k8s_oidc_callout.cli import EXIT_BAD_USE
from nats_k8s_oidc_callout.demo.story import Outcome, Story
from nats_k8s_oidc_callout.demo.world import Unavailable, World, find_server

# A pipe has no width, and rich would take 80 columns and break every row.
_PLAIN_WIDTH = 120


@click.command("demo")
@click.option("--keep", is_flag=True, help="Leave everything running afterwards, and print commands to try by hand.")
def command(keep: bool) -> None:
    """Run server, issuer, responder and real clients on this machine, and show what each client got.

    Needs nothing but the extra `demo`. Exits 1 if a single row is not as expected.
    """
    try:
        find_server()
        sys.exit(0 if asyncio.run(_demo(keep)) else 1)
    except Unavailable as error:
        click.echo(str(error), err=True)
        sys.exit(EXIT_BAD_USE)
    except KeyboardInterrupt:
        sys.exit(130)


async def _demo(keep: bool) -> bool:
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
            console.print(world.log_file.read_text(), markup=False, highlight=False)
        else:
            console.print(f"All {len(outcomes)} went as expected, in {took:.1f} s.")
        if keep:
            await _keep(console, world)
    return not failed


def _progress(console: Console, outcome: Outcome) -> None:
    """Say on a terminal that something happens; elsewhere the table is enough."""
    if console.is_terminal:
        console.print(f"  {outcome.tried} … {outcome.seen}", style="dim", highlight=False)


def _table(outcomes: list[Outcome]) -> Table:
    table = Table("", "what a pod tries", "expected", "seen", "ms")
    table.columns[-1].justify = "right"
    for outcome in outcomes:
        style = None if outcome.as_expected else "bold red"
        mark = "ok" if outcome.as_expected else "WRONG"
        table.add_row(mark, outcome.tried, outcome.expected, outcome.seen, f"{outcome.seconds * 1000:.0f}", style=style)
    return table


async def _keep(console: Console, world: World) -> None:
    """Print what to try by hand, with a fresh token, and wait to be interrupted."""
    token = world.issuer.token("shop", "web", "uid-web", seconds=3600)
    port = world.app.port if world.app else 0
    for line in (
        "",
        "Everything goes on running; Ctrl-C ends it. A token of shop/web, good for an hour:",
        "",
        f"  TOKEN={token}",
        f"  nats --server={world.url} --token=$TOKEN pub shop.hello world",
        f"  nats --server={world.url} --token=$TOKEN --inbox-prefix=_INBOX_shop_web sub 'shop.>'",
        f"  nats --server={world.url} --token=$TOKEN pub elsewhere.hello world     # no permission",
        f"  curl http://127.0.0.1:{port}/readyz?verbose",
        f"  tail -f {world.log_file}",
        f"  ls {world.folder}/serviceaccounts     # edit one, and connect again",
    ):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    await asyncio.Event().wait()
