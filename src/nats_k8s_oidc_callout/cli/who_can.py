"""Who of a whole cluster may publish or subscribe something, and what gives it to them."""

import json
import os
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import click

from nats_k8s_oidc_callout.app import census
from nats_k8s_oidc_callout.app.holders import Answer, Holder, Question, holders
from nats_k8s_oidc_callout.cli import EXIT_BAD_USE, FILE
from nats_k8s_oidc_callout.cli.configuration import give_up, load_or_exit, policy_or_exit, run_or_exit
from nats_k8s_oidc_callout.cli.output import say
from nats_k8s_oidc_callout.cli.who_might import WAYS, tell_rules
from nats_k8s_oidc_callout.core.grants.filter import Side
from nats_k8s_oidc_callout.core.grants.globs import Glob
from nats_k8s_oidc_callout.core.grants.policy import Policy
from nats_k8s_oidc_callout.core.nats import subjects
from nats_k8s_oidc_callout.errors import BadGlob, ConfigurationError
from nats_k8s_oidc_callout.settings import Settings, part
from nats_k8s_oidc_callout.settings.policy.tables import SETTINGS as SILENT

NOTES = (
    "exports and imports between accounts are not looked at",
    "nor are kinds of connection, networks, pods, and revoked tokens",
)


class Shown(NamedTuple):
    """How the answer is to be shown."""

    as_json: bool
    limit: int
    around: bool


def _subject(_: click.Context, __: click.Parameter, value: str) -> str:
    if problem := subjects.problem(value):
        raise click.BadParameter(f"{value} {problem}")
    return value


def _glob(_: click.Context, __: click.Parameter, value: str | None) -> Glob | None:
    try:
        return None if value is None else Glob.of(value)
    except BadGlob as error:
        raise click.BadParameter(f"{value} {error}") from None


@click.command("who-can", short_help="Say who may publish or subscribe a subject.")
@click.argument("side", metavar="publish|subscribe", type=click.Choice([side.value for side in Side]))
@click.argument("subject", callback=_subject)
@click.option("--account", default="", metavar="NAME", help="Only who lands in this account.")
@click.option("--all", "whole", is_flag=True, help="Only who may all of the subject, not just some.")
@click.option(
    "--namespace", "namespaces", metavar="GLOB", callback=_glob, help="Only ServiceAccounts of these namespaces."
)
@click.option(
    "--policy", metavar="FILE", type=FILE, envvar="POLICY_FILE", help="Ask this policy; POLICY_FILE by default."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Show so many workloads at the most.")
@click.option("--through-replies", "around", is_flag=True, help="List those, too, who could by a way around.")
@click.option("--rules-only", is_flag=True, help="Ask the rules alone, and no cluster: who of anybody might.")
def command(
    side: str,
    subject: str,
    account: str,
    whole: bool,
    namespaces: Glob | None,
    policy: Path | None,
    as_json: bool,
    limit: int | None,
    around: bool,
    rules_only: bool,
) -> None:
    """Say which ServiceAccounts may publish or subscribe SUBJECT, in which account, and what gives it to them.

    Reads the same environment variables as the responder, and asks the cluster (or the manifests) at this moment. Exits
    1 when nobody may, 2 when that cannot be told.
    """
    question = Question(Side(side), subject, whole, account, namespaces)
    shown = Shown(as_json, limit or sys.maxsize, around)
    if rules_only:
        sys.exit(tell_rules(_policy_alone(policy), question, as_json=as_json))
    settings = load_or_exit(policy=False)
    rules = policy_or_exit(policy, settings)
    answer = run_or_exit(_ask(settings, rules, question))
    sys.exit(_tell(answer, rules, question, shown))


def _policy_alone(path: Path | None) -> Policy:
    """Return a policy, its silent fields by what the environment says of them, whatever else is missing there."""
    try:
        settings = part({name: os.environ[name] for name in SILENT if os.environ.get(name)})
    except ConfigurationError as error:
        give_up(error)
    return policy_or_exit(path, settings)


async def _ask(settings: Settings, policy: Policy, question: Question) -> Answer:
    labels = await census.labels(settings, policy.label_keys)
    return await holders(census.service_accounts(settings), question, policy, settings.sa_annotation_prefix, labels)


def _tell(answer: Answer, policy: Policy, question: Question, shown: Shown) -> int:
    """Print the answer and return the exit code."""
    listed = sorted(answer.holders + answer.around, key=lambda one: one[:3]) if shown.around else answer.holders
    summary = {
        "workloads": len(listed),
        "asked": answer.asked,
        "namespaces_unknown": answer.unknown,
        "policy": policy.digest,
        "at": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "around": {
            account: {way: sum(way in one.ways for one in group) for way in WAYS}
            for account, group in _by_account(answer.around)
        },
        "notes": NOTES,
    }
    if shown.as_json:
        for one in listed[: shown.limit]:
            _say_line(_as_json(one))
        _say_line({"summary": summary})
    else:
        say(*_for_people(listed, answer, question, shown), *_footer(summary))
    if not listed and answer.unknown:
        return EXIT_BAD_USE
    return 0 if listed else 1


def _by_account(found: list[Holder]) -> Iterator[tuple[str, list[Holder]]]:
    for account, group in groupby(found, key=lambda one: one.account):
        yield account, list(group)


def _as_json(one: Holder) -> dict[str, Any]:
    report: dict[str, Any] = {
        "account": one.account,
        "workload": f"{one.namespace}/{one.name}",
        "rule": one.rule,
        "extent": "around" if one.hold is None else "all" if one.hold.whole else "some",
        "ways": one.ways,
    }
    if one.hold is not None:
        report |= {"subject": one.hold.subject, "from": one.hold.origin, "not": one.hold.denied}
    return report


def _say_line(value: dict[str, Any]) -> None:
    say(json.dumps(value).replace("\x7f", "\\u007f"))


def _for_people(listed: list[Holder], answer: Answer, question: Question, shown: Shown) -> Iterator[str]:
    groups = dict(_by_account(listed[: shown.limit]))
    around = {} if shown.around else dict(_by_account(answer.around))
    for account in sorted({*groups, *around}):
        yield account
        yield from _rows([_row(one, question) for one in groups.get(account, [])])
        for way, words in WAYS.items():
            if number := sum(way in one.ways for one in around.get(account, [])):
                yield f"  + {number:,} workload{'s'[: number > 1]} {words}: --through-replies"
    if len(listed) > shown.limit:
        yield f"and {len(listed) - shown.limit:,} more (--limit)"


def _row(one: Holder, question: Question) -> tuple[str, ...]:
    who, rule = f"{one.namespace}/{one.name}", f"rule {one.rule}" if one.rule else ""
    if one.hold is None:
        return who, "all", question.subject, " and ".join(WAYS[way] for way in one.ways), rule
    denied = f"not: {', '.join(one.hold.denied)} (denied)" if one.hold.denied else ""
    return who, "all" if one.hold.whole else "some", one.hold.subject, one.hold.origin, rule, denied


def _rows(rows: list[tuple[str, ...]]) -> Iterator[str]:
    """Yield lines whose first columns stand below each other."""
    widths = [max(len(row[column]) for row in rows) for column in range(4)] if rows else []
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        yield "  " + "  ".join([*cells, *filter(None, row[4:])]).rstrip()


def _footer(summary: dict[str, Any]) -> Iterator[str]:
    policy = f"policy {summary['policy'][:8]}" if summary["policy"] else "no policy file"
    yield f"{summary['workloads']:,} of {summary['asked']:,} workloads; {policy}; asked the cluster at {summary['at']}"
    if summary["namespaces_unknown"]:
        yield f"{summary['namespaces_unknown']:,} are left out: the labels of their namespaces are not known"
    yield ", ".join(NOTES)
