"""Who is turned away before any rule is asked: stolen tokens, and workloads of an incident."""

from collections.abc import Iterable
from dataclasses import dataclass

from nats_k8s_oidc_callout.core.model import Workload


@dataclass(frozen=True, slots=True)
class Revocation:
    """One entry of `revoked`. All that it names must hold; it names at least one of the first three."""

    jti: str = ""
    uid: str = ""
    workload: str = ""
    """`namespace/name`."""
    issued_before: float | None = None
    """Unix seconds: only tokens whose `iat` is earlier."""
    reason: str = ""
    """For people."""
    until: float | None = None
    """Unix seconds: the entry holds for nobody from then on."""


class Revoked:
    """The entries, found by whichever of the three each names."""

    def __init__(self, entries: Iterable[Revocation] = ()) -> None:
        self.entries = tuple(entries)
        self._found: dict[tuple[str, str], list[Revocation]] = {}
        for entry in self.entries:
            key = ("jti", entry.jti) if entry.jti else ("uid", entry.uid) if entry.uid else ("", entry.workload)
            self._found.setdefault(key, []).append(entry)

    def __bool__(self) -> bool:
        return bool(self.entries)

    def entry_for(self, workload: Workload, issued: float, now: float) -> Revocation | None:
        """Return an entry that holds for a token of this workload, issued then (Unix seconds)."""
        found = self._found
        candidates = (
            *found.get(("jti", workload.jti), ()),
            *found.get(("uid", workload.uid), ()),
            *found.get(("", str(workload)), ()),
        )
        return next((entry for entry in candidates if _holds(entry, workload, issued, now)), None)


def _holds(entry: Revocation, workload: Workload, issued: float, now: float) -> bool:
    return (
        entry.jti in ("", workload.jti)
        and entry.uid in ("", workload.uid)
        and entry.workload in ("", str(workload))
        and (entry.issued_before is None or issued < entry.issued_before)
        and (entry.until is None or now < entry.until)
    )
