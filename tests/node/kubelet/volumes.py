"""A Pod's volumes as folders: written as the kubelet writes them, and swapped as a whole when their source changes."""

import base64
import os
import shutil
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.node.kubelet.api import Object
from tests.node.kubelet.downward import field_of

_OWNER_ONLY = 0o600
_REFRESH_AT = 0.8
"""Of its lifetime a projected token is replaced after this part, as the kubelet does it."""


class NotThere(Exception):
    """A volume cannot be made yet; the text is what a FailedMount event says."""


@dataclass(frozen=True)
class Item:
    """One file of a volume."""

    content: bytes
    mode: int


@dataclass
class Token:
    """A projected token, and when it is to be replaced."""

    text: bytes
    refresh_at: float


Find = Callable[[str, str, str], Awaitable[Object | None]]
"""(configmaps or secrets, namespace, name) → the object."""
Issue = Callable[[Object, str | None, int], Awaitable[str]]
"""(pod, audience, seconds) → a token bound to the Pod."""


@dataclass
class Volumes:
    """All volumes of one Pod, below `folder`."""

    folder: Path
    claims: Path
    find: Find
    issue: Issue
    tokens: dict[tuple[str, str], Token] = field(default_factory=dict)

    def place(self, name: str) -> Path:
        return self.folder / name

    async def write(self, pod: Object) -> None:
        """Make every volume that is missing, and bring every other up to date; raise NotThere."""
        security = pod["spec"].get("securityContext") or {}
        for volume in pod["spec"].get("volumes", []):
            name = volume["name"]
            if "emptyDir" in volume:
                self._empty(self.place(name), security.get("fsGroup"))
            elif "persistentVolumeClaim" in volume:
                claim = volume["persistentVolumeClaim"]["claimName"]
                kept = self.claims / pod["metadata"]["namespace"] / claim
                self._empty(kept, security.get("fsGroup"))
                if not self.place(name).is_symlink():
                    self.folder.mkdir(parents=True, exist_ok=True)
                    self.place(name).symlink_to(kept)
            else:
                files = await self._files(pod, volume)
                owner = _owner(pod) if "projected" in volume else None
                swap(self.place(name), files, security.get("fsGroup"), owner)

    def forget_tokens(self) -> None:
        """Let the next `write` ask for new tokens, as it does when they get old."""
        self.tokens.clear()

    def _empty(self, place: Path, group: int | None) -> None:
        if not place.exists():
            place.mkdir(parents=True)
            place.chmod(0o777)
            if group is not None:
                os.chown(place, -1, group)
                place.chmod(0o2777)

    async def _files(self, pod: Object, volume: Mapping[str, Any]) -> dict[str, Item]:
        if "secret" in volume:
            source = {**volume["secret"], "name": volume["secret"]["secretName"]}
            return await self._of_object(pod, "secrets", source, source.get("defaultMode", 0o644))
        if "configMap" in volume:
            return await self._of_object(
                pod, "configmaps", volume["configMap"], volume["configMap"].get("defaultMode", 0o644)
            )
        if "downwardAPI" in volume:
            return _of_fields(pod, volume["downwardAPI"], volume["downwardAPI"].get("defaultMode", 0o644))
        if "projected" in volume:
            return await self._projected(pod, volume["name"], volume["projected"])
        raise NotThere(f'volume "{volume["name"]}": {", ".join(set(volume) - {"name"})} cannot be had on this node')

    async def _projected(self, pod: Object, name: str, projected: Mapping[str, Any]) -> dict[str, Item]:
        mode = projected.get("defaultMode", 0o644)
        files: dict[str, Item] = {}
        for source in projected.get("sources", []):
            if "secret" in source:
                files |= await self._of_object(pod, "secrets", source["secret"], mode)
            elif "configMap" in source:
                files |= await self._of_object(pod, "configmaps", source["configMap"], mode)
            elif "downwardAPI" in source:
                files |= _of_fields(pod, source["downwardAPI"], mode)
            elif "serviceAccountToken" in source:
                wanted = source["serviceAccountToken"]
                # Readable by its user alone where the Pod says who that is, as the kubelet has it.
                private = _owner(pod) is not None or "fsGroup" in (pod["spec"].get("securityContext") or {})
                token = await self._token(pod, name, wanted)
                files[wanted["path"]] = Item(token, _OWNER_ONLY if private else mode)
        return files

    async def _token(self, pod: Object, volume: str, wanted: Mapping[str, Any]) -> bytes:
        key, seconds = (volume, wanted["path"]), wanted.get("expirationSeconds", 3600)
        known = self.tokens.get(key)
        if known is None or time.time() >= known.refresh_at:
            text = (await self.issue(pod, wanted.get("audience"), seconds)).encode()
            known = self.tokens[key] = Token(text, time.time() + seconds * _REFRESH_AT)
        return known.text

    async def _of_object(self, pod: Object, kind: str, source: Mapping[str, Any], mode: int) -> dict[str, Item]:
        found = await self.find(kind, pod["metadata"]["namespace"], source["name"])
        word = kind.removesuffix("s")
        if found is None:
            if source.get("optional"):
                return {}
            raise NotThere(f'{word} "{source["name"]}" not found')
        data = contents(found, kind)
        if not source.get("items"):
            return {name: Item(content, mode) for name, content in data.items()}
        files = {}
        for item in source["items"]:
            if item["key"] in data:
                files[item["path"]] = Item(data[item["key"]], item.get("mode", mode))
            elif not source.get("optional"):
                raise NotThere(f"references non-existent {word} key: {item['key']}")
        return files


def contents(found: Object, kind: str) -> dict[str, bytes]:
    """Return what a Secret or ConfigMap holds, by key."""
    binary = found.get("data" if kind == "secrets" else "binaryData") or {}
    data = {name: base64.b64decode(text) for name, text in binary.items()}
    if kind == "configmaps":
        data |= {name: text.encode() for name, text in (found.get("data") or {}).items()}
    return data


def swap(place: Path, files: Mapping[str, Item], group: int | None, owner: int | None) -> None:
    """Make the folder hold exactly these files, all at once: the names are links through `..data`, which is renamed."""
    current = place / "..data"
    if current.exists() and _read(current) == {name: item.content for name, item in files.items()}:
        return
    version = place / f"..{uuid.uuid4().hex}"
    version.mkdir(parents=True)
    place.chmod(0o777)
    version.chmod(0o755)
    for name, item in files.items():
        file = version / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(item.content)
        # A group that may read is given to files that would shut it out.
        file.chmod(item.mode | (0o440 if group is not None else 0))
        os.chown(file, owner if owner is not None else 0, group if group is not None else 0)
    old = current.resolve() if current.exists() else None
    fresh = place / "..data_tmp"
    fresh.symlink_to(version.name)
    fresh.replace(current)
    tops = {name.split("/")[0] for name in files}
    for link in place.iterdir():
        if not link.name.startswith("..") and link.name not in tops:
            link.unlink()
    for top in tops:
        if not (place / top).is_symlink():
            (place / top).symlink_to(f"..data/{top}")
    if old is not None:
        shutil.rmtree(old, ignore_errors=True)


def _read(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def _of_fields(pod: Object, source: Mapping[str, Any], mode: int) -> dict[str, Item]:
    return {
        item["path"]: Item(field_of(pod, item["fieldRef"]["fieldPath"]).encode(), item.get("mode", mode))
        for item in source.get("items", [])
    }


def _owner(pod: Object) -> int | None:
    """Return the uid that all containers run as, where the Pod names exactly one."""
    spec = pod["spec"]
    default = (spec.get("securityContext") or {}).get("runAsUser")
    users = {(one.get("securityContext") or {}).get("runAsUser", default) for one in spec["containers"]}
    return next(iter(users)) if len(users) == 1 else None
