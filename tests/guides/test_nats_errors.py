"""What docs/OPERATOR_SETUP.md says goes wrong does go wrong, with those words: each row on real servers."""

import subprocess
import time
from pathlib import Path

import pytest
import yaml

from tests.e2e.clients import ask
from tests.e2e.cluster import Cluster, ClusterError
from tests.e2e.plans import seed_as_creds, write_creds
from tests.e2e.worlds import BINARIES, world_of
from tests.fakes.nats_modes import AS_IN_THE_GUIDE, config_mode, operator_mode
from tests.fakes.nats_world import NatsServer, knock
from tests.fakes.nats_world import until as wait_until
from tests.guides import nats_chart, nats_nodes
from tests.guides.blocks import ROOT
from tools import build

pytestmark = [pytest.mark.slow, pytest.mark.e2e]

EXAMPLES = ROOT / "examples" / "nats"
MODE = config_mode()
OPERATOR = operator_mode()
GUIDE_VALUES = {
    "config": {
        "resolver": {
            "enabled": True,
            "operator": "/etc/nats-config/operator/operator.jwt",
            "systemAccount": "SYS",
            "store": {"dir": "/etc/nats-config/jwt", "size": "10Mi"},
        }
    }
}


@pytest.fixture(params=["2.11", "2.15"])
def binary(request: pytest.FixtureRequest) -> str:
    path = BINARIES[request.param]()
    if path is None:
        pytest.skip(f"nats-server {request.param} is not built (make tools)")
    return str(path)


def nats(*arguments: str) -> str:
    """Return what the nats CLI says, whether it succeeds or not."""
    program = build.path("nats")
    if program is None:
        pytest.skip("the nats CLI is not built (make tools)")
    done = subprocess.run([program, *arguments], check=False, capture_output=True, text=True, timeout=20)
    return done.stdout + done.stderr


def _line(text: str, member: str) -> str:
    return next(line for line in text.splitlines() if line.startswith(member))


NO_START = {
    "issuer is a user key": (
        MODE.text.replace(MODE.issuer.public, MODE.responder.public),
        "Expected callout user to be a valid public account nkey",
    ),
    "auth_callout in operator mode": (
        OPERATOR.text.replace(
            "authorization { timeout: 1.5 }",
            f"authorization {{ auth_callout {{ issuer: {OPERATOR.auth.public}, auth_users: [ x ] }} }}",
        ),
        "operators do not allow authorization callouts to be configured directly",
    ),
    "the system account's name in operator mode": (
        OPERATOR.text.replace(_line(OPERATOR.text, "system_account"), "system_account: SYS"),
        "will only fetch valid account keys",
    ),
    "operator is a path that is not there": (
        OPERATOR.text.replace(_line(OPERATOR.text, "operator"), "operator: /etc/nats-config/operator/operator.jwt"),
        "no such file or directory",
    ),
    "operator is a file with null in it": (
        OPERATOR.text.replace(_line(OPERATOR.text, "operator"), "operator: @NULL@"),
        "expected 3 chunks",
    ),
    "the guide's resolver values": (
        nats_nodes.texts(nats_chart.render(GUIDE_VALUES).config)[0],
        "error parsing account resolver",
    ),
    "a password that is a number": (
        MODE.text.replace('password: "pass-word"', "password: $CALLOUT_PASSWORD"),
        "interface {} is int64, not string",
    ),
}


@pytest.mark.parametrize("name", NO_START)
def test_server_does_not_start(name: str, binary: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """
    The server ends before it listens, and says why.
    """
    text, said = NO_START[name]
    monkeypatch.setenv("CALLOUT_PASSWORD", "12345")
    null = tmp_path / "operator.jwt"
    null.write_text("null\n")

    with NatsServer(text.replace("@NULL@", str(null)), binary=binary, started=False) as server:
        with pytest.raises(RuntimeError, match="did not start") as ended:
            server.start()
        assert said in str(ended.value)


def test_checking_the_file_does_not_find_the_callout_in_operator_mode(binary: str, tmp_path: Path) -> None:
    """
    `nats-server -t` calls a file valid that no server starts with.
    """
    file = tmp_path / "nats.conf"
    file.write_text(NO_START["auth_callout in operator mode"][0])
    done = subprocess.run([binary, "-t", "-c", str(file)], check=False, capture_output=True, text=True)

    assert (0, True) == (done.returncode, "is valid" in done.stdout + done.stderr)


async def test_a_reload_does_not_turn_the_callout_on(binary: str) -> None:
    """
    The server refuses the reload and stays open to everybody.
    """
    with NatsServer("accounts { AUTH {}, APP {}, OTHER {}, SYS {} }\nsystem_account: SYS\n", binary=binary) as server:
        server.reload(MODE.text)
        await wait_until(lambda: "config reload not supported for" in server.log())
        after = await knock(server.url)

    assert after.let_in


async def test_auth_users_that_name_nobody(binary: str) -> None:
    """
    The server starts, and refuses everybody after its time-out, the responder's own login too.
    """
    text = MODE.text.replace(f"{MODE.responder.public}, responder, {MODE.sys_user.public}", "auth-service")
    assert text != MODE.text
    with NatsServer(text, binary=binary) as server:
        client = await knock(server.url, auth_token="token")
        responder = await knock(server.url, 5.0, **{"user": "responder", "pass": "pass-word"})

    assert [("-ERR 'Authorization Violation'", True)] * 2 == [
        (one.said, one.seconds > 1) for one in (client, responder)
    ]


def test_creds_do_not_log_in_in_config_mode(binary: str, tmp_path: Path) -> None:
    """
    A creds file is refused where its nkey alone gets in.
    """
    creds, seed = tmp_path / "responder.creds", tmp_path / "responder.seed"
    write_creds(creds, seed_as_creds(MODE.responder))
    seed.write_text(MODE.responder.seed)
    with NatsServer(MODE.text, binary=binary) as server:
        by_creds = nats("--server", server.url, "--creds", str(creds), "sub", "_INBOX.x", "--count=1", "--wait=200ms")
        by_nkey = nats("--server", server.url, "--nkey", str(seed), "sub", "_INBOX.x", "--count=1", "--wait=200ms")

    assert (True, False) == tuple("Authorization Violation" in said for said in (by_creds, by_nkey))
    assert "Subscribing on _INBOX.x" in by_nkey


def test_the_rights_of_the_guide_are_the_wrong_way_round(binary: str, tmp_path: Path) -> None:
    """
    Whoever may publish on the callout's subject and hear an inbox may not subscribe to the requests.
    """
    mode = config_mode(permissions=AS_IN_THE_GUIDE)
    seed = tmp_path / "responder.seed"
    seed.write_text(mode.responder.seed)
    with NatsServer(mode.text, binary=binary) as server:
        nats("--server", server.url, "--nkey", str(seed), "sub", "$SYS.REQ.USER.AUTH", "--count=1", "--wait=200ms")
        log = server.log()

    assert "Subscription Violation" in log


async def test_no_token_is_refused_once_the_callout_is_on(binary: str) -> None:
    """
    What came in without credentials before, such as nats-box, is refused.
    """
    with world_of("config-creds", binary) as world:
        world.start_responder()
        raw = await ask(world)

    assert "-ERR 'Authorization Violation'" == raw.said


async def test_an_account_name_in_operator_mode_lets_nobody_in(binary: str) -> None:
    """
    With the name of an account, and not its key, the responder takes the servers for config mode.
    """
    with world_of("operator-signing", binary) as world:
        world.start_responder(ready=False, NATS_ACCOUNT="APP", NATS_ACCOUNT_SIGNING_KEY_FILE="")
        deadline = time.monotonic() + 5
        said = ""
        while time.monotonic() < deadline and not said:
            said = (await ask(world, auth_token=world.token())).said

    assert "-ERR 'Authorization Violation'" == said


def test_server_says_nothing_about_the_callout(binary: str) -> None:
    """
    No line of the log tells that the callout is on; /varz does, and operator mode has two lines of its own.
    """
    with NatsServer(MODE.text, binary=binary) as config, NatsServer(OPERATOR.text, binary=binary) as operator:
        logs = config.log() + operator.log()
        required = [one.monitor("varz")["auth_required"] for one in (config, operator)]

    assert [] == [line for line in ("callout enabled", "Operator loaded", "resolver enabled") if line in logs]
    assert ([True, True], True) == (required, "Trusted Operators" in logs)


def test_a_stateful_set_gets_no_second_volume_later(cluster: Cluster) -> None:
    """
    A claim template that an upgrade adds is refused by the API server; the examples add none.
    """
    cluster.create_namespace("nats-errors")

    def manifest(*claims: str) -> str:
        template = {
            "metadata": {"labels": {"app": "nats"}},
            "spec": {"containers": [{"name": "nats", "image": "nats"}]},
        }
        claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
        spec = {
            "serviceName": "nats",
            "selector": {"matchLabels": {"app": "nats"}},
            "template": template,
            "volumeClaimTemplates": [{"metadata": {"name": name}, "spec": claim} for name in claims],
        }
        head = {
            "apiVersion": "apps/v1",
            "kind": "StatefulSet",
            "metadata": {"name": "nats", "namespace": "nats-errors"},
        }
        return yaml.safe_dump({**head, "spec": spec})

    cluster.kubectl("apply", "--filename=-", stdin=manifest("nats-js"))
    with pytest.raises(ClusterError, match="volumeClaimTemplates.*field is immutable"):
        cluster.kubectl("apply", "--filename=-", stdin=manifest("nats-js", "nats-resolver"))
    values = yaml.safe_load((EXAMPLES / "operator-mode-values.yaml").read_text())

    assert values["config"]["resolver"]["pvc"]["enabled"] is False


def test_the_chart_drops_what_the_guide_says_about_the_resolver() -> None:
    """
    The chart knows none of the guide's three, and says nothing.
    """
    assert ["config.resolver.operator", "config.resolver.systemAccount", "config.resolver.store"] == list(
        nats_chart.render(GUIDE_VALUES).dropped
    )
