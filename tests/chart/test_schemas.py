"""Every object of every case is one that Kubernetes 1.25, 1.31 and 1.37 know, field by field, and so is every custom one."""

import functools
import json
from collections.abc import Iterator, Mapping
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any

import jsonschema  # type: ignore[import-untyped]  # it has no types of its own
import pytest
import yaml
from referencing import Registry, Resource

from tests.chart.chart import (
    ACCOUNT,
    CASES,
    MIDDLE,
    NEWEST,
    OLDEST,
    VERSIONS,
    Object,
    case,
    objects_of,
    one,
    render,
    template_of,
)
from tools import crds

_CUSTOM = "monitoring."


def objects_at(version: str) -> Iterator[tuple[str, Object]]:
    """Yield the case and each object that it renders for this version of Kubernetes, equal ones once.

    What 1.31 gets is what 1.37 gets: a test below sees to it.
    """
    version = NEWEST if version == MIDDLE else version
    seen: dict[str, None] = {}
    for path in CASES:
        for each in objects_of(path, version):
            text = json.dumps(each, sort_keys=True)
            if text not in seen:
                seen[text] = None
                yield path.stem, each


def is_custom(each: Object) -> bool:
    return str(each["apiVersion"]).startswith(_CUSTOM)


@functools.cache
def definitions(version: str) -> tuple[Traversable, Registry[Any]]:
    """Return the strict schemas of one version of Kubernetes.

    They are files of kubernetes-validate, whose own function reads all definitions anew for each object.
    """
    folder = resources.files("kubernetes_validate") / "kubernetes-json-schema" / f"v{version}-local-strict"
    known: Resource[Any] = Resource.from_contents(
        json.loads((folder / "_definitions.json").read_text(encoding="utf-8"))
    )
    return folder, known @ Registry()


@functools.cache
def validator(version: str, api_version: str, kind: str) -> jsonschema.Draft202012Validator:
    folder, known = definitions(version)
    group, _, name_of_version = api_version.rpartition("/")
    name = "-".join(part for part in (kind.lower(), group.partition(".")[0], name_of_version) if part)
    schema: Resource[Any] = Resource.from_contents(json.loads((folder / f"{name}.json").read_text(encoding="utf-8")))
    return jsonschema.Draft202012Validator(schema.contents, registry=schema @ known)


def unknown_to_kubernetes(each: Object, version: str) -> str:
    """Return what is wrong with the object; empty if nothing is."""
    error = jsonschema.exceptions.best_match(validator(version, each["apiVersion"], each["kind"]).iter_errors(each))
    return f"{error.json_path}: {error.message}" if error else ""


def strict(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return a CRD's schema that knows no fields but its own, as the API server prunes the others."""
    made = dict(schema)
    if made.get("x-kubernetes-int-or-string"):
        return {"type": ["integer", "string"]}
    if "properties" in made:
        made["properties"] = {name: strict(inside) for name, inside in made["properties"].items()}
        if not made.get("x-kubernetes-preserve-unknown-fields"):
            made.setdefault("additionalProperties", False)
    for inside in ("items", "additionalProperties"):
        if isinstance(made.get(inside), dict):
            made[inside] = strict(made[inside])
    return made


def schema_of(each: Object) -> dict[str, Any]:
    """Return the schema of a custom object from the file that defines its kind."""
    file = crds.path(each["apiVersion"], each["kind"])
    if file is None:
        pytest.skip("the CRD files are not there (make tools)")
    definition = yaml.load(file.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    version = each["apiVersion"].partition("/")[2]
    versions = {one["name"]: one["schema"]["openAPIV3Schema"] for one in definition["spec"]["versions"]}
    made = strict(versions[version])
    made["properties"]["metadata"] = {"type": "object"}
    return made


@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_knows_every_field(version: str) -> None:
    """No object has a field that this version of Kubernetes does not have, or one of another type."""
    checked = [
        (name, each["kind"], unknown_to_kubernetes(each, version))
        for name, each in objects_at(version)
        if not is_custom(each)
    ]

    assert [] == [found for found in checked if found[-1]]
    assert {"Deployment", "NetworkPolicy", "PodDisruptionBudget", "Role", "Pod"} < {kind for _, kind, _ in checked}


@pytest.mark.parametrize(
    ("version", "there"), [pytest.param(OLDEST, False), pytest.param(MIDDLE, True), pytest.param(NEWEST, True)]
)
def test_a_field_that_came_later_is_left_out_before(version: str, there: bool) -> None:
    """`unhealthyPodEvictionPolicy` is there from the version on that knows it by default."""
    budget = one(render(ACCOUNT, f"--kube-version={version}"), "PodDisruptionBudget")

    assert there == ("unhealthyPodEvictionPolicy" in budget["spec"])


@pytest.mark.parametrize("name", ["openshift", "scoped", "additions"])
def test_the_chart_knows_two_kinds_of_kubernetes(name: str) -> None:
    """From 1.27 on it renders the same, so that what is looked at for 1.37 is what 1.31 gets."""
    assert template_of(case(name), NEWEST) == template_of(case(name), MIDDLE)
    # But for what 1.30 brought.
    newer = ("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding")
    assert [each for each in objects_of(case(name)) if each["kind"] not in newer] == objects_of(case(name), "1.27.0")


def test_a_misspelt_field_is_seen() -> None:
    """The check above is one that finds something."""
    deployment = one(render(ACCOUNT), "Deployment")
    deployment["spec"]["template"]["spec"]["enableServiceLink"] = False

    assert "enableServiceLink" in unknown_to_kubernetes(deployment, NEWEST)


def test_the_definitions_know_every_field_of_custom_objects() -> None:
    """Monitors, rules and PodLogs are what the operators' own definitions say, with no field beyond."""
    found = [each for _, each in objects_at(NEWEST) if is_custom(each)]

    for each in found:
        jsonschema.Draft202012Validator(schema_of(each)).validate(each)
    assert {"PodMonitor", "ServiceMonitor", "PrometheusRule", "PodLogs"} == {each["kind"] for each in found}
    assert {"monitoring.grafana.com/v1alpha1", "monitoring.grafana.com/v1alpha2"} < {
        each["apiVersion"] for each in found
    }


@pytest.mark.parametrize("misspelt", ["pipelineStages", "selektor"])
def test_a_misspelt_field_of_a_custom_object_is_seen(misspelt: str) -> None:
    """`pipelineStages`, which the old Agent knew, is unknown to Alloy's PodLogs, and so is any typing error."""
    logs = one(render(ACCOUNT, "--set=logs.podLogs.enabled=true"), "PodLogs")
    logs["spec"][misspelt] = []

    with pytest.raises(jsonschema.ValidationError, match=misspelt):
        jsonschema.Draft202012Validator(schema_of(logs)).validate(logs)
