"""Check a deployment from the inside, and say what to do about what is wrong."""

import asyncio
import os
import sys
from dataclasses import replace
from pathlib import Path

import click

from nats_k8s_oidc_callout import doctor
from nats_k8s_oidc_callout.adapters import telemetry
from nats_k8s_oidc_callout.cli import FILE
from nats_k8s_oidc_callout.cli.output import say, say_json, say_painted
from nats_k8s_oidc_callout.doctor import Finding, Report, Status
from nats_k8s_oidc_callout.errors import ConfigurationError
from nats_k8s_oidc_callout.settings import load

_COLOURS = {Status.OK: "green", Status.FAIL: "red", Status.SKIPPED: "yellow"}


@click.command("doctor", short_help="Check a deployment from the inside, with a fix for each fault.")
@click.option(
    "--token-file",
    type=FILE,
    help="Log in with the token in this file, as its workload, instead of SELF_TEST_TOKEN_FILE.",
)
@click.option("--notes", is_flag=True, help="Also print notes on the configuration that are no faults.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON. The names of causes never change.")
def command(token_file: Path | None, notes: bool, as_json: bool) -> None:
    """Check a deployment from the inside, in the order in which things break.

    Reads the same environment variables as the responder: run it where that runs (kubectl exec). It logs in to NATS as
    the responder and as a client, listens to what the server asks about that client, and asks the cluster what the
    responder would. It changes nothing, and it never joins the queue group: no request is taken from anybody.
    What fails comes first, each with its cause and a fix. Exits 1 when a check fails.
    """
    logs = telemetry.configure("error", "console")
    try:
        report = asyncio.run(_examine(token_file))
    finally:
        logs.close()
    if as_json:
        say_json(report.as_json())
    else:
        _for_people(report, notes=notes)
    sys.exit(0 if report.ok else 1)


async def _examine(token_file: Path | None) -> Report:
    try:
        settings = load(os.environ)
    except ConfigurationError as error:
        return doctor.misconfigured(error.problems)
    if token_file is not None:
        settings = replace(settings, self_test_token_file=token_file)
    return await doctor.examine(settings)


def _for_people(report: Report, *, notes: bool) -> None:
    """Print what failed, then the other checks, each part in the order in which things break, then what is no fault."""
    width = max(len(finding.check) for finding in report.findings)
    failed = [finding for finding in report.findings if finding.status is Status.FAIL]
    others = [finding for finding in report.findings if finding.status is not Status.FAIL]
    for finding in failed:
        _print(finding, width)
    if failed and others:
        say("")
    for finding in others:
        _print(finding, width)
    known = [note for finding in report.findings for note in finding.notes]
    if known and notes:
        say("", *(f"note: {note}" for note in known))
    elif known:
        say("", f"notes on the configuration, none of them a fault: {len(known)} (doctor --notes prints them)")


def _print(finding: Finding, width: int) -> None:
    say_painted(f"{finding.status.value:<8}", _COLOURS[finding.status], f" {finding.check:<{width}}  {finding.detail}")
    margin = f"{'':<8} {'':<{width}}  "
    if finding.causes:
        say(f"{margin}cause: {' or '.join(finding.causes)}")
    if finding.fix:
        say(f"{margin}fix: {finding.fix}")
