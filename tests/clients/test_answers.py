"""Five client libraries and the nats CLI ask services of another namespace, by either inbox prefix, in both inbox modes.

Each library is its example, with the subject to ask and the inbox prefix from the environment. What each is let in for is
what the responder gives: the service has no annotation, who asks has the one to publish on the service's subject.
"""

import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.clients import builds
from tests.clients.workloads import NAMESPACE, TokenFolder, Workload
from tests.clients.world import plan
from tests.e2e.worlds import BINARIES, PUBLISH, World, world_of
from tools import build

pytestmark = [pytest.mark.slow, pytest.mark.e2e]

ASKER = "desk"
PATIENCE_SECONDS = 60.0
# By language: who is asked, and the inbox prefix, each as the example has it and as it is here.
CHANGES: Mapping[str, tuple[tuple[str, str], tuple[str, str]]] = {
    "python": (
        ("nc.request(ECHO,", 'nc.request(os.environ["ASK"],'),
        ("token_file=TOKEN_FILE)", 'token_file=TOKEN_FILE, inbox_prefix=os.environ["INBOX"].encode())'),
    ),
    "go": (
        ("nc.Request(echo,", 'nc.Request(os.Getenv("ASK"),'),
        ('"_INBOX_SA."+namespace+"."+strings.ReplaceAll(serviceAccount, ".", "_")', 'os.Getenv("INBOX")'),
    ),
    "node": (
        ("nc.request(ECHO,", "nc.request(process.env.ASK,"),
        ('`_INBOX_SA.${NAMESPACE}.${SERVICE_ACCOUNT.replaceAll(".", "_")}`', "process.env.INBOX"),
    ),
    "java": (
        ("nc.request(ECHO,", 'nc.request(System.getenv("ASK"),'),
        ("\"_INBOX_SA.\" + NAMESPACE + \".\" + SERVICE_ACCOUNT.replace('.', '_')", 'System.getenv("INBOX")'),
    ),
    "rust": (
        ("client.request(echo.clone(),", 'client.request(env::var("ASK")?,'),
        ('format!("_INBOX_SA.{namespace}.{}", service_account.replace(\'.\', "_"))', 'env::var("INBOX").unwrap()'),
    ),
}
MODES = ("shared", "private")
PREFIXES: Mapping[str, Callable[[str], str]] = {
    "plain": lambda _: "_INBOX",
    "private": lambda name: f"_INBOX_SA.{ASKER}.{name}",
}
EACH_PREFIX = pytest.mark.parametrize("prefix", list(PREFIXES))


def change_of(language: str) -> builds.Change:
    """Return what makes the example ask, and listen, where the environment says."""

    def change(text: str) -> str:
        for found, wanted in CHANGES[language]:
            assert text.count(found) == 1, found
            text = text.replace(found, wanted)
        return text

    return change


@dataclass
class Hall:
    """A running world, and who asks in it: by name of the ServiceAccount, one for each library and prefix."""

    world: World
    mode: str
    asking: Mapping[str, Workload]
    missing: Mapping[str, str]


@pytest.fixture(scope="module", params=[f"{mode}-on-{end}" for end in ("2.11", "2.15") for mode in MODES])
def hall(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hall]:
    """One server and one responder, and for each library a service and two who ask it, until each has heard something."""
    mode, _, end = request.param.partition("-on-")
    binary = BINARIES[end]()
    if binary is None:
        pytest.skip(f"nats-server {end} is not built (make tools)")
    folder = tmp_path_factory.mktemp(request.param)
    missing: dict[str, str] = {}
    with world_of(plan, str(binary)) as world, ExitStack() as stack:
        for name in (*CHANGES, "cli"):
            world.accounts.write(NAMESPACE, name)
            for prefix in PREFIXES:
                world.accounts.write(ASKER, f"{name}-{prefix}", {PUBLISH: f"{NAMESPACE}.echo.*"})
        world.start_responder(SESSION_MAX_SECONDS="600", INBOX_MODE=mode)
        asking: dict[str, Workload] = {}
        for language in CHANGES:
            try:
                command = builds.command(language, change_of(language))
            except builds.NoToolchain as lacking:
                missing[language] = str(lacking)
                continue
            service = {"ASK": f"{NAMESPACE}.echo.{language}", "INBOX": f"_INBOX_SA.{NAMESPACE}.{language}"}
            stack.enter_context(pod(world, folder, NAMESPACE, language, command, service))
            for prefix, inbox in PREFIXES.items():
                name = f"{language}-{prefix}"
                more = {"ASK": service["ASK"], "INBOX": inbox(name)}
                asking[name] = stack.enter_context(pod(world, folder, ASKER, name, command, more))
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not all(one.echoes or one.log().count("no echo") > 2 for one in asking.values()):
            assert time.monotonic() < deadline, {name: one.log()[-500:] for name, one in asking.items()}
            time.sleep(0.1)
        yield Hall(world, mode, asking, missing)


def pod(world: World, folder: Path, namespace: str, name: str, command: list[str], more: Mapping[str, str]) -> Workload:
    """Return a workload with its token."""
    held = TokenFolder(folder / namespace / name)
    held.write(world.token(namespace, name))
    return Workload(name, command, world.client_url, held, {"NAMESPACE": namespace, **more})


@EACH_PREFIX
@pytest.mark.parametrize("language", list(CHANGES))
def test_library_asks_another_namespace(hall: Hall, language: str, prefix: str) -> None:
    """
    The answer comes by the private prefix in both modes, and by the plain one where it is shared; else there is none.
    """
    if language in hall.missing:
        pytest.skip(hall.missing[language])
    asked = hall.asking[f"{language}-{prefix}"]

    assert (prefix == "private" or hall.mode == "shared") == bool(asked.echoes), asked.log()[-2000:]


@EACH_PREFIX
def test_cli_asks_another_namespace(hall: Hall, prefix: str, tmp_path: Path) -> None:
    """
    So it is with the nats CLI, on both sides.
    """
    nats = build.path("nats")
    if nats is None:
        pytest.skip("the nats CLI is not built (make tools)")

    def command(namespace: str, name: str, *arguments: str) -> "subprocess.Popen[str]":
        token = hall.world.token(namespace, name)
        env = {
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "NATS_URL": hall.world.client_url,
            "NATS_TOKEN": token,
        }
        return subprocess.Popen(
            [nats, *arguments],
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    subject, inbox = f"{NAMESPACE}.echo.cli", PREFIXES[prefix](f"cli-{prefix}")
    with command(NAMESPACE, "cli", "reply", "--echo", subject) as service:
        try:
            said = ""
            deadline = time.monotonic() + PATIENCE_SECONDS
            while "hello" not in said and "Violation" not in said and time.monotonic() < deadline:
                with command(
                    ASKER,
                    f"cli-{prefix}",
                    "request",
                    f"--inbox-prefix={inbox}",
                    "--raw",
                    "--timeout=1s",
                    subject,
                    "hello",
                ) as asking:
                    said = asking.communicate(timeout=20)[0]
        finally:
            service.kill()

    assert (prefix == "private" or hall.mode == "shared") == ("hello" in said), said
