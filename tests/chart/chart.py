"""The chart as the real helm renders it: values in, objects and texts out, or what helm says against them."""

import functools
import json
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tools import build

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "helm" / "nats-k8s-oidc-callout"
HERE = Path(__file__).resolve().parent
CASES = sorted((HERE / "cases").glob("*.yaml"))
EACH_CASE = pytest.mark.parametrize("case", [pytest.param(path, id=path.stem) for path in CASES])
RELEASE, NAMESPACE = "nats-k8s-oidc-callout", "nats-auth"
OLDEST, MIDDLE, NEWEST = "1.25.0", "1.31.0", "1.37.0"
VERSIONS = (OLDEST, MIDDLE, NEWEST)
ACCOUNT = "--set=nats.account=AUTH_ACCOUNT"

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Done:
    """How a helm command ended."""

    code: int
    output: str
    errors: str


def helm(*arguments: str | Path, stdin: str = "", program: str = "helm") -> Done:
    path = build.path(program)
    if path is None:
        pytest.skip(f"{program} is not built (make tools TOOLS={program})")
    done = subprocess.run(
        [path, *arguments], check=False, input=stdin, capture_output=True, text=True, timeout=60, cwd=ROOT
    )
    return Done(done.returncode, done.stdout, done.stderr)


def release_of(case: Path) -> tuple[str, str]:
    """Return name and namespace of the release: what a comment `# release: NAME NAMESPACE` says, else the guide's."""
    found = re.search(r"^# release: (\S+) (\S+)$", case.read_text(encoding="utf-8"), re.MULTILINE)
    return (found[1], found[2]) if found else (RELEASE, NAMESPACE)


@functools.cache
def template(
    *arguments: str | Path, stdin: str = "", name: str = RELEASE, namespace: str = NAMESPACE, program: str = "helm"
) -> str:
    """Return what `helm template` prints; fail with what it complains of. Each combination is rendered once."""
    done = helm("template", name, CHART, f"--namespace={namespace}", *arguments, stdin=stdin, program=program)
    assert (0, "") == (done.code, done.errors)
    return done.output


def template_of(case: Path, version: str = NEWEST, program: str = "helm") -> str:
    name, namespace = release_of(case)
    # What came later is refused there.
    without = ("--set=admissionPolicy.enabled=false",) if version < "1.30" else ()
    return template(
        f"--values={case}", f"--kube-version={version}", *without, name=name, namespace=namespace, program=program
    )


def objects_in(text: str) -> list[Object]:
    """Return the objects in what helm printed; each caller has its own, which it may change."""
    objects: list[Object] = json.loads(_as_json(text))
    return objects


@functools.cache
def _as_json(text: str) -> str:
    return json.dumps([one for one in yaml.load_all(text, Loader=yaml.CSafeLoader) if one])


def objects_of(case: Path, version: str = NEWEST) -> list[Object]:
    return objects_in(template_of(case, version))


def case(name: str) -> Path:
    return HERE / "cases" / f"{name}.yaml"


def render(*arguments: str | Path, stdin: str = "", name: str = RELEASE, namespace: str = NAMESPACE) -> list[Object]:
    return objects_in(template(*arguments, stdin=stdin, name=name, namespace=namespace))


@functools.cache
def refused(*arguments: str | Path, stdin: str = "") -> str:
    """Return what helm says against these values; fail if it takes them."""
    done = helm("template", RELEASE, CHART, f"--namespace={NAMESPACE}", *arguments, stdin=stdin)
    assert 1 == done.code, f"helm rendered it:\n{done.output}"
    return done.errors


@functools.cache
def notes_of(case: Path, *arguments: str) -> str:
    """Return the text that `helm install` ends with."""
    name, namespace = release_of(case)
    command = ("install", name, CHART, f"--namespace={namespace}", f"--values={case}", "--dry-run=client", "-o=json")
    done = helm(*command, *arguments)
    assert (0, "") == (done.code, done.errors)
    return str(json.loads(done.output)["info"]["notes"])


def one(objects: list[Object], kind: str, name: str | None = None) -> Object:
    """Return the one object of a kind (and name)."""
    found = [each for each in objects if each["kind"] == kind and name in (None, each["metadata"]["name"])]
    assert 1 == len(found), f"{len(found)} objects of kind {kind}"
    return found[0]


def kinds(objects: list[Object]) -> list[str]:
    return sorted(each["kind"] for each in objects)


def pod_of(objects: list[Object]) -> Object:
    """Return the Pod template of the Deployment."""
    template: Object = one(objects, "Deployment")["spec"]["template"]
    return template


def container_of(objects: list[Object]) -> Object:
    container: Object = pod_of(objects)["spec"]["containers"][0]
    return container


def environment_of(objects: list[Object]) -> dict[str, str]:
    """Return the variables that have a value in the Deployment itself."""
    return {each["name"]: each["value"] for each in container_of(objects)["env"] if "value" in each}
