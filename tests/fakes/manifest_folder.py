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


class Heard(ManifestFolder):
    """A folder, its index, and everything that was told."""

    def __init__(self, path: Path) -> None:
        path.mkdir(exist_ok=True)
        self.path = path
        self.index = Index("nats.io/")
        self.errors: list[str] = []
        self.good = 0
        super().__init__(path, self.index, interval_seconds=0.01)

    def _report(self, why: str) -> None:
        if why != self.failing:
            self.errors += [why] if why else []
            self.good += not why
        super()._report(why)

    async def write(self, name: str, text: str | bytes) -> None:
        (self.path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
        await self.poll()

    def names(self) -> set[str]:
        return set(self.index._entries)


def account(name: str, namespace: str = "team") -> str:
    return f"kind: ServiceAccount\nmetadata: {{name: {name}, namespace: {namespace}}}\n"
