"""What the documents name exists: links, paths, make targets, commands, variables, metrics, reasons, the demo's rows."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from click import Context
from prometheus_client import CollectorRegistry

from nats_k8s_oidc_callout.adapters.http.server import PATHS
from nats_k8s_oidc_callout.adapters.telemetry import Metrics, PolicyMetric, SessionMetric
from nats_k8s_oidc_callout.adapters.telemetry.decisions import Line
from nats_k8s_oidc_callout.cli import main
from nats_k8s_oidc_callout.core.model import DropReason, Reason
from nats_k8s_oidc_callout.demo.story import Story
from nats_k8s_oidc_callout.doctor import Cause
from nats_k8s_oidc_callout.settings import VARIABLES

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "nats_k8s_oidc_callout"
README, ARCHITECTURE, REFERENCE = ROOT / "README.md", ROOT / "ARCHITECTURE.md", ROOT / "docs" / "REFERENCE.md"
FACTS = ROOT / "docs" / "NATS_FACTS.md"
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
EACH = pytest.mark.parametrize("document", [pytest.param(path, id=str(path.relative_to(ROOT))) for path in DOCUMENTS])

# Upper-case words that are no settings: the guide's accounts, what the Go service read, what the kubelet sets.
OTHER_WORDS = {"AUTH_SERVICE", "AUTH_ACCOUNT", "K8S_NAMESPACE", "CACHE_CLEANUP_INTERVAL"} | {
    "NATS_SERVICE_HOST",
    "NATS_PORT_4222_TCP_ADDR",
    *("NAMESPACE_SELECTOR", "RUNBOOK_URL"),  # placeholders in the rules
    "CHART_GOLDEN",  # of tests/chart
    "LOGIN_COST",  # of tests/test_login_cost.py
    *("PIP_CERT", "PIP_CONFIG_FILE"),  # pip's own, for building the image
    *("TOKEN_FILE", "SERVICE_ACCOUNT"),  # of examples/clients
    *("AUTH_ACCOUNT_A", "AUTH_ACCOUNT_B", "AUTH_SERVICE_ISSUER"),  # of the guide as given
    *("KV_CFG", "OBJ_FILES"),  # streams of a bucket and an object store
}
# What looks like a path and is none of the checkout's: an annotation's prefix, names that stand for any name, and files
# that a guide's own commands make.
NO_PATHS = {"nats.io/", "core/x.py", "test_x.py", "docs/decisions/NNNN-title.md", "keys.txt", "resolver.conf"} | {
    *("nats-values.yaml", "nats-memory-values.yaml", "nats-include-values.yaml", "nats-server.conf"),
}
ENDINGS = (".py", ".md", ".toml", ".txt", ".svg", ".conf", ".yaml")

_CODE = re.compile(r"^```.*?^```$|`([^`\n]+(?:\n[^`\n]+)?)`", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_VARIABLE = re.compile(r"(?<![\w$.<-])[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+(?![\w.*>-])")


def code(text: str) -> Iterator[str]:
    """Yield every code span and every fenced block."""
    for match in _CODE.finditer(text):
        yield match[1] or match[0]


def spans(text: str) -> Iterator[str]:
    return (" ".join(match[1].split()) for match in _CODE.finditer(text) if match[1])


def anchors(document: Path) -> set[str]:
    """Return what a link may name after `#`, as GitHub makes it of headings."""
    headings = re.findall(r"^#+ (.*)$", document.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


ROOMS = {path.name for path in (*ROOT.iterdir(), *PACKAGE.iterdir()) if path.is_dir()}


def named_paths(text: str) -> Iterator[str]:
    for span in spans(text):
        if re.fullmatch(r"[\w.][\w./-]*", span) and (span.endswith(("/", *ENDINGS)) or span.split("/")[0] in ROOMS):
            yield span


def exists(path: str) -> bool:
    """Say whether a path is one of the checkout, or of the package, whose rooms are named without it."""
    return any((base / path).exists() or (base / f"{path}.py").exists() for base in (ROOT, PACKAGE))


@EACH
def test_links_lead_somewhere(document: Path) -> None:
    """A link to a file, or to a heading in one, finds it."""
    broken = []
    for link in _LINK.findall(document.read_text(encoding="utf-8")):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (document.parent / path).resolve() if path else document
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)

    assert [] == broken


@EACH
def test_named_paths_exist(document: Path) -> None:
    """A file or folder in backticks is one of the checkout's."""
    paths = named_paths(document.read_text(encoding="utf-8"))

    assert [] == [path for path in paths if path not in NO_PATHS and not exists(path)]


@EACH
def test_make_targets_exist(document: Path) -> None:
    """`make x` in a document is a target of the Makefile."""
    targets = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    asked = (
        found for part in code(document.read_text(encoding="utf-8")) for found in re.findall(r"\bmake ([a-z-]+)", part)
    )

    assert [] == [target for target in asked if target not in targets]


@EACH
def test_commands_exist(document: Path) -> None:
    """What stands behind the program's name is one of its commands."""
    commands = {*main.list_commands(Context(main)), "&"}
    text = document.read_text(encoding="utf-8")
    asked = (
        found
        for part in code(text)
        for found in re.findall(r"(?:bin/|^)nats-k8s-oidc-callout (\S+)", part, re.MULTILINE)
    )

    assert [] == [command for command in asked if command not in commands]


@EACH
def test_variables_exist(document: Path) -> None:
    """An upper-case name in code is a setting, or a name of somebody else's that stands in the list above."""
    known = {name for one in VARIABLES.values() for name in one.names} | OTHER_WORDS
    asked = (name for part in code(document.read_text(encoding="utf-8")) for name in _VARIABLE.findall(part))

    assert [] == [name for name in asked if name not in known]


def families() -> set[str]:
    """Return the names of all our metrics, as a scrape shows them."""
    registry = CollectorRegistry()
    shown = Metrics(registry, "0").render().decode()
    return set(re.findall(r"^# TYPE (nats_auth_\w+) ", shown, re.MULTILINE)) | {
        # Absent until they have happened once.
        "nats_auth_watch_last_event_timestamp_seconds",
        "nats_auth_jwks_last_success_timestamp_seconds",
        "nats_auth_selftest_success",
        # Absent without a policy file.
        *PolicyMetric,
        # Absent while session control is off.
        *SessionMetric,
    }


@EACH
def test_metrics_exist(document: Path) -> None:
    """A metric in a document is one that we expose."""
    asked = re.findall(r"\bnats_auth_\w+", document.read_text(encoding="utf-8"))

    assert [] == [name for name in asked if name not in families()]


def rows(heading: str) -> list[str]:
    """Return the first cells of REFERENCE's tables below a heading."""
    _, _, section = REFERENCE.read_text(encoding="utf-8").partition(f"\n## {heading}\n")
    return re.findall(r"^\| (`[^|]*) \|", section.partition("\n## ")[0], re.MULTILINE)


def words(heading: str) -> list[str]:
    """Return what stands in backticks in these cells, labels left out."""
    return [word for row in rows(heading) for word in re.findall(r"`([\w/]+)", row)]


def test_reference_names_every_metric() -> None:
    """REFERENCE lists all metrics, and each of them once."""
    assert sorted(families()) == sorted(words("Metrics"))


def test_reference_explains_every_reason() -> None:
    """REFERENCE's tables of refusals have one row for each reason, and no other, in the code's order."""
    assert [reason.value for reason in (*Reason, *DropReason)] == words("Refusals")


def test_reference_explains_every_field_of_a_decision() -> None:
    """REFERENCE has each field of a decision's log line, and no other, in the order in which it is written."""
    assert list(Line.__struct_fields__) == words("Log fields")


def test_reference_has_every_endpoint() -> None:
    """REFERENCE has each path that the server answers, and no other."""
    assert sorted(PATHS) == sorted(words("Endpoints"))


def test_readme_is_short() -> None:
    """README is read to its end: what is looked up belongs into docs/."""
    assert len(README.read_text(encoding="utf-8").splitlines()) <= 160


def test_the_index_has_every_document() -> None:
    """docs/README.md links every page of docs/; their names have one habit."""
    pages = {path.name for path in (ROOT / "docs").glob("*.md")} - {"README.md"}
    text = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")

    assert pages == {link.partition("#")[0] for link in _LINK.findall(text)} & pages
    assert [] == [name for name in pages if not re.fullmatch(r"[A-Z_]+\.md", name)]


def test_readme_shows_the_demo_as_it_is() -> None:
    """The table in README has the demo's rows, each as expected."""
    world = SimpleNamespace(issuer=SimpleNamespace(token=None))
    steps = Story(cast("Any", world)).steps()

    assert [("ok", step.tried, step.expected, step.expected) for step in steps] == list(demo_rows())


def demo_rows() -> Iterator[tuple[str, ...]]:
    """Yield the rows of README's table without their times; a cell may go on in the next line."""
    rows: list[list[str]] = []
    for line in re.findall(r"^│(.*)│$", README.read_text(encoding="utf-8"), re.MULTILINE):
        cells = [cell.strip() for cell in line.split("│")]
        if cells[0]:
            rows.append(cells)
        else:
            rows[-1] = [f"{above} {below}".strip() for above, below in zip(rows[-1], cells, strict=True)]
    return (tuple(row[:4]) for row in rows)


@pytest.mark.parametrize("name", ["client.py", "frameworks.py"])
def test_the_python_example_has_the_file_that_we_ship(name: str) -> None:
    """What the example brings along, so that its folder runs wherever it is copied, is the product's own file."""
    shipped, copied = ROOT / "src" / "nats_k8s_oidc_callout" / name, ROOT / "examples" / "clients" / "python" / name

    assert shipped.read_text() == copied.read_text(), "make docs"


def test_architecture_places_every_module_of_the_core() -> None:
    """ARCHITECTURE.md names each module of core/ and app/, so that none has no place."""
    text = ARCHITECTURE.read_text(encoding="utf-8")
    modules = {path.stem for room in ("core", "app") for path in (PACKAGE / room).glob("[a-z]*.py")}

    assert set() == {module for module in modules if not re.search(rf"\b{module}\b", text)}


def test_doctor_explains_every_cause() -> None:
    """docs/DOCTOR.md names each cause that doctor can name, and no other."""
    text = (ROOT / "docs" / "DOCTOR.md").read_text(encoding="utf-8")
    _, _, table = text.partition("\n### Causes\n")
    rows = re.findall(r"^\| (`[^|]*) \|", table, re.MULTILINE)

    assert {cause.value for cause in Cause} == {word for row in rows for word in re.findall(r"`(\w+)`", row)}


SOURCES = [
    path
    for root in ("src", "helm", "examples", "pyproject.toml")
    for path in sorted([ROOT / root] if (ROOT / root).is_file() else (ROOT / root).rglob("*"))
    if path.is_file() and path.suffix in (".py", ".toml", ".yaml", ".yml", ".tpl", ".txt", ".md", ".conf", ".json")
]
# What strangers do not have: plans, and notes that were never committed. A section is named with whose it is.
_DANGLING = re.compile(r"\bDESIGN\b|\bfacts?,? \d|\breference/|\b(?:house|style)\.md\b|\bissue \d+|\b[Ss]ections? \d")
_CITED = re.compile(r"\bNATS_FACTS(?:\.md)? (\d+(?:\.\d+)?(?:(?:, | and )\d+(?:\.\d+)?)*)")
_RFC = re.compile(r"RFC \d+[^.\n]{0,12}section \d")


def dangling(text: str) -> list[str]:
    """Return the references in a text to documents that its reader does not have."""
    return [match[0] for match in _DANGLING.finditer(_RFC.sub("", text))]


def facts() -> set[str]:
    return set(re.findall(r"^##+ (\d+(?:\.\d+)?)\.? ", FACTS.read_text(encoding="utf-8"), re.MULTILINE))


def cited(text: str) -> list[str]:
    """Return the numbers of NATS facts that a text names."""
    return [number for match in _CITED.finditer(text) for number in re.findall(r"\d+(?:\.\d+)?", match[1])]


def test_comments_cite_what_a_reader_has() -> None:
    """Nothing in the product refers to a document outside the checkout; what it cites of NATS_FACTS is there."""
    known = facts()
    found = {}
    for path in SOURCES:
        text = path.read_text(encoding="utf-8")
        faults = dangling(text) + [f"NATS_FACTS {number}" for number in cited(text) if number not in known]
        if faults:
            found[str(path.relative_to(ROOT))] = faults

    assert {} == found


def test_every_fact_says_where_it_was_seen() -> None:
    """Each fact names versions of nats-server on which it was seen."""
    parts = re.split(r"^##+ ", FACTS.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    facts = [part.partition("\n") for part in parts]

    assert [] == [title for title, _, fact in facts if fact.strip() and not re.search(r"[Ss]een on\s2\.", fact)]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        pytest.param("# the server counts (facts 9.4): one", ["facts 9"], id="facts-of-nowhere"),
        pytest.param("The law: DESIGN section 4", ["DESIGN", "section 4"], id="a-plan"),
        pytest.param("# legal names by section 5; pod", ["section 5"], id="a-section-of-nothing"),
        pytest.param("see reference/policy.md", ["reference/"], id="notes"),
        pytest.param("# as issue 11 says", ["issue 11"], id="an-issue"),
        pytest.param("without padding (RFC 7515, section 2), RFC 7518, section 6", [], id="a-standard"),
        pytest.param("(NATS_FACTS 7.3)", [], id="our-facts"),
    ],
)
def test_dangling_references_are_found(text: str, found: list[str]) -> None:
    """The check above sees references of these kinds, and lets standards and our own pages be."""
    assert found == dangling(text)


@EACH
def test_python_examples_parse(document: Path) -> None:
    """An example in Python is Python."""
    for example in re.findall(
        r"^```python\n(.*?)^```$", document.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    ):
        ast.parse(example)


@pytest.mark.parametrize(
    ("text", "paths"),
    [
        pytest.param("see `core/decide.py`", ["core/decide.py"], id="a-module"),
        pytest.param("in `adapters/nats`", ["adapters/nats"], id="a-package-without-slash"),
        pytest.param("`docs/decisions/`", ["docs/decisions/"], id="a-folder"),
        pytest.param("`gone.md`", ["gone.md"], id="a-file-that-is-not-there"),
        pytest.param("`test.hello` and `make test`", [], id="no-paths"),
    ],
)
def test_paths_are_found(text: str, paths: list[str]) -> None:
    """The checks above see what a reader takes for a path."""
    assert paths == list(named_paths(text))


@pytest.mark.parametrize("name", ["NATS_CREDS_FILE", "JWKS_URL"])
@pytest.mark.parametrize("around", ["{}", "export {}=x", "(`{}`)", "{}=private"])
def test_variables_are_found(name: str, around: str) -> None:
    """The checks above see a variable however it is written down."""
    assert [name] == _VARIABLE.findall(around.format(name))
