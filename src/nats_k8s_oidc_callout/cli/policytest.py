"""The test tables of policies: what workloads should get, and where a policy gives something else. It needs no cluster."""

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

import click

from nats_k8s_oidc_callout.bounded.files import read_file
from nats_k8s_oidc_callout.cli import EXIT_BAD_USE
from nats_k8s_oidc_callout.cli.configuration import policy_at
from nats_k8s_oidc_callout.cli.output import say, say_json
from nats_k8s_oidc_callout.core.grants.cases import Case, Result, run
from nats_k8s_oidc_callout.core.grants.policy import Policy
from nats_k8s_oidc_callout.core.spelling import escape
from nats_k8s_oidc_callout.errors import ConfigurationError
from nats_k8s_oidc_callout.settings import part
from nats_k8s_oidc_callout.settings.policy.findings import Findings
from nats_k8s_oidc_callout.settings.policy.tables import read_table

ENDINGS = (".test.yaml", ".test.yml")


class Ran(NamedTuple):
    """One case, and what came of it."""

    number: int
    line: int
    case: Case
    result: Result

    @property
    def name(self) -> str:
        return f"case {self.number} {self.case.workload}"


class Suite(NamedTuple):
    """One table that was run."""

    table: Path
    policy: Path
    digest: str
    ran: tuple[Ran, ...]
    unhit: tuple[str, ...]
    """Rules that no case comes to."""

    @property
    def failed(self) -> int:
        return sum(bool(one.result.failures) for one in self.ran)


class _Unusable(Exception):
    """A table that cannot be run, and why, line by line."""

    def __init__(self, *lines: str) -> None:
        super().__init__()
        self.lines = lines


@click.command("test", short_help="Run a policy's test tables.")
@click.argument("paths", nargs=-1, metavar="[FILE|DIR]...", type=click.Path(exists=True, path_type=Path))
@click.option(
    "--policy",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Test this policy, not the one that stands beside each table.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option(
    "--junit", metavar="FILE", type=click.Path(dir_okay=False, allow_dash=True), help="Write JUnit XML; - prints it."
)
@click.option("--strict", is_flag=True, help="Fail also for rules that no case comes to.")
def command(paths: tuple[Path, ...], policy: Path | None, as_json: bool, junit: str | None, strict: bool) -> None:
    """Run test tables: NAME.test.yaml stands beside the policy NAME.yaml. A directory is searched, here by default.

    Exits 1 when a case fails, 2 when a table or its policy cannot be used.
    """
    suites: list[Suite] = []
    unusable: list[str] = []
    tables = list(_tables(paths or (Path(),)))
    if not tables:
        unusable.append(f"no table: none of the files ends in {' or '.join(ENDINGS)}")
    for table in tables:
        try:
            suites.append(_run(table, policy or _beside(table)))
        except _Unusable as error:
            unusable.extend(error.lines)
    say(*unusable, err=True)
    if junit is not None:
        _write(junit, _as_junit(suites, strict=strict))
    if as_json:
        say_json(_as_json(suites))
    elif junit != "-":
        say(*_for_people(suites))
    if unusable:
        sys.exit(EXIT_BAD_USE)
    sys.exit(1 if any(suite.failed or (strict and suite.unhit) for suite in suites) else 0)


def _tables(paths: tuple[Path, ...]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            yield from sorted(found for found in path.rglob("*.test.y*ml") if found.name.endswith(ENDINGS))
        else:
            yield path


def _beside(table: Path) -> Path:
    """Return the policy that a table stands beside."""
    for ending in ENDINGS:
        if table.name.endswith(ending):
            return table.with_name(table.name.removesuffix(ending) + ending.removeprefix(".test"))
    raise _Unusable(f"{table}: no table is called so, and no policy is named: NAME.test.yaml is one of NAME.yaml")


def _run(path: Path, policy_path: Path) -> Suite:
    found = Findings()
    table = read_table(_read(path), found)
    if table is None:
        raise _Unusable(*(f"{path}:{finding}" for finding in found.sorted()))
    try:
        settings = part(table.settings)
    except ConfigurationError as error:
        raise _Unusable(*(f"{path}: settings.{problem}" for problem in error.problems)) from error
    policy, prefix = policy_at(policy_path, settings), settings.sa_annotation_prefix
    if not isinstance(policy, Policy):
        raise _Unusable(*policy)
    now = time.time() if table.now is None else table.now
    results = [
        Ran(number, line, case, run(case, policy, prefix, now, require_pod_bound=settings.require_pod_bound))
        for number, (line, case) in enumerate(zip(table.lines, table.cases, strict=True), start=1)
    ]
    hit = {one.result.rule for one in results}
    unhit = tuple(rule.name for rule in policy.rules if rule.name not in hit)
    return Suite(path, policy_path, policy.digest, tuple(results), unhit)


def _read(path: Path) -> bytes:
    try:
        return read_file(path)
    except OSError as error:
        raise _Unusable(f"{path}: cannot be read: {error.strerror or error}") from error


def _for_people(suites: list[Suite]) -> Iterator[str]:
    for suite in suites:
        for one in suite.ran:
            where = f"{suite.table}:{one.line}: {one.name}"
            yield from (f"{where}: {failure}" for failure in one.result.failures)
            yield from (f"{where}: note: {note}" for note in one.result.notes)
        yield from (f"{suite.policy}: rule {rule}: no case comes to it" for rule in suite.unhit)
    cases, failed = sum(len(suite.ran) for suite in suites), sum(suite.failed for suite in suites)
    unhit = sum(len(suite.unhit) for suite in suites)
    tested = f"{_count(len(suites), 'table')}, {_count(cases, 'case')}"
    yield f"{tested}: {failed} failed; {_count(unhit, 'rule')} without a case"


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _as_json(suites: list[Suite]) -> dict[str, Any]:
    return {
        "cases": sum(len(suite.ran) for suite in suites),
        "failed": sum(suite.failed for suite in suites),
        "tables": [
            {
                "table": str(suite.table),
                "policy": str(suite.policy),
                "sha256": suite.digest,
                "cases": [
                    {
                        "case": one.number,
                        "line": one.line,
                        "workload": str(one.case.workload),
                        "rule": one.result.rule,
                        "failures": one.result.failures,
                        "notes": one.result.notes,
                    }
                    for one in suite.ran
                ],
                "rules_without_a_case": suite.unhit,
            }
            for suite in suites
        ],
    }


def _as_junit(suites: list[Suite], *, strict: bool) -> str:
    root = ElementTree.Element("testsuites")
    for suite in suites:
        failures = [(one.name, one.result.failures) for one in suite.ran]
        if strict:
            failures += [(f"rule {rule}", ("no case comes to it",)) for rule in suite.unhit]
        element = ElementTree.SubElement(
            root,
            "testsuite",
            name=escape(str(suite.table)),
            tests=str(len(failures)),
            failures=str(sum(bool(lines) for _, lines in failures)),
        )
        for name, lines in failures:
            case = ElementTree.SubElement(element, "testcase", classname=escape(str(suite.policy)), name=escape(name))
            if lines:
                text = [escape(line) for line in lines]
                ElementTree.SubElement(case, "failure", message=text[0]).text = "\n".join(text)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True)


def _write(target: str, text: str) -> None:
    if target == "-":
        say(*text.splitlines())
        return
    Path(target).write_text(f"{text}\n", encoding="utf-8")
