"""Values that cannot work are refused before anything is installed, by name and in words that say what to do."""

import re
from pathlib import Path

import pytest

from tests.chart.chart import CHART, HERE, refused

INVALID = sorted((HERE / "invalid").glob("*.yaml"))
EACH = pytest.mark.parametrize("values", [pytest.param(path, id=path.stem) for path in INVALID])
TEMPLATE = CHART / "templates" / "_refusals.tpl"


def expected(values: Path) -> str:
    """Return what the first line of the file says that helm says."""
    found = re.match(r"# says: (.+)", values.read_text(encoding="utf-8"))
    assert found is not None, f"{values.name} does not say what is expected"
    return found[1]


def refused_by(values: Path) -> str:
    """Return what helm says against the file, with the arguments of its comment `# helm: …`."""
    more = re.search(r"^# helm: (.+)", values.read_text(encoding="utf-8"), re.MULTILINE)
    return refused(f"--values={values}", *(more[1].split() if more else ()))


@EACH
def test_what_cannot_work_is_refused(values: Path) -> None:
    """Each of these files is refused with its message, and with no other problem beside it."""
    said = refused_by(values)

    assert expected(values) in said
    assert 1 == len(re.findall(r"^ *- (?!at '[^']*': validation failed)(?!nats-k8s)", said, re.MULTILINE)), said


@EACH
def test_no_refusal_shows_a_secret(values: Path) -> None:
    """What stands where a login may stand is not quoted."""
    said = refused_by(values)

    assert "secret-word" not in said
    assert not re.search(r"S[A-Z][A-Z2-7]{40}", said)


def test_every_refusal_has_a_file() -> None:
    """There is no message in the template that no file provokes."""
    told = "\n".join(map(refused_by, INVALID))
    text = TEMPLATE.read_text(encoding="utf-8")
    messages = re.findall(r'include \$problem \(?(?:printf )?"((?:[^"\\]|\\.)*)"', text)
    assert text.count("include $problem") == len(messages)

    patterns = (
        r".+?".join(re.escape(part.replace('\\"', '"')) for part in re.split("%[sdq]", one)) for one in messages
    )
    assert [] == [pattern for pattern in patterns if not re.search(pattern, told)]


def test_all_problems_are_told_at_once() -> None:
    """Who made three mistakes reads three lines, not three error messages one after the other."""
    said = refused("--set=nats.url=ws://nats,replicaCount=0,service.labels.app\\.kubernetes\\.io/name=x")

    assert ["nats.account", "nats.url", "replicaCount", "service.labels"] == re.findall(
        r"^  - ([\w.]+)", said, re.MULTILINE
    )
