"""The Python examples as a reader runs them, FastStream, and MQTT, against the responder."""

import asyncio
import shutil
import sys
import venv
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import nats
import nats.errors
import paho.mqtt.client as mqtt
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

from nats_k8s_oidc_callout import frameworks
from nats_k8s_oidc_callout.client import inbox_prefix
from tests.clients import builds
from tests.clients.connections import Box, TokenFile
from tests.clients.workloads import NAMESPACE, TokenFolder, Workload
from tests.clients.world import kick, plan, stranger
from tests.e2e.plans import Plan
from tests.e2e.worlds import World, world_of
from tests.fakes.nats_modes import PASSWORD
from tests.fakes.nats_world import NatsServer, free_port, until

pytestmark = pytest.mark.e2e

SESSION_SECONDS = 2
LINE = "outlive_sessions()\n"


MQTT_PORT, LEAF_PORT = free_port(), free_port()


def with_all(folder: Path) -> Plan:
    made = plan(folder)
    more = f"mqtt {{ listen: 127.0.0.1:{MQTT_PORT} }}\nleafnodes {{ listen: 127.0.0.1:{LEAF_PORT} }}\n"
    return replace(made, texts=[f"{made.texts[0]}server_name: n1\n{more}"])


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with world_of(with_all) as running:
        for name in ("web", "copied", "service", "mortal", "device"):
            running.accounts.write(NAMESPACE, name, uid=f"{name}-uid")
        running.accounts.write("elsewhere", "device", uid="other-uid")
        running.start_responder(SESSION_MAX_SECONDS=str(SESSION_SECONDS))
        yield running


@pytest.fixture
async def observer(world: World) -> AsyncIterator[Client]:
    client = await stranger(world, "observer")
    yield client
    await client.close()


def with_nats_py_alone(folder: Path) -> Path:
    """Return a Python that has nats-py and nothing else, as after `pip install -r requirements.txt`."""
    venv.create(folder, with_pip=False, symlinks=True)
    target = next(folder.glob("lib/python*/site-packages"))
    for installed in Path(nats.__file__).parents[1].glob("nats*"):
        if installed.name == "nats" or installed.name.startswith("nats_py-"):
            (target / installed.name).symlink_to(installed)
    return folder / "bin" / "python"


async def test_the_example_runs_as_copied(world: World, observer: Client, tmp_path: Path) -> None:
    """
    In a folder of its own, with what its requirements.txt installs, it goes on through the ends of its sessions.
    """
    requirements = (builds.EXAMPLES / "python" / "requirements.txt").read_text().splitlines()
    assert [f"nats-py=={version('nats-py')}"] == requirements
    copied = tmp_path / "copied"
    shutil.copytree(builds.EXAMPLES / "python", copied, ignore=shutil.ignore_patterns("__pycache__"))
    python = with_nats_py_alone(tmp_path / "venv")
    tokens = TokenFolder(tmp_path / "tokens")
    tokens.write(world.token(NAMESPACE, "copied", uid="copied-uid"))
    environment = {"PYTHONPATH": ""}
    with Workload("copied", [str(python), str(copied / "main.py")], world.client_url, tokens, environment) as example:
        await until(lambda: sessions(world, "copied"), 10, "a first session")
        first = sessions(world, "copied")
        await until(lambda: sessions(world, "copied") not in ([], first), SESSION_SECONDS + 20)
        await until(lambda: example.echoes >= 3, 10)
        code, _ = example.stop()

        assert (0, "") == (code, "".join(line for line in example.log().splitlines() if "Traceback" in line))


def app(folder: Path, *, mortal: bool = False) -> list[str]:
    """Return what starts the example from a folder that holds it and the one file it needs."""
    folder.mkdir()
    source = (builds.EXAMPLES / "python" / "faststream_app.py").read_text()
    assert source.count(LINE) == 1
    (folder / "faststream_app.py").write_text(source.replace(LINE, "") if mortal else source)
    shutil.copy(frameworks.__file__, folder)
    return [sys.executable, str(folder / "faststream_app.py")]


def sessions(world: World, name: str) -> list[int]:
    return [one["cid"] for one in world.server.connz() if one.get("name") == f"{NAMESPACE}/{name}"]


async def echo(observer: Client, name: str) -> None:
    """Return once the service answers."""

    async def answered() -> bool:
        try:
            return (await observer.request(f"{NAMESPACE}.echo.{name}", b"hello", timeout=0.3)).data == b"hello"
        except nats.errors.Error:
            return False

    async with asyncio.timeout(10):
        while not await answered():
            await asyncio.sleep(0.05)


async def test_faststream_outlives_its_sessions(world: World, observer: Client, tmp_path: Path) -> None:
    """
    The example answers after a kick, after the end of a session, and with a token that was rotated since; without its
    one line it is alive as a process after the first session, and never heard of again.
    """
    tokens = TokenFolder(tmp_path / "tokens"), TokenFolder(tmp_path / "mortal-tokens")
    for folder, name in zip(tokens, ("service", "mortal"), strict=True):
        folder.write(world.token(NAMESPACE, name, uid=f"{name}-uid"))
    system = await stranger(world, "system")
    server = str(world.server.monitor("varz")["server_id"])
    with (
        Workload("service", app(tmp_path / "app"), world.client_url, tokens[0]) as service,
        Workload("mortal", app(tmp_path / "without", mortal=True), world.client_url, tokens[1]) as mortal,
    ):
        await asyncio.gather(echo(observer, "service"), echo(observer, "mortal"))
        first = sessions(world, "service")
        await kick(system, server, first[0])
        await until(lambda: sessions(world, "service") not in ([], first))
        second = sessions(world, "service")
        await echo(observer, "service")
        tokens[0].write(world.token(NAMESPACE, "service", uid="service-uid"))
        await until(lambda: sessions(world, "service") not in ([], second), SESSION_SECONDS + 20)
        await echo(observer, "service")
        await until(lambda: not sessions(world, "mortal"), SESSION_SECONDS + 20)
        with pytest.raises(nats.errors.NoRespondersError):
            await observer.request(f"{NAMESPACE}.echo.mortal", b"hello", timeout=5)

        assert mortal.running, mortal.log()
        assert (0, True) == (service.stop()[0], True), service.log()
    await system.close()


async def test_nats_py_itself_comes_back(world: World, tokens: TokenFile, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    With the options that a framework hands on, a client of nats-py closes at the end of its session, and comes back once
    `outlive_sessions` was called: subscriptions and the private inbox with it.
    """
    tokens.write(world.token(NAMESPACE, "web", uid="web-uid"))

    async def quiet(_: Exception) -> None:
        return

    async def answer(message: Msg) -> None:
        await message.respond(message.data)

    closed = asyncio.Event()

    async def tell() -> None:
        closed.set()

    async def connected() -> Client:
        return await nats.connect(
            world.client_url,
            token=frameworks.token_from(tokens.path),
            inbox_prefix=inbox_prefix(NAMESPACE, "web"),
            max_reconnect_attempts=-1,
            reconnect_time_wait=0.1,
            error_cb=quiet,
            closed_cb=tell,
        )

    mortal = await connected()
    await until(lambda: mortal.is_closed, SESSION_SECONDS + 20)
    await closed.wait()  # so a process may end by it, where it cannot be mended
    monkeypatch.setattr(Client, "_process_err", Client._process_err)  # and back to it afterwards
    frameworks.outlive_sessions()
    client, box = await connected(), Box()
    await client.subscribe("shop.a", cb=box.put)
    await client.subscribe("shop.echo.web", cb=answer)
    await until(lambda: client.stats["reconnects"] >= 2, 2 * SESSION_SECONDS + 20)
    await until(lambda: client.is_connected)
    await client.publish("shop.a", b"after two sessions")
    await box.holds("after two sessions")

    assert b"hello" == (await client.request("shop.echo.web", b"hello", timeout=2)).data
    await client.close()


async def test_mqtt_outlives_its_sessions(world: World, observer: Client, tmp_path: Path) -> None:
    """
    The MQTT example counts and hears orders before and after the end of a session, with a token that was rotated.
    """
    tokens = TokenFolder(tmp_path / "tokens")
    tokens.write(world.token(NAMESPACE, "device", uid="device-uid"))
    numbers = Box()
    await observer.subscribe(f"{NAMESPACE}.numbers.device", cb=numbers.put)
    command = [sys.executable, str(builds.EXAMPLES / "mqtt" / "main.py")]
    where = {"MQTT_URL": f"mqtt://127.0.0.1:{MQTT_PORT}"}
    with Workload("device", command, world.client_url, tokens, where) as device:
        for session in (1, 2, 3):
            await connected_again(device, session)
            numbers.texts.clear()
            await until(lambda: numbers.texts, 5)
            await ordered(observer, device, session)
            tokens.write(world.token(NAMESPACE, "device", uid="device-uid"))
        code, _ = device.stop()

    assert (0, 0) == (code, device.log().count("refused"))


async def connected_again(device: Workload, times: int) -> None:
    await until(lambda: device.log().count("connected\n") >= times, 15, device.log())


async def ordered(observer: Client, device: Workload, number: int) -> None:
    """Return once the device has heard this order; its subscription is there a moment after `connected`."""
    async with asyncio.timeout(10):
        while f"order {number}\n" not in device.log():
            await observer.publish(f"{NAMESPACE}.orders.device", b"%d" % number)
            await asyncio.sleep(0.1)


async def test_another_tenant_with_an_mqtt_client_id_ends_a_session_and_reads_nothing(world: World) -> None:
    """
    Not stopped: client ids are the account's. Who takes another's ends that connection, and gets its session; but the
    server holds that to the permissions of who asks, so that none of its messages comes along.
    """
    mine, theirs = Device(world, NAMESPACE, "device-uid"), Device(world, "elsewhere", "other-uid")
    await mine.connect()
    granted = await mine.subscribe("shop/+/#"), await mine.subscribe("shop/secret")
    # "shop/#" is also the level above, `shop`, and nobody has that.
    refused = await mine.subscribe("shop/#"), await mine.subscribe("elsewhere/x")
    await theirs.connect()
    await until(lambda: mine.ended, 5)
    sender = Device(world, NAMESPACE, "device-uid", client_id="sender")
    await sender.connect()
    sender.client.publish("shop/secret", "secret", qos=1)
    await until(lambda: sender.acknowledged, 5)
    # Acknowledged like the other one: MQTT 3.1.1 has no word for a publish that is not permitted.
    sender.client.publish("elsewhere/x", "forged", qos=1)
    await until(lambda: sender.acknowledged == 2, 5)
    for device in (mine, theirs, sender):
        device.client.disconnect()
        device.client.loop_stop()

    assert ([False, False], [True, True]) == ([*granted], [*refused])
    assert ([], True) == (theirs.heard, theirs.session_present)


class Device:
    """A bare MQTT client that does not come back."""

    def __init__(self, world: World, namespace: str, uid: str, client_id: str = "theirs-and-mine") -> None:
        self.client = mqtt.Client(
            CallbackAPIVersion.VERSION2, client_id, clean_session=False, reconnect_on_failure=False
        )
        self.client.username_pw_set("any", world.token(namespace, "device", uid=uid))
        self.heard: list[bytes] = []
        self.answers: list[bool] = []
        self.session_present: bool | None = None
        self.ended, self.acknowledged = False, 0
        self.client.on_connect = self._connected
        self.client.on_disconnect = self._gone
        self.client.on_publish = self._published
        self.client.on_subscribe = self._subscribed
        self.client.on_message = lambda _, __, message: self.heard.append(bytes(message.payload))

    async def connect(self) -> None:
        self.client.connect("127.0.0.1", MQTT_PORT)
        self.client.loop_start()
        await until(lambda: self.session_present is not None, 5)

    async def subscribe(self, topic: str) -> bool:
        """Return whether it was refused."""
        before = len(self.answers)
        self.client.subscribe(topic, qos=1)
        await until(lambda: len(self.answers) > before, 5)
        return self.answers[-1]

    def _connected(self, _: object, __: object, flags: mqtt.ConnectFlags, *___: object) -> None:
        self.session_present = flags.session_present

    def _gone(self, *_: object) -> None:
        self.ended = True

    def _published(self, *_: object) -> None:
        self.acknowledged += 1

    def _subscribed(self, _: object, __: object, ___: int, reasons: list[ReasonCode], ____: object) -> None:
        self.answers.append(reasons[0].is_failure)


async def test_a_leaf_wants_a_user(world: World) -> None:
    """
    A leaf that logs in with a token is cut off at the end of each session; one with a user in `auth_users` stays, and
    the responder is not asked about it.
    """
    token = world.token(NAMESPACE, "web", uid="web-uid")
    with _leaf("with-token", token) as mortal, _leaf("with-user", f"observer:{PASSWORD}") as lasting:
        await until(lambda: mortal.monitor("leafz")["leafs"], 10)
        await until(lambda: lasting.monitor("leafz")["leafs"], 10)
        await until(lambda: "Leafnode connection closed" in mortal.log(), SESSION_SECONDS + 20)

        assert "Leafnode connection closed" not in lasting.log()
        assert lasting.monitor("leafz")["leafs"]
    asked = {line.get("connection") for line in world.responder.decisions(event="allowed")}
    assert ("with-token" in asked, "with-user" in asked) == (True, False)


def _leaf(name: str, login: str) -> NatsServer:
    remote = f"nats-leaf://{login}@127.0.0.1:{LEAF_PORT}"
    return NatsServer(f'server_name: {name}\nleafnodes {{ remotes: [ {{ url: "{remote}" }} ] }}\n')


def test_a_token_file_that_is_empty_is_a_failed_login(tokens: TokenFile) -> None:
    """
    nats-py tries again later: it takes a ConnectionError for a server that could not be reached.
    """
    tokens.write(b" \n")
    with pytest.raises(ConnectionError, match="is empty"):
        frameworks.token_from(tokens.path)()
