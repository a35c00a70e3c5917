"""A reader who has gone through OPERATOR_SETUP.md in both modes, up to what goes into a cluster; shared, since it takes long."""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.guides.blocks import ROOT
from tests.guides.machine import account_of, machine
from tests.guides.walk import Machine, Walk
from tools import build

_CONFIG = ("Config mode: keys", "Config mode: server configuration", "Config mode: sessions")
_OPERATOR = tuple(
    f"Operator mode: {part}" for part in ("operator and accounts", "keys and callout", "server configuration")
)


@dataclass(frozen=True)
class Reader:
    """Where he stands, his machine, and his shell. Files of config mode are called `config-…` if operator mode has them too."""

    folder: Path
    world: Machine
    walk: Walk

    @property
    def target(self) -> str:
        """The key of AUTH_ACCOUNT in operator mode."""
        return self.walk.command("key AUTH_ACCOUNT")[1].strip()

    def variables(self, mode: str) -> dict[str, str]:
        """Return the responder's variables with the keys that the guide has made."""
        signing = str(self.folder / ("config-signing.seed" if mode == "config" else "signing.seed"))
        if mode == "config":
            login = {"NATS_CREDS_FILE": str(self.folder / "auth-service.seed"), "NATS_AUTH_ACCOUNT": "AUTH_SERVICE"}
        else:
            creds = self.folder / "auth-service.creds"
            login = {"NATS_CREDS_FILE": str(creds), "NATS_ACCOUNT_SIGNING_KEY_FILE": signing}
            assert account_of(creds).startswith("A")
        return {"NATS_SIGNING_KEY_FILE": signing, **login}


@pytest.fixture(scope="session")
def reader() -> Iterator[Reader]:
    """The commands of both modes are run once, as the document prints them."""
    with tempfile.TemporaryDirectory(prefix="reader-") as scratch:
        folder = Path(scratch)
        world = machine(folder, {"kubectl": build.path("kubectl")})
        with Walk(ROOT / "docs" / "OPERATOR_SETUP.md", world, folder) as walk:
            walk.run(_CONFIG)
            for name in ("nats-values.yaml", "nats-server.conf", "signing.seed"):
                (folder / name).rename(folder / f"config-{name}")
            walk.run(_OPERATOR)
            # Beside what it was before: only the servers of the session tests have these accounts.
            walk.run(("Operator mode: sessions",))
            walk.command("nsc generate config --mem-resolver --sys-account SYS --config-file sessions-resolver.conf")
            yield Reader(folder, world, walk)
