"""docs/NACK_INTEGRATION.md is walked, and what it says of NACK's login, streams and accounts happens on real servers.

NACK itself is not here: the nats CLI plays its part, with the key or creds that the guide makes for it.
"""

import json
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.cluster import Cluster, ClusterError
from tests.e2e.worlds import BINARIES, PUBLISH, World
from tests.guides import nack_definitions, nats_chart, nats_nodes
from tests.guides.blocks import ROOT, blocks
from tests.guides.conftest import Reader
from tests.guides.walk import Machine, Walk
from tools import build

pytestmark = [pytest.mark.slow, pytest.mark.e2e, pytest.mark.cluster]

DOCUMENT = ROOT / "docs" / "NACK_INTEGRATION.md"
WALKED = ("docs/NACK_INTEGRATION.md",)
# An account of NACK's own, as the guide's last table has it.
OWN = {"jetstream": "enabled"}
EXPORT = {"exports": [{"stream": "my-app.events.>"}]}
IMPORT = {"imports": [{"stream": {"account": "AUTH_ACCOUNT", "subject": "my-app.events.>"}}]}
OWN_IN_NSC = """
nsc add account NACK
nsc edit account --name NACK --js-mem-storage -1 --js-disk-storage -1 --js-streams -1 --js-consumer -1
nsc add user --account NACK --name nack --allow-pub '$JS.API.>' --allow-sub '_INBOX.>'
nsc generate creds --account NACK --name nack > own.creds
with_nack() { sed -f "$1" examples/nats/operator-mode-memory-values.yaml | sed "s|^    resolver_preload:|&\\n      $2|"; }
with_nack fill.sed "$(key NACK): $(jwt NACK)" > apart-values.yaml
nsc add export --account AUTH_ACCOUNT --subject 'my-app.events.>'
nsc add import --account NACK --src-account $(key AUTH_ACCOUNT) --remote-subject 'my-app.events.>'
sed "s#^s|<AUTH-ACCOUNT-JWT>|.*#s|<AUTH-ACCOUNT-JWT>|$(jwt AUTH_ACCOUNT)|#" fill.sed > fill-again.sed
with_nack fill-again.sed "$(key NACK): $(jwt NACK)" > shared-values.yaml
"""


def read(path: Path) -> dict[str, Any]:
    values: dict[str, Any] = yaml.safe_load(path.read_text())
    return values


@pytest.fixture(scope="module")
def made(cluster: Cluster, reader: Reader) -> Path:
    """The folder of a reader who has walked the guide after both modes were set up; the objects are in the API server."""
    cluster.create_namespace("nats-system")
    cluster.kubectl("apply", "--filename=-", stdin=nack_definitions.manifest())
    definitions = [f"crd/{kind.lower()}s.jetstream.nats.io" for kind in nack_definitions.KINDS]
    cluster.kubectl("wait", "--for=condition=Established", *definitions)
    folder = reader.folder
    world = Machine({**reader.world.env, "KUBECONFIG": str(cluster.kubeconfig)})
    with Walk(DOCUMENT, world, folder / "nack", {"NSC_HOME": str(folder / ".walk" / "nsc")}) as walk:
        walk.command(f"cd {folder}")
        walk.run()
    assert 0 == reader.walk.command(OWN_IN_NSC)[0]
    return folder


def world_with(reader: Reader, mode: str, values: Mapping[str, Any], binary: str, folder: Path) -> World:
    """Return the world of these NATS values and a responder with the keys of the guide."""
    path = BINARIES[binary]()
    if path is None:
        pytest.skip(f"nats-server {binary} is not built (make tools)")
    rendered = nats_chart.render(values)
    assert [] == rendered.dropped
    texts = nats_nodes.texts(rendered.config, count=rendered.replicas)
    target = "AUTH_ACCOUNT" if mode == "config" else reader.target
    return World("nack", nats_nodes.plan(texts, target, reader.variables(mode)), folder, str(path))


class Cli:
    """The nats CLI with one login at one server."""

    def __init__(self, url: str, *login: str, timeout: str = "3s") -> None:
        self._command = [str(build.path("nats")), "--server", url, "--timeout", timeout, *login]

    def __call__(self, *arguments: str) -> str:
        done = subprocess.run(
            [*self._command, *arguments],
            check=False,
            capture_output=True,
            text=True,
            timeout=30,
            stdin=subprocess.DEVNULL,
        )
        return done.stdout + done.stderr

    def add(self, stream: Mapping[str, Any], replicas: int) -> None:
        """Make the stream of a manifest, as NACK does."""
        said = self(
            *("stream", "add", stream["name"], "--subjects", ",".join(stream["subjects"]), "--defaults"),
            *("--storage", stream["storage"], "--replicas", str(replicas), "--max-age", stream["maxAge"]),
        )
        assert "was created" in said, said

    def messages(self, stream: str) -> int:
        return int(json.loads(self("stream", "info", stream, "--json"))["state"]["messages"])


def spec(cluster: Cluster, kind: str, name: str) -> dict[str, Any]:
    """Return what the guide's manifest says, as the API server took it."""
    found: dict[str, Any] = cluster.apply(
        "GET", f"/apis/jetstream.nats.io/v1beta2/namespaces/nats-system/{kind}/{name}"
    )
    return dict(found["spec"])


@pytest.mark.parametrize(("mode", "binary"), [("config", "2.11"), ("config", "2.15"), ("operator", "2.15")])
def test_a_user_in_the_target_account(
    mode: str, binary: str, made: Path, reader: Reader, cluster: Cluster, tmp_path: Path
) -> None:
    """
    NACK's stream takes what a workload publishes, and the workload pulls with the guide's annotation, and not without.
    """
    if mode == "config":
        values = nats_chart.over(read(made / "config-nats-values.yaml"), read(made / "nats-nack-values.yaml"))
        login = ("--nkey", str(made / "nack.seed"))
    else:
        values, login = read(made / "nats-values.yaml"), ("--creds", str(made / "nack.creds"))
    stream, consumer = spec(cluster, "streams", "events"), spec(cluster, "consumers", "events-worker")
    account = cluster.apply("GET", "/api/v1/namespaces/my-app/serviceaccounts/worker")
    with world_with(reader, mode, values, binary, tmp_path) as world:
        world.accounts.write("my-app", "worker", {PUBLISH: account["metadata"]["annotations"][PUBLISH]})
        world.accounts.write("my-app", "other")
        world.start_responder()
        nats_nodes.meta_leader(world.servers)
        nack = Cli(world.servers[0].url, *login)
        nack.add(stream, stream["replicas"])
        said = nack(
            *("consumer", "add", consumer["streamName"], consumer["durableName"], "--pull", "--defaults"),
            *("--ack", consumer["ackPolicy"], "--deliver", consumer["deliverPolicy"]),
        )
        assert "Information for Consumer" in said, said
        worker = Cli(world.client_url, "--token", world.token("my-app", "worker"))
        other = Cli(world.client_url, "--token", world.token("my-app", "other"), timeout="1s")
        other("pub", "my-app.events.placed", "one")
        kept = nack.messages("EVENTS")
        pulled = worker("consumer", "next", "EVENTS", "worker", "--raw")
        not_pulled = other("consumer", "next", "EVENTS", "worker", "--raw")
        not_nack = nack("pub", "my-app.events.forged", "two")

    assert (1, "one") == (kept, pulled.strip()), pulled
    assert "one" not in not_pulled.split()
    assert "Permissions Violation" in not_nack


def test_config_mode_without_auth_users_refuses_nack(made: Path, reader: Reader, tmp_path: Path) -> None:
    """
    A user of the server's file who is not in auth_users is delegated, and has no token.
    """
    values = nats_chart.over(read(made / "config-nats-values.yaml"), read(made / "nats-nack-values.yaml"))
    values["config"]["merge"]["authorization"]["auth_callout"]["auth_users"].pop()
    values["config"]["cluster"]["enabled"] = False
    with world_with(reader, "config", values, "2.15", tmp_path) as world:
        responder = world.start_responder()
        said = Cli(world.client_url, "--nkey", str(made / "nack.seed"))("stream", "ls")
        denied = responder.denials("no_token")

    assert ("Authorization Violation" in said, True) == (True, denied >= 1)


@pytest.mark.parametrize(("shared", "messages"), [(False, 0), (True, 1)], ids=["apart", "exported and imported"])
@pytest.mark.parametrize("mode", ["config", "operator"])
def test_an_account_of_its_own(
    mode: str, shared: bool, messages: int, made: Path, reader: Reader, cluster: Cluster, tmp_path: Path
) -> None:
    """
    NACK's stream in another account stays empty, until the subjects are exported and imported.
    """
    if mode == "config":
        values, own = read(made / "config-nats-values.yaml"), dict(OWN)
        nack_user = read(made / "nats-nack-values.yaml")["config"]["merge"]
        accounts = {
            "NACK": own | {"users": nack_user["accounts"]["AUTH_ACCOUNT"]["users"]} | (IMPORT if shared else {})
        }
        accounts |= {"AUTH_ACCOUNT": EXPORT} if shared else {}
        values = nats_chart.over(values, {"config": {"merge": nack_user | {"accounts": accounts}}})
        login = ("--nkey", str(made / "nack.seed"))
    else:
        values = read(made / ("shared-values.yaml" if shared else "apart-values.yaml"))
        login = ("--creds", str(made / "own.creds"))
    values["config"]["cluster"]["enabled"] = False
    with world_with(reader, mode, values, "2.15", tmp_path) as world:
        world.accounts.write("my-app", "worker")
        world.start_responder()
        nack = Cli(world.client_url, *login)
        nack.add(spec(cluster, "streams", "events"), 1)
        said = Cli(world.client_url, "--token", world.token("my-app", "worker"))("pub", "my-app.events.x", "one")
        kept = nack.messages("EVENTS")

    assert ("Published" in said, messages) == (True, kept), said


def test_the_account_object_has_the_fields_of_the_guide(made: Path, cluster: Cluster) -> None:
    """
    The Account of the guide, in both its forms, is accepted; a key that the Go service's guide has is refused.
    """
    text = (made / "nack-account.yaml").read_text()
    one = yaml.safe_load(text)
    by_creds = {**one, "spec": {**one["spec"], "creds": {"secret": {"name": "nats-nack-creds"}, "file": "nack.creds"}}}
    wrong = {**one, "spec": {"creds": {"secret": {"name": "nats-nack-creds"}, "key": "nack.creds"}}}
    check = ("apply", "--dry-run=server", "--validate=strict", "--filename=-")
    cluster.kubectl(*check, stdin=text)
    cluster.kubectl(*check, stdin=yaml.safe_dump(by_creds))

    with pytest.raises(ClusterError, match="unknown field"):
        cluster.kubectl(*check, stdin=yaml.safe_dump(wrong))


def test_values_for_nack_are_values_of_its_chart() -> None:
    """
    Every value that the guide gives NACK's chart is one that it reads.
    """
    files = [block for block in blocks(DOCUMENT) if block.options.get("path", "").endswith("-values.yaml")]

    assert 2 == len(files)
    for block in files:
        assert set(_paths(yaml.safe_load(block.text))) <= nack_definitions.CHART_VALUES


def test_the_guide_names_the_commands_that_are_tried() -> None:
    """
    What the last table says in words is what the tests above do.
    """
    text = DOCUMENT.read_text()

    assert "nsc add export --account AUTH_ACCOUNT --subject 'my-app.events.>'" in text
    assert (
        "nsc add import --account NACK --src-account <key of AUTH_ACCOUNT> --remote-subject 'my-app.events.>'" in text
    )


def _paths(values: Mapping[str, Any], path: str = "") -> Iterator[str]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _paths(value, f"{path}{name}.")
        else:
            yield f"{path}{name}"
