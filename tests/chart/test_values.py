"""The values: the guide's names and defaults, a strict schema, a README that says what is there."""

import json
import re
import shlex
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.chart.chart import ACCOUNT, CHART, MIDDLE, ROOT, Object, helm, kinds, one, refused, render
from tools import chart_readme

GUIDE = (ROOT / "tests" / "guides" / "guide-as-given.md").read_text(encoding="utf-8")
VALUES: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
INSTALL = r"^helm install (?:.*\\\n)*.*$"
# What Helm sets in a chart that is another one's dependency, and therefore no value of ours.
RESERVED = {"enabled"}
# What `replies` was called once. The schema lets it pass, so that it is refused with words.
GONE = {"allowResponses"}


def guide_blocks() -> Iterator[tuple[str, Any]]:
    """Yield heading and content of each block of the guide that is values of ours."""
    heading = ""
    for match in re.finditer(r"^#+ (?P<heading>.+)$|^```yaml\n(?P<yaml>(?:.*\n)*?)```$", GUIDE, re.MULTILINE):
        heading = match["heading"] or heading
        if match["yaml"] and set(block := yaml.safe_load(match["yaml"])) <= VALUES.keys():
            yield heading, block


def guide_installs() -> list[list[str]]:
    """Return the arguments of each `helm install` of our chart."""
    return installs_in(GUIDE)


def installs_in(document: str) -> list[list[str]]:
    commands = [one.replace("\\\n", " ") for one in re.findall(INSTALL, document, re.MULTILINE)]
    return [shlex.split(one)[2:] for one in commands if "./helm/" in one]


BLOCKS = list(guide_blocks())


def leaves(values: Any, path: str = "") -> Iterator[tuple[str, object]]:
    if isinstance(values, dict):
        for name, inside in values.items():
            yield from leaves(inside, f"{path}.{name}".lstrip("."))
    else:
        yield path, values


def test_the_guide_has_these_blocks() -> None:
    """The blocks that the tests below take from the guide are all that it has."""
    assert [
        "Helm Values",
        "High Availability",
        "Security",
        "Monitoring",
        "Logging",
        "Custom JWT Validation",
        "TLS Configuration",
    ] == [heading for heading, _ in BLOCKS]


def test_each_value_of_the_guide_has_its_name_and_default() -> None:
    """The guide's values.yaml is the chart's, down to each default.

    The account alone has none, being REQUIRED, and the CPU limit is a whole core: docs/SCALING.md.
    """
    given = dict(leaves(dict(BLOCKS)["Helm Values"]))
    ours = dict(leaves(VALUES))

    differs = {"nats.account": "", "resources.limits.cpu": "1000m"}
    assert given | differs == {path: ours.get(path, "missing") for path in given}


@pytest.mark.parametrize("block", [pytest.param(block, id=heading) for heading, block in BLOCKS])
def test_each_block_of_the_guide_renders(block: Any) -> None:
    """Values that the guide prints are taken as they are."""
    assert "Deployment" in kinds(render(ACCOUNT, "--values=-", stdin=yaml.safe_dump(block)))


@pytest.mark.parametrize("arguments", [pytest.param(one, id=one[0]) for one in guide_installs()])
def test_each_install_of_the_guide_renders(arguments: list[str]) -> None:
    """The guide's `helm install` lines work as written, and their objects have the release's name."""
    name, chart, *rest = arguments
    done = helm("template", name, chart, *rest)
    objects = [one for one in yaml.safe_load_all(done.output) if one]

    expected = name if name == "nats-k8s-oidc-callout" else f"{name}-nats-k8s-oidc-callout"
    assert (0, "") == (done.code, done.errors)
    assert expected == one(objects, "Deployment")["metadata"]["name"] == one(objects, "Service")["metadata"]["name"]


def test_the_guide_installs_three_times() -> None:
    """Quick start and two namespaces: that is what the test above has looked at."""
    assert 3 == len(guide_installs())


def ours_in(schema: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each object of the schema that has names of its own."""
    if "properties" in schema:
        yield path, schema
        for name, inside in schema["properties"].items():
            if isinstance(VALUES_AT.get(f"{path}.{name}".lstrip(".")), dict):
                yield from ours_in(inside, f"{path}.{name}".lstrip("."))


def nodes(values: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    yield path, values
    if isinstance(values, dict):
        for name, inside in values.items():
            yield from nodes(inside, f"{path}.{name}".lstrip("."))


VALUES_AT = dict(nodes(VALUES))


def test_the_schema_knows_every_value_and_no_other() -> None:
    """Whoever misspells a value is told; each level that is ours has exactly the names of values.yaml."""
    for path, schema in ours_in(SCHEMA):
        # What others put below `global` is theirs.
        assert schema.get("additionalProperties", True) is (path == "global"), path
        assert set(VALUES_AT[path]) == set(schema["properties"]) - (RESERVED | GONE if not path else set()), path


def test_the_chart_may_be_a_dependency() -> None:
    """Helm hands the parent's condition, and what others put below `global`, to a chart that is another one's dependency."""
    assert render(ACCOUNT) == render(ACCOUNT, "--set=enabled=true,global.storageClass=x")
    assert "'^" in refused(ACCOUNT, "--set=global.imageRegistry=https://registry.example")


def test_a_misspelt_value_is_refused_with_its_name() -> None:
    """A value that nothing reads would be a promise that nothing keeps."""
    assert "at '/nats/tls': additional properties 'ca' not allowed" in refused(ACCOUNT, "--set=nats.tls.ca=x")


def test_kubernetes_before_125_is_refused() -> None:
    """The chart says from which version of Kubernetes on it works."""
    assert "which is incompatible with Kubernetes v1.24" in refused(ACCOUNT, "--kube-version=1.24.9")
    assert render(ACCOUNT, f"--kube-version=v{MIDDLE}-gke.100")


def test_the_readme_is_up_to_date() -> None:
    """README.md says what values.yaml says: `python -m tools.chart_readme` brings it up to date."""
    document = chart_readme.DOCUMENT.read_text(encoding="utf-8")

    assert chart_readme.updated(document) == document


def test_every_value_is_described() -> None:
    """Each value stands in the README, itself or by the map that it is a part of."""
    described = {value.path for value in chart_readme.described()}

    assert [] == [path for path, _ in leaves(VALUES) if not any(f"{path}.".startswith(f"{one}.") for one in described)]


def test_the_readme_s_install_renders() -> None:
    """The command in the chart's own README works."""
    commands = installs_in(chart_readme.DOCUMENT.read_text(encoding="utf-8"))

    assert [0] == [helm("template", *command).code for command in commands]


def test_versions_are_one() -> None:
    """Chart and image have the version of the program."""
    chart: Object = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    program = re.findall(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)

    assert [chart["version"]] == [chart["appVersion"]] == program
    assert f"image: nats-k8s-oidc-callout:{chart['version']}" in chart["annotations"]["artifacthub.io/images"]


def test_no_key_of_the_values_stands_twice() -> None:
    """YAML takes the last of two equal keys without a word."""

    class Strict(yaml.SafeLoader):
        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
            names = [key.value for key, _ in node.value]
            assert len(set(names)) == len(names), f"a key twice, line {node.start_mark.line + 1}: {names}"
            return super().construct_mapping(node, deep)

    assert yaml.load((CHART / "values.yaml").read_text(encoding="utf-8"), Loader=Strict) == VALUES
