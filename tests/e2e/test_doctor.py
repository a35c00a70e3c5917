"""doctor sees what is true: each way in which it observes NATS, with real servers and beside real responders.

What it makes of that is a table in tests/test_doctor.py.
"""

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nats_k8s_oidc_callout import doctor, settings
from nats_k8s_oidc_callout.doctor import Report, Status
from tests.e2e import faults, plans
from tests.e2e.clients import ask
from tests.e2e.examinations import beside_a_responder, causes, examined, self_test
from tests.e2e.responder import environment
from tests.e2e.worlds import BINARIES, World, world_of
from tests.fakes.nats_world import free_port, until
from tests.side_by_side import side_by_side

pytestmark = pytest.mark.e2e

Setting = Callable[[Path], plans.Plan]
SEEN = [
    # Requests that we can open; a sentinel of our own; a certificate that the server wants; the queue group alone.
    pytest.param(plans.config_xkey, [], id="sealed"),
    pytest.param(faults.good_sentinel, [], id="operator-with-a-sentinel"),
    pytest.param(plans.tls, [], id="tls"),
    pytest.param(faults.queue_only, [], id="permission-for-the-queue-group-alone"),
    # Refusals: in the handshake, after it, at once, and of a subscription.
    pytest.param(faults.other_ca, ["nats_tls_ca_wrong"], id="tls-ca-wrong"),
    pytest.param(faults.no_certificate, ["nats_tls_refused"], id="tls-client-certificate-missing"),
    pytest.param(faults.wrong_password, ["login_refused"], id="login-refused"),
    pytest.param(faults.reversed_permissions, ["permissions_reversed"], id="permissions-reversed"),
    # Requests: none and refused at once, none and timed out, some that we cannot open; an answer that is lost.
    pytest.param(faults.callout_off, ["callout_not_enabled", "callout_account_unknown"], id="callout-not-enabled"),
    pytest.param(faults.callout_account_another, ["callout_account_misspelt"], id="callout-account-misspelt"),
    pytest.param(faults.sealed_for_another, ["xkey_of_another"], id="xkey-of-another"),
    pytest.param(faults.answers_refused, ["answers_not_let_through"], id="answers-not-let-through"),
    # The server's complaint, and a server that waits for longer than we do.
    pytest.param(faults.not_allowed, ["target_not_allowed"], id="target-not-allowed"),
    pytest.param(faults.timeout_of(4), ["timeout_over_2s"], id="timeout-over-2s"),
]


def one_fault(plan: Setting, binary: str) -> Report:
    with world_of(plan, binary) as world:
        return beside_a_responder(world)


@pytest.fixture(scope="module")
def reports(request: pytest.FixtureRequest) -> Iterator[Callable[[tuple[Setting, str]], Report]]:
    """Say what doctor finds in a world."""
    yield from side_by_side(
        request,
        test_what_is_there_is_seen.__name__,
        lambda params: (params["plan"], str(BINARIES[params["binary"]]())),
        lambda case: one_fault(*case),
        at_once=3,
    )


@pytest.mark.parametrize(("plan", "expected"), SEEN)
def test_what_is_there_is_seen(
    plan: Setting, expected: list[str], binary: str, reports: Callable[[tuple[Setting, str]], Report]
) -> None:
    """
    Beside a running responder, exactly the causes of this one fault are named, and none where nothing is wrong.
    """
    report = reports((plan, binary))

    assert expected == causes(report), report
    assert bool(expected) != report.ok


def status(report: Report) -> dict[str, Status]:
    return {finding.check: finding.status for finding in report.findings}


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


@pytest.fixture(scope="module")
def good(binary: str) -> Iterator[World]:
    """A world where nothing is wrong, and no responder until a test starts it."""
    with world_of("config-creds", binary) as world:
        yield world


@pytest.fixture(scope="module")
def env(good: World) -> dict[str, str]:
    """The variables of the responder that runs in the good world."""
    running = good.start_responder(**self_test(good))
    return {**running.env, "PORT": str(running.port)}


def test_nobody_answers(good: World) -> None:
    """
    With no responder anywhere, all of the server's side can be proven right, and that nobody answered is the cause.
    """
    seen = examined({**good.environment(), **self_test(good), "PORT": str(free_port())})

    assert ["no_responder"] == causes(seen)
    assert {"signers": Status.OK, "responder": Status.SKIPPED}.items() <= status(seen).items()


def test_command_prints_a_line_a_check(good: World, env: dict[str, str]) -> None:
    """
    Where all is well each check is a line, in the order in which things break, and the exit code is 0. From 2.12 on a
    server tells the account of our own login.
    """
    code, text = run(env)

    assert 0 == code, text
    checks, rest = text.split("\n\n")
    # That of sessions is there with session control only.
    assert [one for one in doctor.ALL if one != "sessions"] == [line[9:].split("  ")[0] for line in checks.splitlines()]
    assert "13 logins" in checks
    assert ("in account AUTH" in checks) != good.version.startswith("2.11.")
    assert re.fullmatch(r"notes on the configuration, none of them a fault: \d \(doctor --notes prints them\)\n", rest)


def test_token_of_a_workload_can_be_tried(good: World, env: dict[str, str]) -> None:
    """
    --token-file logs in as any workload: its refusal is told by the responder's own rule.
    """
    path = good.folder / "theirs"
    path.write_text(good.token(name="nobody"))
    code, text = run(env, "--token-file", str(path), "--json")

    assert (1, ["token_refused", "refused"]) == (code, json.loads(text)["causes"])
    assert "unknown_service_account" in text


def test_examination_without_a_token(env: dict[str, str]) -> None:
    """
    Without a self-test token all but the round trip is checked, and the signers too: the question comes all the same.
    """
    seen = examined({name: value for name, value in env.items() if name != "SELF_TEST_TOKEN_FILE"})

    assert seen.ok
    assert {"signers": Status.OK, "round trip": Status.SKIPPED}.items() <= status(seen).items()


def test_one_server_of_two_is_down(env: dict[str, str]) -> None:
    """
    A server of NATS_URL that is down is told and is no failure, as long as another one answers.
    """
    seen = examined({**env, "NATS_URL": f"nats://127.0.0.1:{free_port()},{env['NATS_URL']}"})

    assert seen.ok
    assert [Status.SKIPPED, Status.OK] == [found.status for found in seen.findings if found.check == "nats"]


def test_it_takes_no_request_from_anybody(good: World, env: dict[str, str]) -> None:
    """
    While examinations run one after the other, every client that logs in is answered by the one responder.
    """
    fields = good.fields(good.token())

    async def storm(stop: asyncio.Event) -> list[str]:
        said = []
        while not stop.is_set():
            said += [raw.said for raw in await asyncio.gather(*(ask(good, **fields) for _ in range(8)))]
        return said

    async def both(found: settings.Settings) -> list[str]:
        stop = asyncio.Event()
        storming = asyncio.create_task(storm(stop))
        for _ in range(3):
            assert (await doctor.examine(found)).ok
        stop.set()
        return await storming

    names = {name: text for name, text in env.items() if name not in ("PATH", "PYTHONPATH")}
    said = asyncio.run(both(settings.load(names)))

    assert len(said) > 100
    assert {"PONG"} == set(said)


def test_two_releases(binary: str) -> None:
    """
    A second unscoped release on the same callout account answers some of the logins, into its own account.
    """
    with world_of("config-creds", binary) as world:
        world.start_responder(NATS_ACCOUNT="OTHER")
        assert ["two_releases"] == causes(beside_a_responder(world))


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


def test_creds_of_operator_mode_are_told_apart(binary: str) -> None:
    """
    In config mode, before servers in operator mode: the log says in one line what may be behind the refusal, and doctor,
    which tries the creds the other way, that it is so.

    nats-server 2.11 lets the nkey in as its default sentinel, and refuses the subscription.
    """
    refusals = "nats refused our login", "nats refused our subscription"
    with world_of(faults.name_for_an_operator, binary) as world:
        running = world.start_responder(ready=False)
        asyncio.run(until(lambda: running.events(*refusals)))
        (line,) = running.events(*refusals)
        seen = examined({**running.env, "PORT": str(running.port)})

    assert "if the servers are in operator mode, NATS_ACCOUNT must be the public key (A…)" in line["hint"]
    assert ["mode_wrong"] == causes(seen)


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
        seen = examined({**replicas[0].env, "PORT": str(replicas[0].port)})
    hashes = [[name for name in metrics if name.startswith("nats_auth_config_info")] for metrics in shown]

    assert 6 == sum(metrics['nats_auth_requests_by_signer_total{signer="login_instead"}'] for metrics in shown)
    assert 0 == sum(metrics['nats_auth_requests_by_signer_total{signer="separate"}'] for metrics in shown)
    assert hashes[0] == hashes[1] != hashes[2]
    assert 1 == len(hashes[0])
    assert ["login_still_signs"] == causes(seen)


def test_command_fails_with_a_fix_and_as_json(binary: str) -> None:
    """
    A failure has a sentence on what to do, exit code 1, and in JSON the same in words that scripts may compare.

    Here the server asks the callout about our own login, and refuses it when its time is over.
    """
    with world_of(faults.not_in_auth_users, binary) as world:
        env = {**world.environment(), **self_test(world)}
        code, text = run(env, "--notes")
        code_json, out = run(env, "--json")
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
    assert notes == [line[6:] for line in text.splitlines() if line.startswith("note: ")]
