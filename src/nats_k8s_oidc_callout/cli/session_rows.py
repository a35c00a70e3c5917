"""How sessions are shown: a line each for people, an object a line for programs."""

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import click

from nats_k8s_oidc_callout.app.sessions.listing import Answer, Found, Question
from nats_k8s_oidc_callout.app.sessions.today import Census
from nats_k8s_oidc_callout.cli.output import say
from nats_k8s_oidc_callout.core.names import is_label, is_subdomain
from nats_k8s_oidc_callout.core.sessions import label as labels
from nats_k8s_oidc_callout.core.spelling import line

_USERNAME = "system:serviceaccount:"
_HEADS = (
    "workload",
    "account",
    "since",
    "until",
    "host",
    "connection",
    "client",
    "kind",
    "server/id",
    "grant",
    "state",
)
# A client chooses its name: nobody gets a wide table by a long one.
_CELL_MAX = 40
_GRANT = {True: "current", False: "changed", None: "unknown"}


def read_who(_: click.Context, __: click.Parameter, value: str | None) -> Question:
    """Return what an argument NAMESPACE or NAMESPACE/NAME asks for; the name that NATS shows will do, too."""
    if value is None:
        return Question()
    namespace, slash, name = labels.plain(value).removeprefix(_USERNAME).replace(":", "/").partition("/")
    if not is_label(namespace) or (slash and not is_subdomain(name)):
        raise click.BadParameter(f"{value} is neither NAMESPACE nor NAMESPACE/NAME")
    return Question(namespace, name)


def say_line(value: dict[str, Any]) -> None:
    """Print one JSON object on one line, all of it ASCII."""
    say(json.dumps(value).replace("\x7f", "\\u007f"))


def workload(one: Found) -> str:
    return f"{one.label.namespace}/{one.label.name}"


def as_json(one: Found) -> dict[str, Any]:
    """Return all that is known of a session."""
    row = one.row
    return {
        "workload": workload(one),
        "account": one.account,
        "since": utc(row.start),
        "until": utc(one.label.expires) if one.is_labelled else None,
        "host": row.host,
        "connection": row.connection,
        "lang": row.lang,
        "version": row.version,
        "kind": row.kind,
        "type": row.type,
        "server": row.server_name,
        "server_id": row.server,
        "client_id": row.cid,
        "release": one.label.release,
        "grant_current": one.current,
        "state": one.state,
    }


def table(found: Sequence[Found], now: float) -> Iterator[str]:
    """Yield a line for each session below a head; none without sessions."""
    if not found:
        return
    rows = [_HEADS, *(_cells(one, now) for one in found)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _cells(one: Found, now: float) -> tuple[str, ...]:
    row = one.row
    until = f"{utc(one.label.expires)} ({_span(one.label.expires - now)})" if one.is_labelled else "unknown"
    return tuple(
        line(cell, _CELL_MAX) or "-"
        for cell in (
            workload(one)[:_CELL_MAX],
            one.account,
            f"{utc(row.start)} ({_span(now - row.start)})",
            until,
            row.host,
            row.connection,
            f"{row.lang} {row.version}".strip(),
            f"{row.kind} {row.type}".strip(),
            f"{row.server_name or row.server}/{row.cid}",
            _GRANT[one.current],
            one.state,
        )
    )


def utc(at: float) -> str:
    """Return Unix seconds as UTC, to the second; empty when no year has them."""
    try:
        return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    except (ValueError, OverflowError, OSError):
        return ""


def _span(seconds: float) -> str:
    """Return how long that is, in its largest unit."""
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if abs(seconds) >= 2 * size:
            return f"{int(seconds / size)}{unit}"
    return f"{int(seconds)}s"


def summary(answer: Answer, census: Census, now: float) -> dict[str, Any]:
    """Return the whole in numbers, and what could not be told."""
    return {
        "sessions": len(answer.found),
        "workloads": len({(one.label.namespace, one.label.name) for one in answer.found}),
        "unlabelled": answer.unlabelled,
        "accounts": len(census.accounts) - len(answer.refused),
        "accounts_not_asked": answer.refused,
        "servers": sorted(name or server for server, name in answer.servers.items()),
        "servers_silent": sorted(answer.silent),
        "cluster": census.trouble or "asked",
        "at": utc(now),
    }


def footer(told: dict[str, Any]) -> Iterator[str]:
    """Yield the same for people."""
    servers = told["servers"]
    yield (
        f"{count(told['sessions'], 'session')} of {count(told['workloads'], 'workload')}; "
        f"{count(told['accounts'], 'account')} asked; "
        f"{count(len(servers), 'server')} answered{f' ({_some(servers)})' if servers else ''}; at {told['at']}"
    )
    if told["unlabelled"]:
        yield f"{count(told['unlabelled'], 'other connection')} in these accounts, without a ServiceAccount's name"
    if told["servers_silent"]:
        yield f"servers that did not answer, whose sessions are missing: {_some(told['servers_silent'])}"
    if told["accounts_not_asked"]:
        whys = [f"{account} ({why})" for account, why in told["accounts_not_asked"].items()]
        yield f"accounts that could not be asked: {_some(whys)}"
    if told["cluster"] != "asked":
        yield f"the cluster could not be asked: {told['cluster']}. What a grant is today, and accounts of templates, are unknown"


def count(number: int, what: str) -> str:
    """Return so many of something, in words."""
    return f"{number:,} {what}{'s'[: number != 1]}"


def _some(names: Sequence[str]) -> str:
    more = len(names) - 10
    return ", ".join(names[:10]) + (f" and {more} more" if more > 0 else "")
