"""hold and resume: said to all replicas over a real server, with the responder's login, and its answers."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import nats
import pytest
from nats.aio.msg import Msg

from nats_k8s_oidc_callout.app.sessions import replicas
from nats_k8s_oidc_callout.app.sessions.replicas import Replica
from nats_k8s_oidc_callout.core.nats.nkeys import Kind
from nats_k8s_oidc_callout.errors import Unreachable
from nats_k8s_oidc_callout.settings import Settings, load
from tests.cli.desk import Desk
from tests.fakes.nats_modes import Pair
from tests.fakes.nats_world import NatsServer, settled

# `imports` may hear no usual inbox, `login` no other one, `deaf` none, `mute` may say nothing.
CONFIGURATION = """\
authorization { users: [
  { user: imports, password: p, permissions: { publish: "nko.control", subscribe: "_INBOX_sess.>" } }
  { user: login, password: p, permissions: { publish: "nko.control", subscribe: "_INBOX.>" } }
  { user: deaf, password: p, permissions: { publish: "nko.control", subscribe: "nko.control" } }
  { user: mute, password: p, permissions: { publish: "other", subscribe: ">" } }
  { user: replica, password: p } ] }
"""


@pytest.fixture
async def url(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    """Give a server with two replicas, one of which is not what it should be, and something else."""
    monkeypatch.setattr(replicas, "_ANSWER_SECONDS", 0.2)

    async def answer(message: Msg) -> None:
        held = message.data == b"hold"
        for text in ("{", "x" * 1000, json.dumps({"replica": "b", "held": held}), '{"replica": "a", "held": false}'):
            await message.respond(text.encode())

    with NatsServer(CONFIGURATION) as server:
        client = await nats.connect(server.url, user="replica", password="p")
        await client.subscribe("nko.control", cb=answer)
        await settled(client)
        yield server.url
        await client.close()


def settings_of(folder: Path, url: str, user: str) -> Settings:
    seen = Desk.new(folder).variables(SESSION_CONTROL="on", SESSION_RELEASE="ours", NATS_CREDS_FILE="")
    seed = folder / "seed"
    seed.write_text(Pair.new(Kind.ACCOUNT).seed)
    return load({**seen, "NATS_SIGNING_KEY_FILE": str(seed), "NATS_URL": url.replace("//", f"//{user}:p@")})


@pytest.mark.parametrize("user", ["imports", "login"])
async def test_all_that_answer(tmp_path: Path, url: str, user: str) -> None:
    """Whoever answers is told by its name, whichever inbox the login may hear; what is no answer is not."""
    settings = settings_of(tmp_path, url, user)

    assert [Replica("a", held=False), Replica("b", held=True)] == await replicas.tell(settings, "hold")
    assert [Replica("a", held=False), Replica("b", held=False)] == await replicas.tell(settings, "resume")


@pytest.mark.parametrize(
    ("user", "why"),
    [
        ("deaf", "lets us hear no answer: Permissions Violation for Subscription"),
        ("mute", 'Permissions Violation for Publish to "nko.control"'),
        ("nobody", "Authorization Violation"),
    ],
)
async def test_what_is_missing(tmp_path: Path, url: str, user: str, why: str) -> None:
    """The server's own words for the permission that lacks."""
    with pytest.raises(Unreachable, match=why):
        await replicas.tell(settings_of(tmp_path, url, user), "hold")
