"""Which client hosts send almost nothing but logins that are refused, so that the others are served first.

A host may be a proxy that all clients share: nobody is refused for the host, only asked to wait behind the rest.
"""

from dataclasses import dataclass

# A rollout with one wrong audience makes some dozen refusals; a flood makes this many in a blink.
SUSPECT_AFTER = 50
# A proxy with one good login in fifty is not a flood: its good clients must not pay for the rest.
SUSPECT_SHARE = 0.98
HALF_LIFE_SECONDS = 10.0
# More hosts than that in a flood are a botnet, against which no list by host helps; 1 MB at the most.
HOSTS_MAX = 4096
# Addresses have 45 at the most; whoever forges longer ones is welcome to share.
_CHARACTERS = 64


@dataclass(slots=True)
class _Tally:
    denied: float
    allowed: float
    at: float

    def fade(self, monotonic: float) -> None:
        """Let what happened count half as much after each half-life."""
        halves = (monotonic - self.at) / HALF_LIFE_SECONDS
        if halves > 0.1:
            self.denied *= 0.5**halves
            self.allowed *= 0.5**halves
            self.at = monotonic


class Hosts:
    """Recent refusals and logins by client host, of the hosts that had a refusal."""

    def __init__(self, size: int = HOSTS_MAX) -> None:
        self._size = size
        self._tallies: dict[str, _Tally] = {}

    def __len__(self) -> int:
        return len(self._tallies)

    def record(self, host: str, allowed: bool, monotonic: float) -> None:
        """Count one login from a host, let in or refused."""
        host = host[:_CHARACTERS]
        tally = self._tallies.get(host)
        if tally is None:
            # Nearly all hosts are never refused, and need no memory.
            if allowed:
                return
            if len(self._tallies) >= self._size:
                del self._tallies[next(iter(self._tallies))]
            tally = self._tallies[host] = _Tally(0.0, 0.0, monotonic)
        tally.fade(monotonic)
        if allowed:
            tally.allowed += 1
        else:
            tally.denied += 1

    def is_suspect(self, host: str, monotonic: float) -> bool:
        """Say whether a host has lately sent many logins, and almost none that was let in."""
        tally = self._tallies.get(host[:_CHARACTERS])
        if tally is None or tally.denied < SUSPECT_AFTER:
            return False
        tally.fade(monotonic)
        return tally.denied >= SUSPECT_AFTER and tally.denied >= SUSPECT_SHARE * (tally.denied + tally.allowed)
