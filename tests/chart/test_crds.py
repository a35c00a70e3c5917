"""The CRD files are those of the pinned modules, or there are none."""

import shutil
from pathlib import Path

import pytest

from tools import crds


@pytest.fixture
def pins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the pins with an empty cache beside it, and no network: what Go has fetched once must do."""
    if shutil.which("go") is None or not all(file.is_file() for file in crds.files()):
        pytest.skip("the CRD files are not there (make tools)")
    copy = tmp_path / "crds"
    shutil.copytree(Path(crds.__file__).parent / "crds", copy)
    monkeypatch.setattr(crds, "_HERE", copy)
    monkeypatch.setenv("NATS_CALLOUT_TOOLS", str(tmp_path / "cache"))
    monkeypatch.setenv("GOPROXY", "off")
    return copy


def fetched() -> list[Path]:
    try:
        return crds.fetch()
    except crds.FetchFailed as failure:
        if "module lookup disabled" in str(failure):
            pytest.skip("Go's own module cache was emptied, and this test does not fetch anew")
        raise


def test_every_kind_of_the_chart_has_a_file(pins: Path) -> None:
    """All files come from the modules in Go's cache, and each defines what it is there for."""
    assert crds.files() == fetched()
    assert all("kind: CustomResourceDefinition" in file.read_text(encoding="utf-8") for file in crds.files())
    assert crds.path("monitoring.grafana.com/v1alpha2", "PodLogs") in crds.files()


def test_a_module_with_another_checksum_is_refused(pins: Path) -> None:
    """Whatever a proxy hands over, it is what was pinned or nothing."""
    sums = (pins / "go.sum").read_text(encoding="utf-8")
    assert "h1:F8k8" in sums
    (pins / "go.sum").write_text(sums.replace("h1:F8k8", "h1:F8k9"), encoding="utf-8")

    with pytest.raises(crds.FetchFailed, match="checksum mismatch"):
        fetched()
    assert not any(file.is_file() for file in crds.files())


def test_another_pin_is_another_folder(pins: Path) -> None:
    """An old file is never served for a new pin."""
    before = crds.folder()
    with (pins / "go.mod").open("a", encoding="utf-8") as file:
        file.write("// changed\n")

    assert before != crds.folder()
