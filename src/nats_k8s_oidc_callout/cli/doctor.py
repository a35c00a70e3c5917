"""Check a deployment from the inside, and say what to do about what is wrong."""

import asyncio
import os
import sys
from pathlib import Path

import click

from nats_k8s_oidc_callout.adapters import telemetry
from nats_k8s_oidc_callout.app import doctor
from nats_k8s_oidc_callout.app.doctor import Report, Status
from nats_k8s_oidc_callout.cli.output import say, say_json, say_painted
from nats_k8s_oidc_callout.errors import ConfigurationError
from nats_k8s_oidc_callout.settings import load

_COLOURS = {Status.OK: "green", Status.FAIL: "red", Status.SKIPPED: "yellow"}


@click.command("doctor", short_help="Check a deployment from the inside, with a fix for each fault.")
@click.option(
    "--token-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Log in with this token instead of SELF_TEST_TOKEN_FILE, as the workload that it is of.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with the causes in words that never change.")
def command(token_file: Path | None, as_json: bool) -> None:
    """Check a deployment from the inside, in the order in which things break.

    Reads the same environment variables as the responder: run it where that runs (kubectl exec). It logs in to NATS as
    the responder and as a client, listens to what the server asks about that client, and asks the cluster what the
    responder would. It changes nothing, and it never joins the queue group: no request is taken from anybody.
    Exits 1 when a check fails.
    """
    logs = telemetry.configure("error", "console")
    try:
        report = asyncio.run(_examine(token_file))
    finally:
        logs.close()
    if as_json:
        say_json(report.as_json())
    else:
        _for_people(report)
    sys.exit(0 if report.ok else 1)


async def _examine(token_file: Path | None) -> Report:
    try:
        settings = load(os.environ)
    except ConfigurationError as error:
        return doctor.misconfigured(error.problems)
    if token_file is not None:
        settings = settings.model_copy(update={"self_test_token_file": token_file})
    return await doctor.examine(settings)


def _for_people(report: Report) -> None:
    width = max(len(finding.check) for finding in report.findings)
    for finding in report.findings:
        rest = f" {finding.check:<{width}}  {finding.detail}"
        say_painted(f"{finding.status.value:<8}", _COLOURS[finding.status], rest)
        below = [f"note: {note}" for note in finding.notes]
        if finding.causes:
            below.append(f"cause: {' or '.join(finding.causes)}")
        if finding.fix:
            below.append(f"fix: {finding.fix}")
        say(*(f"{'':<8} {'':<{width}}  {line}" for line in below))
