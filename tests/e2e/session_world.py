"""Replicas that look after sessions, each with files of its own, and pods whose connections come back at once."""

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.e2e.clients import Raw, connected
from tests.e2e.responder import ResponderProcess
from tests.e2e.worlds import Accounts, World

RELEASE = "ours"
RULES = """\
version: 1
accounts: [OTHER]
rules:
{first}  - {{name: everybody, match: {{}}, annotations: {{publish: [">"], subscribe: [">"]}}}}
revoked:
{revoked}"""
NOBODY = "  - {workload: nobody/nobody, reason: a list may not be empty}\n"


def policy(first: str = "", revoked: str = NOBODY) -> str:
    """Return a policy that lets everybody have what it asks for; `first` is a rule before that."""
    return RULES.format(first=f"  - {first}\n" if first else "", revoked=revoked)


@dataclass
class Replica:
    """A responder, the ServiceAccounts as it sees them, and its policy file."""

    process: ResponderProcess
    accounts: Accounts
    policy: Path

    @property
    def metrics(self) -> Mapping[str, float]:
        return self.process.metrics()

    def kicks(self, reason: str = "", result: str = "") -> float:
        """Return how many sessions it has kicked for a reason, with a result."""
        return sum(
            value
            for name, value in self.metrics.items()
            if name.startswith("nats_auth_session_kicks_total{")
            and f'reason="{reason}' in name
            and f'result="{result}' in name
        )


@dataclass
class Release:
    """A world's replicas of one release; each sits on a node of its own."""

    world: World
    variables: Mapping[str, str] = field(default_factory=dict)
    replicas: list[Replica] = field(default_factory=list)
    _numbers: "itertools.count[int]" = field(default_factory=itertools.count)

    def prepare(self) -> Replica:
        """Return a replica that is not started: with a copy of the last one's files."""
        number = next(self._numbers)
        folder = self.world.folder / f"replica-{self.variables.get('SESSION_RELEASE', RELEASE)}-{number}"
        accounts, file = Accounts(folder / "accounts"), folder / "policy.yaml"
        accounts.folder.mkdir(parents=True)
        last = self.replicas[-1].policy.parent if self.replicas else None
        file.write_text((last / "policy.yaml").read_text() if last else policy())
        for one in (last / "accounts").iterdir() if last else ():
            (accounts.folder / one.name).write_bytes(one.read_bytes())
        env = self.world.environment() | {
            "NATS_URL": self.world.servers[number % len(self.world.servers)].url,
            "SERVICE_ACCOUNTS_DIR": str(accounts.folder),
            "POLICY_FILE": str(file),
            "SESSION_CONTROL": "on",
            "SESSION_RELEASE": RELEASE,
            "SESSION_SUBJECTS": "nko",
            **self.variables,
        }
        made = Replica(ResponderProcess(env, name=f"sessions-{number}"), accounts, file)
        self.replicas.append(made)
        self.world.responders.append(made.process)
        return made

    async def start(self, *, ready: bool = True) -> Replica:
        """Start one more."""
        one = self.prepare()
        one.process.start()
        if ready:
            await asyncio.to_thread(one.process.wait_ready)
        return one

    def kill(self, number: int = 0) -> Replica:
        """End one as a crash does, and forget it."""
        one = self.replicas.pop(number)
        one.process.kill()
        return one

    def end(self) -> None:
        for one in self.replicas:
            if one.process.running:
                one.process.kill()

    def write(self, namespace: str, name: str, annotations: Mapping[str, str] | None = None, uid: str = "") -> None:
        """Create or change a ServiceAccount for all replicas at once."""
        for one in self.replicas:
            one.accounts.write(namespace, name, annotations, uid)


def remove(accounts: Accounts, namespace: str, name: str) -> None:
    (accounts.folder / f"{namespace}.{name}.yaml").unlink()


@dataclass
class Pod:
    """Connections of one workload, spread over the nodes."""

    came: list[list[float]]
    """When each was let in, over and over."""
    ended: list[list[float]]
    refused: int = 0
    said: set[str] = field(default_factory=set)
    """What servers said at an end."""

    @property
    def live(self) -> int:
        return sum(len(came) > len(ended) for came, ended in zip(self.came, self.ended, strict=True))

    @property
    def most_reconnects(self) -> int:
        return max(len(came) for came in self.came) - 1

    @property
    def fewest_reconnects(self) -> int:
        return min(len(came) for came in self.came) - 1

    def last_end(self) -> float:
        return max(itertools.chain.from_iterable(self.ended), default=0.0)

    def ends_since(self, moment: float) -> int:
        """Return how often the connection that ended most often has ended since."""
        return max(sum(at >= moment for at in ended) for ended in self.ended)


@asynccontextmanager
async def pod(
    world: World,
    token: Callable[[], str],
    *,
    connections: int = 3,
    fields: Mapping[str, Any] | None = None,
    back: bool = True,
) -> AsyncIterator[Pod]:
    """Log in with what `token` returns (or exactly `fields`), again at each end unless not `back`, until the block ends."""
    one = Pod([[] for _ in range(connections)], [[] for _ in range(connections)])

    async def live(number: int) -> None:
        url = world.servers[number % len(world.servers)].url
        while back or not one.came[number]:
            login = world.fields(token()) if fields is None else fields
            pause = 0.3
            with contextlib.suppress(OSError):
                async with connected(world, url, **login) as raw:
                    if raw.let_in:
                        await _stay(one, number, raw)
                        pause = 0.05
                    elif raw.turned_away:
                        one.refused += 1
            await asyncio.sleep(pause)

    tasks = [asyncio.create_task(live(number), name=f"connection {number}") for number in range(connections)]
    try:
        yield one
    finally:
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [] == [result for result in results if isinstance(result, Exception)]


async def _stay(one: Pod, number: int, raw: Raw) -> None:
    one.came[number].append(time.time())
    while line := await raw.line(3600):
        one.said.add(line)
    one.ended[number].append(time.time())


def shown(world: World) -> list[dict[str, Any]]:
    """Return all live connections of all nodes."""
    return [connection for server in world.servers for connection in server.connz()]
