"""What a workload may do and why, or which check refuses its token."""

import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from nats_k8s_oidc_callout.app import questions
from nats_k8s_oidc_callout.app.questions import Questions
from nats_k8s_oidc_callout.cli import FILE
from nats_k8s_oidc_callout.cli.configuration import load_or_exit, run_or_exit
from nats_k8s_oidc_callout.cli.output import say, say_json
from nats_k8s_oidc_callout.core.grants import entries
from nats_k8s_oidc_callout.core.grants.annotations import ASKED, Grant
from nats_k8s_oidc_callout.core.grants.filter import Side
from nats_k8s_oidc_callout.core.grants.nearest import nearest_ceiling
from nats_k8s_oidc_callout.core.grants.rules import Turned
from nats_k8s_oidc_callout.core.grants.terms import InboxMode, ReplyMode, Terms
from nats_k8s_oidc_callout.core.identity import tokens
from nats_k8s_oidc_callout.core.model import Allow, Deny, Drop, Reason, Token
from nats_k8s_oidc_callout.core.nats.subjects import guide_inbox, private_inbox, subscribed
from nats_k8s_oidc_callout.core.spelling import escape
from nats_k8s_oidc_callout.settings import Settings

Report = dict[str, Any]

_USERNAME = "system:serviceaccount:"


def _workload(_: click.Context, __: click.Parameter, value: str | None) -> tuple[str, str] | None:
    """Read a ServiceAccount as people write it, or as Kubernetes and NATS show it."""
    if value is None:
        return None
    parts = value.removeprefix(_USERNAME).split(":" if value.startswith(_USERNAME) else "/")
    if len(parts) != 2 or not all(parts):
        raise click.BadParameter(f"{value} is neither NAMESPACE/NAME nor {_USERNAME}NAMESPACE:NAME")
    return parts[0], parts[1]


@click.command("explain", short_help="Say what a workload may do and why, or why it is refused.")
@click.argument("workload", required=False, metavar="[NAMESPACE/NAME]", callback=_workload)
@click.option(
    "--token-file",
    type=FILE,
    help="Explain the workload of this token, or why the token is refused. The file is read byte for byte.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(workload: tuple[str, str] | None, token_file: Path | None, as_json: bool) -> None:
    """Say what a ServiceAccount may publish and subscribe, in which account, until when, and why.

    system:serviceaccount:NAMESPACE:NAME, as Kubernetes and NATS show it, works as well. Reads the same environment
    variables as the responder, and asks the cluster (or the manifests) at this moment. Exits 1 when the workload or the
    token would be turned away.
    """
    if (workload is None) == (token_file is None):
        raise click.UsageError("name one workload as NAMESPACE/NAME, or a token by --token-file")
    settings = load_or_exit()
    report = run_or_exit(_explain(settings, workload, token_file))
    if as_json:
        say_json(report)
    else:
        say(*_for_people(report))
    sys.exit(0 if report["allowed"] else 1)


def _read(file: Path) -> str:
    """Return what a client sends that reads the file and does nothing to it."""
    with file.open("rb") as opened:
        # More is too large in any case.
        return opened.read(2 * tokens.MAX_BYTES).decode("utf-8", "surrogateescape")


async def _explain(settings: Settings, workload: tuple[str, str] | None, token_file: Path | None) -> Report:
    text = _read(token_file) if token_file else ""
    async with questions.open_with(settings) as source:
        if workload is not None:
            return await _explain_workload(settings, source, *workload)
        return await _explain_token(settings, source, text)


async def _explain_workload(settings: Settings, source: Questions, namespace: str, name: str) -> Report:
    account = await source.service_account(namespace, name)
    report: Report = {"workload": f"{namespace}/{name}", "allowed": account is not None}
    if settings.k8s_namespaces and namespace not in settings.k8s_namespaces:
        return {**report, "allowed": False, "reason": "out_of_scope", "detail": "K8S_NAMESPACES does not name it"}
    if account is None:
        return {**report, "reason": "unknown_service_account", "detail": "it does not exist"}
    grant = source.grant(namespace, name, account)
    report["policy"] = source.policy_digest
    if isinstance(grant, Turned):
        found = {"reason": grant.reason.value, "detail": grant.detail, "rule": grant.rule}
        return {**report, "allowed": False, **found, **_nearest(source, grant.reason, namespace, name)}
    return {**report, "uid": account.uid, **_permissions(settings, namespace, name, grant)}


def _nearest(source: Questions, reason: Reason, namespace: str, name: str) -> Report:
    """Return the rule that came nearest, for whom none matches."""
    found = source.nearest_rule(namespace, name) if reason is Reason.NO_RULE else None
    return {} if found is None else {"nearest": found._asdict()}


async def _explain_token(settings: Settings, source: Questions, text: str) -> Report:
    verdict = await source.verdict_on(Token.of(text))
    if isinstance(verdict, Deny) and verdict.reason is Reason.NO_RULE and verdict.workload is not None:
        # With the rule that came nearest.
        return await _explain_workload(settings, source, verdict.workload.namespace, verdict.workload.name)
    if not isinstance(verdict, Allow):
        report = _refused(source, verdict)
        if verdict.reason is Reason.MALFORMED_TOKEN and (stripped := text.strip().rstrip("=")) != text:
            # The usual client strips: one command tells both.
            again = await source.verdict_on(Token.of(stripped))
            report["stripped"] = "allowed" if isinstance(again, Allow) else again.reason.value
        return report
    report = await _explain_workload(settings, source, verdict.workload.namespace, verdict.workload.name)
    ends = datetime.fromtimestamp(verdict.expires_at, UTC).isoformat()
    return {
        **report,
        "pod": verdict.workload.pod,
        "session_ends": ends,
        "session_seconds": verdict.expires_at - int(time.time()),
    }


def _refused(source: Questions, verdict: Deny | Drop) -> Report:
    workload, rule = (None, "") if isinstance(verdict, Drop) else (verdict.workload, verdict.rule)
    detail = verdict.detail
    if verdict.reason is Reason.UNKNOWN_KEY:
        detail = source.keys_trouble or detail
    elif verdict.reason is Reason.NO_TOKEN:
        detail = "the file is empty"
    return {
        "workload": str(workload) if workload else None,
        "allowed": False,
        "reason": verdict.reason.value,
        "detail": detail,
        "rule": rule,
    }


def _permissions(settings: Settings, namespace: str, name: str, grant: Grant) -> Report:
    def side(subjects: tuple[str, ...], origins: tuple[str, ...]) -> list[Report]:
        return [
            {"subject": subject, "from": origin.removeprefix(ASKED)}
            for subject, origin in zip(subjects, origins, strict=True)
        ]

    def heard(entry: Report) -> Report:
        reach = subscribed(entry["subject"])
        return entry if reach == entry["subject"] else {**entry, "works_as": reach}

    sides = {
        settings.sa_annotation_prefix + entries.PUBLISH: Side.PUBLISH,
        settings.sa_annotation_prefix + entries.SUBSCRIBE: Side.SUBSCRIBE,
    }
    granted, terms = grant.permissions, grant.terms
    return {
        "account": terms.account,
        "mode": settings.mode.value,
        "session_max_seconds": terms.session_max_seconds,
        "rule": terms.rule,
        "kinds": sorted(terms.kinds),
        "networks": [str(network) for network in terms.networks],
        "pod_required": terms.require_pod_bound or settings.require_pod_bound,
        "publish": side(granted.publish, grant.publish_origins),
        "subscribe": [heard(entry) for entry in side(granted.subscribe, grant.subscribe_origins)],
        "denied": {"publish": granted.deny_publish, "subscribe": granted.deny_subscribe},
        "replies": {
            "mode": terms.reply_mode.value,
            "max": granted.replies_max,
            "ttl_seconds": granted.replies_ttl_seconds,
        },
        "refused": [
            {
                "subject": refusal.subject,
                "from": refusal.annotation,
                "why": refusal.why,
                "ceiling": nearest_ceiling(refusal.subject, sides.get(refusal.annotation), terms),
            }
            for refusal in grant.refused
            if refusal.subject
        ],
        "unknown": [
            {"annotation": refusal.annotation, "why": refusal.why} for refusal in grant.refused if not refusal.subject
        ],
        "notes": _notes(terms, namespace, name),
    }


def _notes(terms: Terms, namespace: str, name: str) -> list[str]:
    private, guide = (inbox(namespace, name).removesuffix(".>") for inbox in (private_inbox, guide_inbox))
    notes = [f"the inbox prefix for clients is {private}; {guide} can be answered only with REPLY_MODE=responses"]
    if terms.inbox_mode is InboxMode.SHARED:
        notes.append("INBOX_MODE is shared: every workload of this account can read every reply on _INBOX.>")
    if terms.reply_mode is ReplyMode.RESPONSES:
        notes.append(
            "REPLY_MODE is responses: by answering itself a workload can publish on every subject of its account"
        )
    return notes


def _replies(mode: str, max: int, ttl_seconds: float) -> str:  # noqa: A002  # the names of the report
    if mode == ReplyMode.RESPONSES:
        return f"{max} within {ttl_seconds:g} s, wherever the request says"
    return "into the inboxes that it may publish to" if mode == ReplyMode.INBOX else "not allowed"


def _rule_rows(report: Report, row: Callable[[str, str], None]) -> None:
    """Say which rule decides, by which file, and what it asks of a connection; nothing without a file."""
    if not report.get("policy"):
        return
    row("policy", report["policy"][:8])
    if rule := report["rule"]:
        row("rule", rule)
    if near := report.get("nearest"):
        row("nearest", f"rule {near['rule']}, but {near['why']}")
    if report["allowed"]:
        asked = [f"by {' or '.join(report['kinds'])}"]
        asked += [f"from {' or '.join(report['networks'])}"] if report["networks"] else []
        asked += ["with a token that a pod holds"] if report["pod_required"] else []
        row("connects", ", ".join(asked))


def _for_people(report: Report) -> list[str]:
    lines = [report["workload"] or "unknown workload"]

    def row(label: str, text: str) -> None:
        lines.append(f"  {label:<10} {text}")

    if not report["allowed"]:
        row("refused", f"{report['reason']}" + (f" ({report['detail']})" if report["detail"] else ""))
        _rule_rows(report, row)
        if stripped := report.get("stripped"):
            row("stripped", "it would be let in" if stripped == "allowed" else f"it would be refused as {stripped}")
        return lines
    row("uid", report["uid"] or "unchecked (the manifest has none)")
    row("account", f"{report['account']} ({report['mode']} mode)")
    _rule_rows(report, row)
    if "session_ends" in report:
        row("session", f"would end at {report['session_ends']}, in {report['session_seconds']} s")
    else:
        row("session", f"ends before its token does, and within {report['session_max_seconds']} s")
    row("replies", _replies(**report["replies"]))
    for side in Side:
        for entry in report[side]:
            reach = f", works as {entry['works_as']}" if "works_as" in entry else ""
            row(side, f"{entry['subject']:<40} {entry['from']}{reach}")
        for subject in report["denied"][side]:
            row("denied", f"{subject:<40} to {side}")
    _left_out_rows(report, row)
    for note in report["notes"]:
        row("note", note)
    return lines


def _left_out_rows(report: Report, row: Callable[[str, str], None]) -> None:
    for entry in report["refused"]:
        # No subject goes beyond ASCII: what looks like a letter of it is the reason.
        ceiling = f"; the nearest ceiling is {entry['ceiling']}" if entry["ceiling"] else ""
        row("left out", f"{escape(entry['subject'], ascii_only=True):<40} {entry['from']}: {entry['why']}{ceiling}")
    for entry in report["unknown"]:
        row("unknown", f"{escape(entry['annotation'], ascii_only=True):<40} {entry['why']}")
