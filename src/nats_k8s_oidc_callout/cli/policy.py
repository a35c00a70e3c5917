"""What a policy file says, before anybody is judged by it."""

import asyncio
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple

import click

from nats_k8s_oidc_callout.adapters import telemetry
from nats_k8s_oidc_callout.app import census
from nats_k8s_oidc_callout.app.accounts import TargetAccounts
from nats_k8s_oidc_callout.app.survey import Survey, survey
from nats_k8s_oidc_callout.bounded.files import read_file
from nats_k8s_oidc_callout.cli import admission, policytest
from nats_k8s_oidc_callout.cli.configuration import load_or_exit, stop
from nats_k8s_oidc_callout.cli.output import say, say_json
from nats_k8s_oidc_callout.core.grants.policy import Policy
from nats_k8s_oidc_callout.core.grants.rules import Rule
from nats_k8s_oidc_callout.core.spelling import escape
from nats_k8s_oidc_callout.errors import CalloutError
from nats_k8s_oidc_callout.settings import Settings
from nats_k8s_oidc_callout.settings.policy import Base, Finding, PolicyFile
from nats_k8s_oidc_callout.settings.policy.loading import read
from nats_k8s_oidc_callout.settings.policy.review import review

Report = dict[str, Any]

NO_FILE = "none"
_SHOWN = 100
# With one of these, what is left of the file says too little to be warned of.
_FORM = frozenset({"E01", "E02", "E03", "E04", "E06"})


class Checked(NamedTuple):
    """A file that was looked at."""

    path: str
    file: PolicyFile
    findings: tuple[Finding, ...]

    @property
    def has_errors(self) -> bool:
        return any(finding.is_error for finding in self.findings)


@click.group("policy", short_help="Check and test a policy file.")
def command() -> None:
    """Look at a policy file before it is in force."""


command.add_command(policytest.command)


@command.command("check", short_help="Say what is wrong with a policy file, and what is odd.")
@click.argument("file", envvar="POLICY_FILE", type=click.Path(path_type=Path))
@click.option(
    "--settings", "with_settings", is_flag=True, help="Look at the environment, too: accounts and their key files."
)
@click.option("--cluster", is_flag=True, help="Judge every ServiceAccount there is.")
@click.option("--against", metavar="OLD|none", help="Say what changes against another file, or against having none.")
@click.option("--strict", is_flag=True, help="Exit 1 on warnings, too.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@admission.option
def check(file: Path, with_settings: bool, cluster: bool, against: str | None, strict: bool, as_json: bool) -> None:
    """Say what is wrong with a policy FILE (POLICY_FILE if none is named), and what is odd.

    Exits 0 when there is nothing or are warnings only, 1 on errors, 2 when it could not be looked at. Alone it needs
    neither the environment nor a cluster.
    """
    logs = telemetry.configure("error", "console")
    try:
        checked, report = _look(file, with_settings=with_settings, cluster=cluster, against=against)
    finally:
        logs.close()
    if as_json:
        say_json(report)
    else:
        say(
            *(f"{file}:{finding}" for finding in checked.findings),
            *_of_cluster(report),
            *_of_change(report),
            *_summary(report),
        )
    sys.exit(1 if checked.has_errors or (strict and checked.findings) else 0)


def _look(path: Path, *, with_settings: bool, cluster: bool, against: str | None) -> tuple[Checked, Report]:
    # The file is looked at here, and its findings are no bad configuration.
    settings = load_or_exit(policy=False) if with_settings or cluster else None
    base = Base.of(settings) if settings else Base()
    checked = _checked(path, base)
    if settings is not None and not checked.has_errors:
        checked = checked._replace(findings=tuple(sorted((*checked.findings, *_without_keys(checked.file, settings)))))
    old = _old(against, base) if against else None
    found: Survey | None = None
    if cluster and settings is not None and not checked.has_errors:
        found = _surveyed(settings, checked.file.policy, old)
    return checked, _report(checked, settings, found, old)


def _checked(path: Path, base: Base) -> Checked:
    try:
        content = read_file(path)
    except OSError as error:
        stop(f"Cannot answer now: {path} cannot be read: {error.strerror}")
    file, findings = read(content, base)
    if not _FORM.intersection(finding.code for finding in findings):
        findings = tuple(sorted((*findings, *review(file, time.time()))))
    return Checked(str(path), file, findings)


def _old(against: str, base: Base) -> Policy:
    if against == NO_FILE:
        return Policy([base.rule()])
    old = _checked(Path(against), base)
    if old.has_errors:
        error = next(finding for finding in old.findings if finding.is_error)
        stop(f"Cannot answer now: {against}:{error}")
    return old.file.policy


def _without_keys(file: PolicyFile, settings: Settings) -> Iterator[Finding]:
    """Yield a finding for each account that is written out, and that nobody can be placed in."""
    accounts = TargetAccounts(settings, lambda: None)
    for draft in file.drafts:
        account = draft.rule.account
        if draft.rule.refuse is None and not account.names and (why := accounts.placeable(account.text)):
            line = draft.lines.get("account", draft.line)
            yield Finding(line, "E21", draft.rule.name, why)


def _surveyed(settings: Settings, policy: Policy, old: Policy | None) -> Survey:
    keys = policy.label_keys | (old.label_keys if old else frozenset())

    async def ask() -> Survey:
        labels = await census.labels(settings, keys)
        everybody = census.service_accounts(settings)
        return await survey(everybody, labels, policy, settings.sa_annotation_prefix, old)

    try:
        return asyncio.run(ask())
    except (CalloutError, OSError) as error:
        stop(f"Cannot answer now: {error}")


def _report(checked: Checked, settings: Settings | None, found: Survey | None, old: Policy | None) -> Report:
    file = checked.file
    giving = [draft.rule for draft in file.drafts if draft.rule.refuse is None]
    accounts = {rule.account.text: bool(rule.account.names) for rule in giving}
    errors = sum(finding.is_error for finding in checked.findings)
    report: Report = {
        "file": checked.path,
        "sha256": file.policy.digest,
        "findings": [finding._asdict() for finding in checked.findings],
        "errors": errors,
        "warnings": len(checked.findings) - errors,
        "rules": len(file.drafts),
        "roles": len(file.roles),
        "accounts": len(accounts),
        "templated_accounts": sum(accounts.values()),
        "revoked": len(file.revoked),
        "namespace_labels": sorted(file.policy.label_keys),
        "scope": list(settings.k8s_namespaces) if settings else [],
    }
    if found is not None:
        report["cluster"] = {
            "service_accounts": found.asked,
            "rules": {draft.rule.name: found.rules[draft.rule.name] for draft in file.drafts},
            "refused": [item._asdict() for item in found.refused],
            "left_out": [item._asdict() for item in found.left_out],
        }
    if old is not None and not checked.has_errors:
        report["changed_rules"] = dict(_changed_rules(old, file.policy))
        report["changed"] = None if found is None else [item._asdict() for item in found.changed]
    return report


def _changed_rules(old: Policy, new: Policy) -> Iterator[tuple[str, str]]:
    """Yield what becomes of each rule that is not the same."""
    before = {rule.name: rule for rule in old.rules if rule.name}
    after = {rule.name: rule for rule in new.rules}
    yield from ((name, "gone") for name in before if name not in after)
    stayed = [name for name in before if name in after]
    orders = [name for name in after if name in before]
    for name, rule in after.items():
        if name not in before:
            yield name, "new"
            continue
        what = [one.name for one in fields(Rule) if getattr(rule, one.name) != getattr(before[name], one.name)]
        if stayed.index(name) != orders.index(name):
            what.append("its place")
        if what:
            yield name, f"changes {', '.join(what)}"


def _of_cluster(report: Report) -> list[str]:
    found = report.get("cluster")
    if found is None:
        return []
    lines = [f"rule {name}: {number or 'nobody'}" for name, number in found["rules"].items()]
    lines += _cut(
        found["refused"], "refused", lambda one: f"{one['workload']}: refused: {one['reason']} ({one['detail']})"
    )
    lines += _cut(
        found["left_out"],
        "left out",
        # No subject goes beyond ASCII: what looks like a letter of it is the reason.
        lambda one: (
            f"{one['workload']}: left out: {escape(one['entry'] or one['annotation'], ascii_only=True)} ({one['why']})"
        ),
    )
    return lines


def _of_change(report: Report) -> list[str]:
    if "changed_rules" not in report:
        return []
    lines = [f"rule {name} {what}" for name, what in report["changed_rules"].items()]
    if report["changed"] is None:
        return lines or ["no rule changes"]
    for one in report["changed"][:_SHOWN]:
        lines += [f"{one['workload']}: {what}" for what in one["what"]]
    more = len(report["changed"]) - _SHOWN
    return [*lines, *([f"and {more} more workloads: --json has all"] if more > 0 else [])]


def _cut(found: list[Report], what: str, shown: Callable[[Mapping[str, str]], str]) -> list[str]:
    more = len(found) - _SHOWN
    return [*map(shown, found[:_SHOWN]), *([f"and {more} more that are {what}: --json has all"] if more > 0 else [])]


def _summary(report: Report) -> Iterator[str]:
    def count(number: int, what: str) -> str:
        return f"{number} {what}{'' if number == 1 else 's'}"

    if keys := report["namespace_labels"]:
        scope = f", of {', '.join(report['scope'])} alone," if report["scope"] else ""
        yield f"goes by labels ({', '.join(keys)}): needs get, list and watch on namespaces{scope} in a ClusterRole"
    accounts = count(report["accounts"], "account") + (
        f" ({report['templated_accounts']} templated)" if report["templated_accounts"] else ""
    )
    whole = ", ".join(
        (count(report["rules"], "rule"), count(report["roles"], "role"), accounts, f"{report['revoked']} revoked")
    )
    everybody = f"; {count(report['cluster']['service_accounts'], 'ServiceAccount')}" if "cluster" in report else ""
    changed = f", {len(report['changed'])} of them changed" if report.get("changed") is not None else ""
    ends = f"{count(report['errors'], 'error')}, {count(report['warnings'], 'warning')}"
    yield f"sha256 {report['sha256'][:8]}…  {whole}; {ends}{everybody}{changed}"
