"""The image's bill of materials: Python, every wheel with its hash, every Debian package. CycloneDX 1.6, as JSON.

Nothing in it comes from a clock or from chance: the same packages give the same bytes. Only the standard library.
"""

import datetime
import json
import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

Component = dict[str, Any]
_LONGEST_LICENSE = 100


def bill(
    package: str,
    reports: Sequence[Mapping[str, Any]],
    licenses: Mapping[str, str],
    debian: tuple[str, str],
    python: str,
    epoch: int,
) -> str:
    """Return the document for an image that holds what these reports of pip say, `package` being the image's own.

    `licenses` are the expressions in the installed metadata, which older pips do not report; `debian` is dpkg's status
    and the release, such as `debian-12`.
    """
    wheels = {component["name"]: component for report in reports for component in _wheels(report, licenses)}
    own = wheels.pop(package)
    components = [
        {
            "type": "platform",
            "bom-ref": f"pkg:generic/python@{python}",
            "name": "python",
            "version": python,
            "purl": f"pkg:generic/python@{python}",
            "licenses": [{"license": {"id": "PSF-2.0"}}],
        },
        *(wheels[name] for name in sorted(wheels)),
        *sorted(_debian_packages(*debian), key=lambda component: str(component["bom-ref"])),
    ]
    content = {
        "metadata": {
            "timestamp": datetime.datetime.fromtimestamp(epoch, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "component": own | {"type": "application"},
        },
        "components": components,
        "dependencies": [
            {"ref": own["bom-ref"], "dependsOn": sorted(component["bom-ref"] for component in components)}
        ],
    }
    number = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(content, sort_keys=True))
    head = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{number}",
        "version": 1,
    }
    return json.dumps(head | content, indent=1, ensure_ascii=False) + "\n"


def normal(name: str) -> str:
    """Return the name of a distribution as an index spells it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _wheels(report: Mapping[str, Any], licenses: Mapping[str, str]) -> Iterator[Component]:
    """Yield what pip installed; where from is left out, since that is the builder's business."""
    for installed in report["install"]:
        metadata = installed["metadata"]
        name, version = normal(metadata["name"]), metadata["version"]
        purl = f"pkg:pypi/{name}@{quote(version)}"
        component = {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}
        digest = installed["download_info"]["archive_info"]["hashes"]["sha256"]
        yield (
            component
            | {"hashes": [{"alg": "SHA-256", "content": digest}]}
            | _licenses(metadata, licenses.get(name, ""))
        )


def _licenses(metadata: Mapping[str, Any], expression: str) -> Component:
    if expression:
        return {"licenses": [{"expression": expression}]}
    classified = [
        entry.rpartition(" :: ")[2] for entry in metadata.get("classifier", ()) if entry.startswith("License :: ")
    ]
    named = metadata.get("license") or ""
    # Some put the whole text of their licence there.
    names = classified or ([named] if named and "\n" not in named and len(named) <= _LONGEST_LICENSE else [])
    return {"licenses": [{"license": {"name": name}} for name in names]} if names else {}


def _debian_packages(status: str, release: str) -> Iterator[Component]:
    """Yield the installed packages of a dpkg status file."""
    for paragraph in status.split("\n\n"):
        fields = dict(re.findall(r"^([A-Z][\w-]*): (.*)$", paragraph, re.MULTILINE))
        if fields.get("Status") != "install ok installed":
            continue
        name, version, architecture = fields["Package"], fields["Version"], fields["Architecture"]
        purl = f"pkg:deb/debian/{quote(name, safe='')}@{quote(version, safe='')}?arch={architecture}&distro={release}"
        yield {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}
