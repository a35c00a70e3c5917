"""The encoded grants of the workloads that log in, kept by weight."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from nats_k8s_oidc_callout.core.annotations import PermissionRules, compile_grant
from nats_k8s_oidc_callout.core.model import Refusal
from nats_k8s_oidc_callout.core.user import encode

# Grants are kept by size, not number: a tenant can make one of 130 kB, and must not crowd out memory with it.
CACHE_BYTES = 16 << 20


@dataclass(slots=True)
class Grants:
    """Encoded grants of the workloads that log in, made again only when their annotations changed."""

    rules: PermissionRules
    _kept: dict[tuple[str, str], tuple[Mapping[str, str] | None, bytes]] = field(default_factory=dict)
    size: int = 0
    """What is kept, in bytes."""

    def of(self, namespace: str, name: str, annotations: Mapping[str, str] | None) -> tuple[bytes, tuple[Refusal, ...]]:
        """Return the encoded grant, and what was refused if it had to be made just now."""
        key = namespace, name
        kept = self._kept.get(key)
        if kept is not None and (kept[0] is annotations or kept[0] == annotations):
            return kept[1], ()
        grant = compile_grant(namespace, name, annotations, self.rules)
        encoded = encode(grant.permissions)
        self._keep(key, annotations, encoded)
        return encoded, grant.refused

    def _keep(self, key: tuple[str, str], annotations: Mapping[str, str] | None, encoded: bytes) -> None:
        self._forget(key)
        self._kept[key] = annotations, encoded
        self.size += _size(annotations, encoded)
        while self.size > CACHE_BYTES and len(self._kept) > 1:
            self._forget(next(iter(self._kept)))

    def _forget(self, key: tuple[str, str]) -> None:
        kept = self._kept.pop(key, None)
        if kept is not None:
            self.size -= _size(*kept)


def _size(annotations: Mapping[str, str] | None, encoded: bytes) -> int:
    return len(encoded) + sum(map(len, (annotations or {}).values()))
