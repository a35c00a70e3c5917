"""What a program of tests/clients/stock said: one line for each thing that happened to one of its connections."""

from collections.abc import Sequence
from dataclasses import dataclass

from tests.clients.workloads import Workload
from tests.fakes.stalls import silence


@dataclass(frozen=True)
class Line:
    """One line that a program said: when (Unix seconds), which of its connections, what, and the rest."""

    at: float
    number: int
    what: str
    rest: str


@dataclass(frozen=True)
class Heard:
    """What one workload said from its first connection on."""

    name: str
    lines: Sequence[Line]

    @classmethod
    def of(cls, workload: Workload) -> "Heard":
        """Read what it has said so far."""
        lines = []
        for text in workload.log().splitlines():
            at, number, what, rest = [*text.split(" ", 3), "", "", ""][:4]
            if at.replace(".", "").isdigit() and number.isdigit():
                lines.append(Line(float(at), int(number), what, rest))
        return cls(workload.name, lines)

    def times(self, what: str, number: int) -> list[float]:
        return [line.at for line in self.lines if (line.what, line.number) == (what, number)]

    @property
    def connections(self) -> int:
        return sum(line.what == "connected" for line in self.lines)

    def reconnects(self, number: int = 0) -> int:
        return len(self.times("disconnected", number))

    @property
    def fewest_reconnects(self) -> int:
        return min((self.reconnects(number) for number in range(self.connections)), default=0)

    @property
    def closed(self) -> list[float]:
        return [line.at for line in self.lines if line.what == "closed"]

    def gaps(self) -> list[float]:
        """Return how long nothing was heard around each end of a session (seconds), of all its connections.

        Without what it cost that the machine stood still.
        """
        found = []
        for number in range(self.connections):
            heard = self.times("core", number)
            for ended in self.times("disconnected", number):
                before = max((at for at in heard if at <= ended), default=ended)
                after = min((at for at in heard if at > ended), default=None)
                if after is not None:
                    found.append(silence(before, after))
        return found

    def numbers(self, what: str) -> list[int]:
        return [int(line.rest) for line in self.lines if line.what == what]
