"""A watched folder of manifests, and everything it told."""

from pathlib import Path

from nats_k8s_oidc_callout.adapters.manifests import ManifestFolder
from nats_k8s_oidc_callout.core.kubernetes.serviceaccounts import Index

APP = """
apiVersion: v1
kind: ServiceAccount
metadata:
  name: app
  namespace: team
  uid: u1
  annotations:
    nats.io/allowed-pub-subjects: a.>
    other: x
"""


class Heard:
    """A folder, its index, and everything that was told."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.path.mkdir(exist_ok=True)
        self.index = Index("nats.io/")
        self.errors: list[str] = []
        self.good = 0
        self.synced = 0
        self.folder = ManifestFolder(
            path,
            self.index,
            interval_seconds=0.01,
            on_error=self.errors.append,
            on_good=self._count_good,
            on_synced=self._count_synced,
        )

    def _count_good(self) -> None:
        self.good += 1

    def _count_synced(self) -> None:
        self.synced += 1

    async def write(self, name: str, text: str | bytes) -> None:
        (self.path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
        await self.folder.poll()

    def names(self) -> set[str]:
        return set(self.index._entries)


def account(name: str, namespace: str = "team") -> str:
    return f"kind: ServiceAccount\nmetadata: {{name: {name}, namespace: {namespace}}}\n"
