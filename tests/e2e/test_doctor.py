"""doctor names the cause: each fault made for real, on both ends of the supported servers, and compared exactly."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nats_k8s_oidc_callout import settings
from nats_k8s_oidc_callout.app import doctor
from nats_k8s_oidc_callout.app.doctor import Report, Status
from nats_k8s_oidc_callout.core.nkeys import Kind
from nats_k8s_oidc_callout.errors import ConfigurationError
from tests.e2e import faults, plans
from tests.e2e.clients import ask
from tests.e2e.plans import Plan
from tests.e2e.responder import environment
from tests.e2e.worlds import BINARIES, World, world_of
from tests.fakes.nats_modes import Pair
from tests.fakes.nats_world import free_port
from tests.leaks import SECRETS

pytestmark = pytest.mark.e2e


# Both ends say the same but for one cause, which has a test of its own: the older one is for `make test-all`.
@pytest.fixture(params=[pytest.param("2.11", marks=pytest.mark.slow), "2.15"])
def binary(request: pytest.FixtureRequest) -> str:
    path = BINARIES[request.param]()
    if path is None:
        pytest.skip(f"nats-server {request.param} is not built (make tools)")
    return str(path)


def self_test(world: World) -> dict[str, Any]:
    """Return the variable with a good token."""
    path = world.folder / "self-test.token"
    path.write_text(world.token())
    return {"SELF_TEST_TOKEN_FILE": str(path)}


def examined(env: dict[str, str]) -> Report:
    """Return what doctor finds in this environment."""
    names = {name: value for name, value in environment(env).items() if name not in ("PATH", "PYTHONPATH")}
    try:
        found = settings.load(names)
    except ConfigurationError as error:
        return doctor.misconfigured(error.problems)
    report = asyncio.run(doctor.examine(found))
    assert [] == SECRETS.scan(json.dumps(report.as_json()).encode())
    return report


def causes(report: Report) -> list[str]:
    return [cause.value for cause in report.causes]


def beside_a_responder(world: World, **more: Any) -> Report:
    """Examine with a responder beside us that has the same environment, and came as far as it can."""
    port = str(free_port())
    world.start_responder(ready=False, PORT=port, **{**self_test(world), **more})
    running = world.responders[-1]
    deadline = 40
    while not (running.ready or running.events("not ready yet")) and deadline:
        deadline -= 1
        asyncio.run(asyncio.sleep(0.1))
    asyncio.run(asyncio.sleep(0.3))
    return examined({**running.env, "PORT": port})


FAULTS = [
    # Nothing is wrong
    pytest.param(plans.config_creds, [], id="config"),
    pytest.param(plans.config_xkey, [], id="config-sealed"),
    pytest.param(plans.operator_signing, [], id="operator-sealed"),
    pytest.param(faults.good_sentinel, [], id="operator-with-a-sentinel"),
    pytest.param(plans.tls, [], id="tls"),
    pytest.param(faults.queue_only, [], id="permission-for-the-queue-group-alone"),
    # The way to the server, and in
    pytest.param(faults.other_ca, ["nats_tls_ca_wrong"], id="tls-ca-wrong"),
    pytest.param(faults.no_certificate, ["nats_tls_refused"], id="tls-client-certificate-missing"),
    pytest.param(faults.wrong_password, ["login_refused"], id="login-refused"),
    pytest.param(faults.foreign_creds, ["login_refused"], id="login-refused-by-operator"),
    pytest.param(faults.not_in_auth_users, ["auth_users_without_us", "login_unknown"], id="auth-users-without-us"),
    pytest.param(faults.reversed_permissions, ["permissions_reversed"], id="permissions-reversed"),
    pytest.param(faults.nothing_permitted, ["subscription_refused"], id="nothing-permitted"),
    pytest.param(faults.answers_refused, ["answers_not_let_through"], id="answers-not-let-through"),
    # Whether we are asked, and what
    pytest.param(faults.no_login_wanted, ["callout_not_enabled"], id="no-login-wanted"),
    pytest.param(faults.callout_off, ["callout_not_enabled", "callout_account_unknown"], id="callout-not-enabled"),
    pytest.param(
        faults.callout_account_undefined,
        ["callout_not_enabled", "callout_account_unknown"],
        id="callout-account-misspelt-to-nothing",
    ),
    pytest.param(faults.callout_account_another, ["callout_account_misspelt"], id="callout-account-misspelt"),
    pytest.param(faults.operator_off, ["callout_not_enabled"], id="operator-callout-not-enabled"),
    pytest.param(faults.operator_misspelt, ["callout_account_misspelt"], id="operator-callout-account-misspelt"),
    pytest.param(faults.other_issuer, ["server_issuer_wrong"], id="issuer-in-the-server-file-wrong"),
    pytest.param(faults.xkey_at_server_only, ["xkey_at_server_only"], id="xkey-at-the-server-only"),
    pytest.param(faults.xkey_here_only, ["xkey_at_responder_only"], id="xkey-at-the-responder-only"),
    pytest.param(faults.sealed_for_another, ["xkey_of_another"], id="xkey-of-another"),
    pytest.param(faults.sentinel_missing, ["sentinel_missing"], id="sentinel-missing"),
    pytest.param(faults.sentinel_not_bearer, ["sentinel_not_bearer"], id="sentinel-not-bearer"),
    pytest.param(faults.sentinel_may_read, ["sentinel_not_denied_everything"], id="sentinel-not-denied-everything"),
    pytest.param(
        faults.sentinel_of_another_account,
        ["sentinel_of_another_account", "sentinel_refused"],
        id="sentinel-of-another-account",
    ),
    # What becomes of the answer
    pytest.param(faults.target_unknown, ["target_account_unknown"], id="target-account-unknown"),
    pytest.param(faults.operator_target_unknown, ["target_account_unknown"], id="operator-target-account-unknown"),
    pytest.param(faults.not_allowed, ["target_not_allowed"], id="target-not-allowed"),
    pytest.param(faults.target_key_unknown, ["signing_key_of_another_account"], id="signing-key-of-another-account"),
    pytest.param(faults.operator_derived, ["derived_key_not_in_account"], id="derived-key-not-in-account"),
    pytest.param(faults.scoped, ["scoped_signing_key"], id="scoped-signing-key"),
    # Time
    pytest.param(faults.timeout_of(4), ["timeout_over_2s"], id="timeout-over-2s"),
    pytest.param(faults.timeout_of(0.8), ["timeout_shorter_than_ours"], id="timeout-shorter-than-ours"),
]


@pytest.mark.parametrize(("plan", "expected"), FAULTS)
def test_cause_is_named(plan: Callable[[Path], Plan], expected: list[str], binary: str) -> None:
    """
    Beside a running responder, exactly the causes of this one fault are named, each with what to do about it.
    """
    with world_of(plan, binary) as world:
        report = beside_a_responder(world)

    assert expected == causes(report), report
    assert bool(expected) != report.ok
    assert all(finding.fix for finding in report.findings if finding.causes)


def test_callout_key_of_another_account(binary: str) -> None:
    """
    A response signed by a key that the callout account does not have is refused from 2.12 on; 2.11 lets it in.
    """
    with world_of(faults.callout_key_unknown, binary) as world:
        found = causes(beside_a_responder(world))
        accepted = world.version.startswith("2.11.")

    assert ([] if accepted else ["signing_key_of_another_account"]) == found


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
    assert (Status.OK, Status.OK, Status.SKIPPED) == (status["keys"], status["subscription"], status["responder"])


def test_two_releases(binary: str) -> None:
    """
    A second unscoped release on the same callout account answers some of the logins, into its own account.
    """
    with world_of("config-creds", binary) as world:
        world.start_responder(NATS_ACCOUNT="OTHER")
        report = beside_a_responder(world)

    assert ["two_releases"] == causes(report)


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
    assert [*doctor.ALL] == [line[9:].split("  ")[0] for line in text.splitlines() if line[9] != " "]
    assert "13 logins" in text


def test_command_fails_with_a_fix_and_as_json() -> None:
    """
    A failure has a sentence on what to do, exit code 1, and in JSON the same in words that scripts may compare.
    """
    with world_of(faults.not_in_auth_users) as world:
        env = {**world.environment(), **self_test(world)}
        code, text = run(env)
        code_json, out = run(env, "--json")
    found = json.loads(out)

    assert (1, 1) == (code, code_json)
    assert "FAIL     login" in text
    assert "cause: auth_users_without_us or login_unknown" in text
    assert "fix: auth_users of the callout must name U" in text
    assert (False, ["auth_users_without_us", "login_unknown"]) == (found["ok"], found["causes"])


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
    assert (Status.OK, Status.SKIPPED) == (status["keys"], status["round trip"])


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
