"""doctor where nothing or nobody is there, beside others, and as the command that people run."""

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from nats_k8s_oidc_callout import doctor, settings
from nats_k8s_oidc_callout.core.nats.nkeys import Kind
from nats_k8s_oidc_callout.doctor import Status
from tests.e2e import faults, plans
from tests.e2e.clients import ask
from tests.e2e.examinations import beside_a_responder, causes, examined, self_test
from tests.e2e.responder import environment
from tests.e2e.worlds import World, world_of
from tests.fakes.nats_modes import Pair
from tests.fakes.nats_world import free_port, until

pytestmark = pytest.mark.e2e


def test_wrong_key_kind() -> None:
    """
    A user's seed where an account's is wanted is named for what it is, before anything else is tried.
    """
    with world_of("config-creds") as world:
        seed = plans.write_seeds(world.folder / "user.seed", Pair.new(Kind.USER))
        report = examined({**world.environment(), "NATS_SIGNING_KEY_FILE": seed})

    assert ["wrong_key_kind"] == causes(report)
    assert {Status.SKIPPED} == {finding.status for finding in report.findings[1:]}


def test_other_wrong_configuration() -> None:
    """
    Whatever else is wrong with the variables is a line each.
    """
    with world_of("config-creds") as world:
        report = examined({**world.environment(), "PORT": "80a", "LOG_LEVEL": "loud"})

    assert (["configuration"], 2) == (causes(report), sum(f.status is Status.FAIL for f in report.findings))


def test_nats_unreachable() -> None:
    """
    Nobody listens there: that is the cause, and what needs the server is skipped, the cluster's checks are not.
    """
    with world_of("config-creds") as world:
        report = examined({**world.environment(), **self_test(world), "NATS_URL": f"nats://127.0.0.1:{free_port()}"})

    assert ["nats_unreachable"] == causes(report)
    status = {finding.check: finding.status for finding in report.findings}
    assert (Status.SKIPPED, Status.OK) == (status["round trip"], status["self-test token"])


def test_nobody_answers(binary: str) -> None:
    """
    With no responder anywhere, all of the server's side can be proven right, and that nobody answered is the cause.
    """
    with world_of("config-creds", binary) as world:
        report = examined({**world.environment(), **self_test(world), "PORT": str(free_port())})
    status = {finding.check: finding.status for finding in report.findings}

    assert ["no_responder"] == causes(report)
    assert (Status.OK, Status.OK, Status.SKIPPED) == (status["signers"], status["subscription"], status["responder"])


def test_two_releases(binary: str) -> None:
    """
    A second unscoped release on the same callout account answers some of the logins, into its own account.
    """
    with world_of("config-creds", binary) as world:
        world.start_responder(NATS_ACCOUNT="OTHER")
        report = beside_a_responder(world)

    assert ["two_releases"] == causes(report)


@pytest.mark.parametrize(
    ("plan", "cause"),
    [
        pytest.param(faults.other_auth_account, "auth_account_wrong", id="auth-account-wrong"),
        pytest.param(faults.target_is_ours, "target_is_callout_account", id="target-is-the-callout-account"),
    ],
)
def test_account_of_our_own_login(plan: Callable[[Path], plans.Plan], cause: str, binary: str) -> None:
    """
    In config mode a name that does not guard the account we are in is a failure, where the server tells that account.
    """
    with world_of(plan, binary) as world:
        report = beside_a_responder(world)
        tells = not world.version.startswith("2.11.")

    assert (cause in causes(report)) == tells
    assert {finding.check: finding.status for finding in report.findings}["subscription"] is Status.OK


def test_no_error_in_the_servers_log(binary: str) -> None:
    """
    With the permissions that `keys` prints an examination leaves no error; without a token the one refused login.
    """
    with world_of(faults.as_keys_prints, binary) as world:
        running = world.start_responder(**self_test(world))
        env = {**running.env, "PORT": str(running.port)}
        assert examined(env).ok
        with_token = world.server.log()
        assert examined({name: value for name, value in env.items() if name != "SELF_TEST_TOKEN_FILE"}).ok
        without = world.server.log()

    assert "[ERR]" not in with_token
    # 2.11 writes a line of its own beside the one that every version has.
    assert 1 == len(set(re.findall(r"\[ERR\] .*cid:(\d+) - authentication error", without)))
    assert {"authentication error"} == set(re.findall(r"\[ERR\] .*cid:\d+ - (.*?)(?: - .*)?$", without, re.MULTILINE))


def test_creds_of_operator_mode_are_told_in_the_log(binary: str) -> None:
    """
    A refused login in config mode says in one line that the creds, and so perhaps the servers, are of operator mode.

    nats-server 2.11 lets the nkey in as its default sentinel, and refuses the subscription.
    """
    refusals = "nats refused our login", "nats refused our subscription"
    with world_of(faults.name_for_an_operator, binary) as world:
        running = world.start_responder(ready=False)
        asyncio.run(until(lambda: running.events(*refusals)))
        (line,) = running.events(*refusals)

    assert "if the servers are in operator mode, NATS_ACCOUNT must be the public key (A…)" in line["hint"]


def test_metrics_tell_whose_key_signs_and_by_what_replicas_decide(binary: str) -> None:
    """
    Servers that ask for the login's key although another is configured are counted; replicas show one hash, or differ.
    """
    with world_of(faults.separate_key_unused, binary) as world:
        replicas = [world.start_responder(), world.start_responder(), world.start_responder(SESSION_MAX_SECONDS="60")]
        token = world.token()
        for _ in range(6):
            assert asyncio.run(ask(world, **world.fields(token))).let_in
        shown = [running.metrics() for running in replicas]
    hashes = [[name for name in metrics if name.startswith("nats_auth_config_info")] for metrics in shown]

    assert 6 == sum(metrics['nats_auth_requests_by_signer_total{signer="login_instead"}'] for metrics in shown)
    assert 0 == sum(metrics['nats_auth_requests_by_signer_total{signer="separate"}'] for metrics in shown)
    assert hashes[0] == hashes[1] != hashes[2]
    assert 1 == len(hashes[0])


def test_it_takes_no_request_from_anybody(binary: str) -> None:
    """
    While examinations run one after the other, every client that logs in is answered by the one responder.
    """

    async def storm(world: World, stop: asyncio.Event) -> list[str]:
        said = []
        while not stop.is_set():
            said += [raw.said for raw in await asyncio.gather(*(ask(world, **world.fields(token)) for _ in range(8)))]
        return said

    async def both(world: World, found: settings.Settings) -> list[str]:
        stop = asyncio.Event()
        storming = asyncio.create_task(storm(world, stop))
        for _ in range(3):
            assert (await doctor.examine(found)).ok
        stop.set()
        return await storming

    with world_of("config-creds", binary) as world:
        token = world.token()
        running = world.start_responder(**self_test(world))
        env = {name: text for name, text in running.env.items() if name not in ("PATH", "PYTHONPATH")}
        found = settings.load({**env, "PORT": str(running.port)})
        said = asyncio.run(both(world, found))

    assert len(said) > 100
    assert {"PONG"} == set(said)


def run(env: dict[str, str], *arguments: str) -> tuple[int, str]:
    """Run the command as people do; return exit code and output."""
    done = subprocess.run(
        [sys.executable, "-m", "nats_k8s_oidc_callout", "doctor", *arguments],
        env={**environment(env), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "" == done.stderr
    return done.returncode, done.stdout


def test_command_prints_a_line_a_check(binary: str) -> None:
    """
    Where all is well each check is a line, in the order in which things break, and the exit code is 0.
    """
    with world_of("config-creds", binary) as world:
        running = world.start_responder()
        code, text = run({**running.env, **self_test(world), "PORT": str(running.port)})

    assert 0 == code, text
    checks, rest = text.split("\n\n")
    assert [*doctor.ALL] == [line[9:].split("  ")[0] for line in checks.splitlines()]
    assert "13 logins" in checks
    assert re.fullmatch(r"notes on the configuration, none of them a fault: \d \(doctor --notes prints them\)\n", rest)


def test_command_fails_with_a_fix_and_as_json() -> None:
    """
    A failure has a sentence on what to do, exit code 1, and in JSON the same in words that scripts may compare.
    """
    with world_of(faults.not_in_auth_users) as world:
        env = {**world.environment(), **self_test(world)}
        code, text = run(env)
        code_json, out = run(env, "--json")
        _, told = run(env, "--notes")
    found = json.loads(out)

    assert (1, 1) == (code, code_json)
    failing, others, _ = text.split("\n\n")
    assert failing.startswith("FAIL     login")
    assert "FAIL" not in others
    assert others.startswith("ok       configuration")
    assert "cause: auth_users_without_us or login_unknown" in text
    assert "fix: auth_users of the callout must name U" in text
    assert (False, ["auth_users_without_us", "login_unknown"]) == (found["ok"], found["causes"])
    notes = found["checks"][0]["notes"]
    assert notes
    assert notes == [line[6:] for line in told.splitlines() if line.startswith("note: ")]


def test_token_of_a_workload_can_be_tried() -> None:
    """
    --token-file logs in as any workload: its refusal is told by the responder's own rule.
    """
    with world_of("config-creds") as world:
        running = world.start_responder()
        path = world.folder / "theirs"
        path.write_text(world.token(name="nobody"))
        code, text = run({**running.env, "PORT": str(running.port)}, "--token-file", str(path), "--json")

    assert (1, ["token_refused", "refused"]) == (code, json.loads(text)["causes"])
    assert "unknown_service_account" in text


def test_examination_without_a_token(binary: str) -> None:
    """
    Without a self-test token all but the round trip is checked, and the keys too: the question comes all the same.
    """
    with world_of("config-creds", binary) as world:
        running = world.start_responder()
        report = examined({**running.env, "PORT": str(running.port)})
    status = {finding.check: finding.status for finding in report.findings}

    assert report.ok
    assert (Status.OK, Status.SKIPPED) == (status["signers"], status["round trip"])


def test_one_server_of_two_is_down() -> None:
    """
    A server of NATS_URL that is down is told and is no failure, as long as another one answers.
    """
    with world_of("config-creds") as world:
        running = world.start_responder()
        urls = f"nats://127.0.0.1:{free_port()},{running.env['NATS_URL']}"
        report = examined({**running.env, **self_test(world), "PORT": str(running.port), "NATS_URL": urls})

    assert report.ok
    assert [Status.SKIPPED, Status.OK] == [f.status for f in report.findings if f.check == "nats"]
