"""The shape of the code that the import contract in pyproject.toml cannot say: ARCHITECTURE.md has the reasons."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "nats_k8s_oidc_callout"
CORE = PACKAGE / "core"

# A list of what may not be imported cannot know every library; so here is what may.
ALLOWED_STANDARD = {
    "base64", "binascii", "collections", "dataclasses", "enum", "functools", "hashlib", "heapq", "hmac", "ipaddress",
    "itertools", "json", "math", "re", "string", "struct", "typing",
}  # fmt: skip
ALLOWED_LIBRARIES = {"cryptography", "joserfc", "msgspec", "nacl"}
OUR_OWN = {"nats_k8s_oidc_callout.core", "nats_k8s_oidc_callout.errors"}
MOST_LINES = 300


def modules(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.py"))


def name(module: Path) -> str:
    return str(module.relative_to(ROOT))


CORE_MODULES = [pytest.param(module, id=module.stem) for module in [*modules(CORE), PACKAGE / "errors.py"]]


def imported(tree: ast.Module, package: str) -> Iterator[str]:
    """Yield the full name of everything that this module imports, at any depth; `from a import b` yields a.b."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            # Each dot beyond the first climbs one package.
            parent = package.rsplit(".", node.level - 1)[0] if node.level else ""
            base = ".".join(part for part in (parent, node.module) if part)
            yield from (f"{base}.{alias.name}" for alias in node.names)


def may_be_imported(full: str) -> bool:
    top = full.partition(".")[0]
    if top == PACKAGE.name:
        return any(full == ours or full.startswith(f"{ours}.") for ours in OUR_OWN)
    return top in ALLOWED_STANDARD | ALLOWED_LIBRARIES


@pytest.mark.parametrize("module", CORE_MODULES)
def test_core_imports_only_what_computes(module: Path) -> None:
    """The core imports computation and grammar, nothing that waits, reads a clock, logs, draws or opens."""
    package = ".".join(module.relative_to(PACKAGE.parent).parent.parts)

    tree = ast.parse(module.read_text())

    assert [] == [full for full in imported(tree, package) if not may_be_imported(full)]


@pytest.mark.parametrize("module", CORE_MODULES)
def test_core_has_nothing_asynchronous(module: Path) -> None:
    """No function of the core can wait."""
    waits = (ast.AsyncFunctionDef, ast.Await, ast.AsyncFor, ast.AsyncWith)

    found = [node for node in ast.walk(ast.parse(module.read_text())) if isinstance(node, waits)]

    assert [] == [f"line {node.lineno}" for node in found]


def test_allow_list_holds_standard_modules_only() -> None:
    """Each name of the standard half of the list is one of the standard library's."""
    assert set() == ALLOWED_STANDARD - set(sys.stdlib_module_names)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        pytest.param("import time", ["time"], id="plain"),
        pytest.param("def f():\n    from os import path", ["os.path"], id="inside-a-function"),
        pytest.param("from nats_k8s_oidc_callout import adapters", ["nats_k8s_oidc_callout.adapters"], id="a-sibling"),
        pytest.param("from .. import app", ["nats_k8s_oidc_callout.app"], id="relative-parent"),
        pytest.param("from . import model", [], id="relative"),
        pytest.param("from nats_k8s_oidc_callout.errors import BadKey", [], id="errors"),
        pytest.param("import nats", ["nats"], id="a-library"),
    ],
)
def test_forbidden_import_is_found(source: str, expected: list[str]) -> None:
    """The check above sees every way to write an import."""
    found = imported(ast.parse(source), "nats_k8s_oidc_callout.core")

    assert expected == [full for full in found if not may_be_imported(full)]


def test_each_core_module_has_its_tests() -> None:
    """core/x.py is tested by tests/core/test_x.py, but for the nouns, which do nothing."""
    nouns = {"__init__", "model", "terms"}
    wanted = {f"test_{module.stem}.py" for module in modules(CORE) if module.stem not in nouns}

    assert set() == wanted - {module.name for module in modules(ROOT / "tests" / "core")}


def test_files_stay_short() -> None:
    """A file over 300 lines is a room that wants a wall."""
    lengths = {name(module): len(module.read_text().splitlines()) for module in modules(PACKAGE)}

    assert {} == {module: length for module, length in lengths.items() if length > MOST_LINES}


def test_commands_print_in_one_place() -> None:
    """Only cli.output prints: what others wrote is escaped there, and a command that prints by itself would forget it.

    The demo's table is rich's, so each of its texts is escaped where it is made (tests/cli/test_output.py).
    """
    found = [
        module.name for module in modules(PACKAGE / "cli") if any(map(_prints, ast.walk(ast.parse(module.read_text()))))
    ]

    assert ["output.py"] == found


def _prints(node: ast.AST) -> bool:
    """Say whether this calls print, click.echo or click.secho, or writes to a standard stream."""
    if not isinstance(node, ast.Call):
        return False
    called = ast.unparse(node.func)
    return called in ("print", "click.echo", "click.secho") or called.startswith(("sys.stdout.", "sys.stderr."))


def test_a_strangers_json_is_read_in_one_place() -> None:
    """Only core.strangers decodes what others wrote: who catches msgspec's exceptions by hand forgets one of three.

    The three others that use msgspec for it read back what we have encoded ourselves.
    """
    found = {
        name(module)
        for module in modules(PACKAGE)
        if any(
            isinstance(node, ast.Attribute) and node.attr in ("Decoder", "DecodeError", "decode") and _is_msgspec(node)
            for node in ast.walk(ast.parse(module.read_text()))
        )
    }

    ours = "src/nats_k8s_oidc_callout/"
    own = {f"{ours}app/trace.py", f"{ours}adapters/telemetry/logs.py", f"{ours}core/nats/user.py"}
    assert {f"{ours}core/strangers.py"} | own == found


def _is_msgspec(node: ast.Attribute) -> bool:
    return ast.unparse(node).startswith("msgspec.")
