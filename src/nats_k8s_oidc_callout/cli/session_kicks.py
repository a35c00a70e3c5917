"""`sessions kick`: end sessions by hand. Their clients come back, if they may, with the token that they have now."""

import sys
import time
from collections import Counter
from typing import NamedTuple

import click

from nats_k8s_oidc_callout.adapters.nats.system import Kicked
from nats_k8s_oidc_callout.adapters.telemetry.sessions import SessionMetric
from nats_k8s_oidc_callout.app.sessions.by_hand import Outcome, kick_all, ours
from nats_k8s_oidc_callout.app.sessions.connecting import connect
from nats_k8s_oidc_callout.app.sessions.listing import Answer, Found, Question, ask
from nats_k8s_oidc_callout.app.sessions.today import take_census
from nats_k8s_oidc_callout.cli import EXIT_BAD_USE
from nats_k8s_oidc_callout.cli.configuration import load_or_exit, run_or_exit
from nats_k8s_oidc_callout.cli.output import say
from nats_k8s_oidc_callout.cli.session_rows import as_json, read_who, say_line, workload
from nats_k8s_oidc_callout.core.spelling import line
from nats_k8s_oidc_callout.doctor import Status, responder_status
from nats_k8s_oidc_callout.settings import SessionControl, Settings

_WORDS = {Kicked.DONE: "done", Kicked.GONE: "gone", Kicked.NO_SERVER: "gone", Kicked.SILENT: "silent"}


class _Wish(NamedTuple):
    """What the options ask for."""

    dry_run: bool
    force: bool
    any_release: bool
    as_lines: bool


@click.command("kick", short_help="End the sessions of a ServiceAccount, a namespace, or all.")
@click.argument("who", metavar="[NAMESPACE/NAME]", required=False, callback=read_who)
@click.option("--namespace", default="", metavar="N", help="All sessions of this namespace.")
@click.option("--all", "everybody", is_flag=True, help="All sessions of this release.")
@click.option("--dry-run", is_flag=True, help="Say which would be ended, and end none.")
@click.option("--force", is_flag=True, help="Also when no responder that is ready runs here, or it holds.")
@click.option("--any-release", is_flag=True, help="Also sessions that another release, or another cluster, let in.")
@click.option("--json", "as_lines", is_flag=True, help="Print one JSON object a line, the summary last.")
def command(
    who: Question, namespace: str, everybody: bool, dry_run: bool, force: bool, any_release: bool, as_lines: bool
) -> None:
    """End sessions now, SESSION_KICKS_PER_SECOND of them in a second. Run it where a responder runs (kubectl exec).

    A client reconnects and logs in again with the token in its file: it gets what it may do now, and a later end. Some
    clients close for good when logins fail at that moment, so this refuses unless the responder beside it is ready, or
    while it holds (`sessions hold`), and stops when that changes; --force does without. Only sessions with a label of this release are ended.

    For each: done; gone, when it had ended already; silent, when its server did not answer. Exits 1 when nothing was
    to be ended, or something may have been left; 2 when nothing was tried.
    """
    if sum((who != Question(), bool(namespace), everybody)) != 1 or bool(who.namespace) != bool(who.name):
        raise click.UsageError("say whose sessions: NAMESPACE/NAME, --namespace N, or --all")
    settings = load_or_exit()
    if settings.session_control is SessionControl.OFF:
        say("SESSION_CONTROL is off, so no session has a label to tell it from others': none is ended", err=True)
        sys.exit(EXIT_BAD_USE)
    question = who if who.name else Question(namespace)
    wish = _Wish(dry_run, force, any_release, as_lines)
    sys.exit(run_or_exit(_kick(settings, question, wish)))


async def _kick(settings: Settings, question: Question, wish: _Wish) -> int:
    """Do it, and return the exit code."""
    census = await take_census(settings)
    trouble = _Beside(settings, force=wish.force or wish.dry_run)
    async with connect(settings) as servers:
        answer = await ask(servers, settings, census, question, time.time())
        targets = ours(answer.found, any_release=wish.any_release)
        told = _Teller(len(targets), as_lines=wish.as_lines)
        if wish.dry_run:
            for one in targets:
                told(one, "would be ended")
            outcome = Outcome(Counter(), 0, "")
        elif why := await trouble():
            say(f"Nothing was ended: {why} (--force does without)", err=True)
            return EXIT_BAD_USE
        else:
            rate = settings.session_kicks_per_second
            outcome = await kick_all(servers, targets, rate, trouble, lambda one, kicked: told(one, _WORDS[kicked]))
    return _sum_up(answer, len(targets), outcome, wish)


class _Beside:
    """Says why nobody is to be sent away now: logins may fail, or an operator holds all kicks.

    So the responder on HOST and PORT says of itself.
    """

    def __init__(self, settings: Settings, *, force: bool) -> None:
        self._host, self._port, self._force = responder_status.loopback(settings.host), settings.port, force

    async def __call__(self) -> str:
        if self._force:
            return ""
        found = responder_status.responder(
            await responder_status.readiness(self._host, self._port), f"{self._host}:{self._port}"
        )
        if found.status is not Status.OK:
            return f"the responder: {found.detail}"
        counters = await responder_status.counters(self._host, self._port)
        return "an operator holds all kicks (`sessions resume` ends that)" if counters.get(SessionMetric.HELD) else ""


class _Teller:
    """Prints what becomes of each, as it happens."""

    def __init__(self, total: int, *, as_lines: bool) -> None:
        self._number, self._total, self._as_lines = 0, total, as_lines

    def __call__(self, one: Found, result: str) -> None:
        self._number += 1
        if self._as_lines:
            say_line({**as_json(one), "reason": "manual", "result": result})
            return
        row = one.row
        place = f"{line(row.host)} {line(row.connection)!r} {row.server_name or row.server}/{row.cid}"
        say(f"{self._number}/{self._total} {result}: {workload(one)} {place}")


def _sum_up(answer: Answer, targets: int, outcome: Outcome, wish: _Wish) -> int:
    """Print the whole, and return the exit code."""
    unlabelled = sum(not one.is_labelled for one in answer.found)
    others = len(answer.found) - targets - unlabelled
    counted = dict.fromkeys(("done", "gone", "silent"), 0)
    for kicked, number in outcome.results.items():
        counted[_WORDS[kicked]] += number
    silent = len(answer.silent) + len(answer.refused)
    if wish.as_lines:
        say_line(
            {
                "summary": {
                    "sessions": targets,
                    **counted,
                    "left": outcome.left,
                    "stopped": outcome.why,
                    "other_releases": others,
                    "unlabelled": unlabelled,
                    "servers_silent": sorted(answer.silent),
                    "accounts_not_asked": answer.refused,
                }
            }
        )
    else:
        if wish.dry_run:
            say(f"{targets:,} would be ended")
        else:
            say(", ".join(f"{number:,} {word}" for word, number in counted.items()))
        if outcome.why:
            say(f"stopped, and {outcome.left:,} left: {outcome.why}")
        if others:
            say(f"left alone: {others:,} of another release (--any-release)")
        if unlabelled:
            say(
                f"left alone: {unlabelled:,} without a label, from before SESSION_CONTROL: they end when their time is up"
            )
        if silent:
            say(
                f"not found, since nobody answered for them: the sessions of {silent} of the servers and accounts (`sessions` names them)"
            )
    return 0 if targets and not (counted["silent"] or outcome.left or silent) else 1
