"""The chart as a package: what lint says, what the archive holds, and what an upgrade may not change."""

import tarfile
from pathlib import Path

import pytest

from tests.chart.chart import (
    ACCOUNT,
    CASES,
    CHART,
    NAMESPACE,
    RELEASE,
    case,
    helm,
    objects_of,
    one,
    release_of,
    render,
    template,
)
from tools.chart_readme import version

# The immutable parts of what is installed already: a change here is a broken `helm upgrade` for everybody.
IMMUTABLE_SELECTOR = {
    "app.kubernetes.io/name": "nats-k8s-oidc-callout",
    "app.kubernetes.io/instance": "nats-k8s-oidc-callout",
}


def test_lint_has_nothing_to_say() -> None:
    """`helm lint --strict` finds no error and no warning."""
    done = helm("lint", "--strict", CHART, ACCOUNT)

    assert 0 == done.code, done.output
    assert [] == [line for line in done.output.splitlines() if line.startswith(("[WARNING]", "[ERROR]"))]


@pytest.mark.parametrize("name", ["operator-mode", "production", "scoped"])
def test_lint_has_nothing_to_say_to_cases_that_render_more(name: str) -> None:
    """Nor where everything that is optional is there."""
    done = helm("lint", "--strict", CHART, f"--values={case(name)}")

    assert 0 == done.code, done.output


def is_the_guide_s(case: Path) -> bool:
    return release_of(case) == (RELEASE, NAMESPACE)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The chart as `helm package` makes it."""
    folder = tmp_path_factory.mktemp("package")
    done = helm("package", CHART, f"--destination={folder}")
    assert 0 == done.code, done.errors
    return folder / f"nats-k8s-oidc-callout-{version()}.tgz"


def test_the_package_renders_what_the_folder_renders(package: Path) -> None:
    """Nothing that the chart needs is left out of the archive, not even the files of rules and dashboard."""
    values = f"--values={case('production')}"
    done = helm("template", RELEASE, package, f"--namespace={NAMESPACE}", values)

    assert template(values) == done.output


def test_the_package_holds_what_is_used_and_nothing_else(package: Path) -> None:
    """Every file of the archive is one of the chart's, and no editor's or test's file is among them."""
    with tarfile.open(package) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    root = {name for name in names if "/" not in name}

    assert {"Chart.yaml", "values.yaml", "values.schema.json", "README.md", ".helmignore"} == root
    assert {"files", "templates"} == {name.partition("/")[0] for name in names - root}
    assert {"files/rules.yaml", "files/dashboard.json", "files/admission.yaml"} == {
        name for name in names if name.startswith("files/")
    }


@pytest.mark.parametrize("values", [pytest.param(path, id=path.stem) for path in CASES if is_the_guide_s(path)])
def test_no_value_changes_the_selector_or_a_name(values: Path) -> None:
    """An upgrade with other values upgrades the same objects; only the four values about names say otherwise."""
    objects = objects_of(values)
    deployment = one(objects, "Deployment")

    assert (RELEASE, IMMUTABLE_SELECTOR) == (
        deployment["metadata"]["name"],
        deployment["spec"]["selector"]["matchLabels"],
    )
    assert RELEASE == one(objects, "Service")["metadata"]["name"]


def test_a_role_that_is_bound_keeps_its_name() -> None:
    """A roleRef cannot be changed either, so the names of roles are for ever, too."""
    binding = one(render(ACCOUNT), "ClusterRoleBinding", "nats-auth:nats-k8s-oidc-callout")

    assert "nats-auth:nats-k8s-oidc-callout" == binding["roleRef"]["name"]
