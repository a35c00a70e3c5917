"""The policy file while we run, with a responder that answers all the while."""

import asyncio
import gc
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from nats_k8s_oidc_callout.adapters.telemetry import Metrics, PolicyMetrics
from nats_k8s_oidc_callout.app import policyfile
from nats_k8s_oidc_callout.app.facts import rule_of
from nats_k8s_oidc_callout.app.namespaces import NamespaceLabels
from nats_k8s_oidc_callout.app.policyfile import LivePolicy
from nats_k8s_oidc_callout.bounded.files import BYTES_MAX
from nats_k8s_oidc_callout.core.grants.filter import JetStreamGrants
from nats_k8s_oidc_callout.core.grants.terms import InboxMode, ReplyMode
from nats_k8s_oidc_callout.core.model import Allow
from nats_k8s_oidc_callout.settings import Settings, read_policy
from nats_k8s_oidc_callout.settings.policy import Base
from tests.fakes.file_writers import mount, rename
from tests.fakes.issuer import AUDIENCE, ISSUER
from tests.test_responder import KUBERNETES, World

# The workload's rule comes last: half a file would refuse it.
OTHERS = "".join(f"  - {{name: other-{n}, match: {{namespaces: [other-{n}]}}}}\n" for n in range(40))
HEAD = f"version: 1\nrules:\n{OTHERS}"
ONE = f"{HEAD}  - {{name: one, match: {{}}, account: APP, publish: [one.a]}}\n"
BY_LABEL = f"{HEAD}  - {{name: labelled, match: {{namespace_labels: {{team: blue}}}}}}\n"
TWO = f"{HEAD}  - {{name: two, match: {{}}, account: APP, publish: [two.a]}}\n"


WRITING = threading.Lock()


def write(path: Path, text: str) -> None:
    """Write in place, in two pieces, of which the first is a policy, too."""
    half = text.index("  - {name: other-20")
    with WRITING, path.open("w") as file:
        file.write(text[:half])
        file.flush()
        time.sleep(0.001)
        file.write(text[half:])


class Stage:
    """A policy file, a responder that it is in force for, and what is told of it."""

    def __init__(self, folder: Path, text: str = ONE, settle: Callable[[], object] = bool) -> None:
        self.path = folder / "policy.yaml"
        self.path.write_text(text)
        self.world = World()
        self.world.facts.placeable = lambda account: "no key file" if account == "NOWHERE" else ""
        self.metrics = PolicyMetrics()
        settings = Settings(
            nats_account="APP",
            jwt_issuer=(ISSUER,),
            jwt_audience=AUDIENCE,
            policy_file=self.path,
            service_accounts_dir=folder / "manifests",
        )
        self.labels = NamespaceLabels(settings, None, (), Metrics(CollectorRegistry(), ""))
        self.world.facts.labels = self.labels.find
        settings = replace(settings, policy=read_policy(text.encode(), settings))
        self.live = LivePolicy(
            settings,
            self.world.facts,
            self.labels,
            self.metrics,
            settle=settle,
        )

    @property
    def shown(self) -> dict[str, float]:
        """What a scrape has of it, without labels."""
        return {sample.name: sample.value for family in self.metrics.families() for sample in family.samples}

    async def log_in(self) -> None:
        self.world.responder.receive(self.world.server.ask(KUBERNETES.token()), "_R", "")
        await self.world.responder.drain()

    @property
    def seen(self) -> list[str]:
        """By which rule each login was let in, else why it was not."""
        return [verdict.rule if isinstance(verdict, Allow) else str(verdict) for verdict, _ in self.world.verdicts]


def written() -> None:
    """Wait until nobody is in the middle of writing."""
    with WRITING:
        pass


@pytest.mark.parametrize("change", [write, rename, mount])
async def test_logins_never_see_half_a_file(tmp_path: Path, change: Callable[[Path, str], None]) -> None:
    """
    A file is swapped hundreds of times while clients log in: each is judged by one of the two versions, whole, and nobody
    is refused whom both let in.
    """
    stage = Stage(tmp_path, settle=written)

    def swap() -> None:
        for number in range(200):
            change(stage.path, (TWO, ONE)[number % 2])
            # Now and then long enough to be taken.
            time.sleep(0.05 if number % 20 == 0 else 0.001)

    async with stage.world.running():
        writer = asyncio.create_task(asyncio.to_thread(swap))
        while not writer.done():
            await stage.live.poll()
            await stage.log_in()
        await writer

    assert {"one", "two"} == set(stage.seen)
    assert len(stage.seen) > 20


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda path: path.write_text(ONE + "surprise: 1\n"), "surprise"),
        (lambda path: path.write_text(ONE[: len(ONE) // 2]), ""),
        (lambda path: path.unlink(), "No such file"),
        (lambda path: path.write_text(ONE + "#" * BYTES_MAX), "larger than 1 MiB"),
        (lambda path: path.write_bytes(b"\xff"), ""),
    ],
    ids=["bad", "half", "gone", "large", "no-text"],
)
async def test_the_last_good_policy_stays(tmp_path: Path, spoil: Callable[[Path], object], why: str) -> None:
    """
    A file that cannot be used is told once, by a gauge and one line with its first problem; logins go on as before.
    """
    stage = Stage(tmp_path)
    spoil(stage.path)
    with capture_logs() as logs:
        for _ in range(3):
            await stage.live.poll()
    bad, rejected = stage.shown, stage.live.rejected
    async with stage.world.running():
        await stage.log_in()
    stage.path.write_text(ONE)
    await stage.live.poll()

    assert (["one"], True, False) == (stage.seen, rejected, stage.live.rejected)
    assert (0, 1) == (bad["nats_auth_policy_reload_success"], stage.shown["nats_auth_policy_reload_success"])
    (line,) = logs
    assert why in line["why"]


@pytest.mark.parametrize("last", ["", "surprise: 1\n"], ids=["good", "bad"])
async def test_reading_sets_off_no_collection(tmp_path: Path, last: str) -> None:
    """
    However much is made of a file, no garbage is collected meanwhile, when nobody would be answered. So none is left: not of
    a policy that was replaced, nor of a file that could not be used.
    """
    stage = Stage(tmp_path)
    rules = "".join(f"  - {{name: r-{n}, match: {{namespaces: ['a-*', b-{n}]}}, publish: [x.a]}}\n" for n in range(200))
    collections: list[str] = []
    frozen: list[int] = []
    for number in range(6):
        stage.path.write_text(f"version: 1\nrules:\n{rules}{last}# {number}\n")
        gc.callbacks.append(watch := lambda phase, info: collections.append(f"{phase} {info}"))
        await stage.live.poll()
        gc.callbacks.remove(watch)
        frozen.append(gc.get_freeze_count())

    assert gc.isenabled()
    assert ([], last == "") == (collections, stage.shown["nats_auth_policy_reload_success"] == 1)
    assert frozen[-1] - frozen[2] < 100


async def test_a_new_policy_is_told(tmp_path: Path) -> None:
    """
    A policy that comes into force is a line with its digest, and a warning for each account that nobody can land in.
    """
    stage = Stage(tmp_path)
    stage.path.write_text(TWO.replace("account: APP", "account: NOWHERE"))
    before, taken = stage.world.facts.grants, []
    stage.live.on_taken = lambda *grants: taken.append(grants)
    with capture_logs() as logs:
        for _ in range(2):
            await stage.live.poll()
    told = {line["event"]: line for line in logs}

    assert (41, stage.world.facts.grants.policy.digest) == (
        told["policy in force"]["rules"],
        told["policy in force"]["sha256"],
    )
    assert "rule two: no key file" in [line["detail"] for line in logs if line["event"] == "policy warning"]
    assert 41 == stage.shown["nats_auth_policy_rules"]
    assert [(before, stage.world.facts.grants)] == taken
    assert before is not stage.world.facts.grants


async def test_rules_and_their_labels_come_into_force_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A policy that goes by labels waits until the Namespaces are listed. As long as they cannot be, the one before stays, is
    told as such, and the next look tries again.
    """
    monkeypatch.setattr(policyfile, "_SYNC_SECONDS", 0.05)
    stage = Stage(tmp_path)
    followed = asyncio.create_task(stage.labels.run())
    await asyncio.sleep(0)
    stage.path.write_text(BY_LABEL)
    async with stage.world.running():
        # The folder of manifests is not there yet.
        await stage.live.poll()
        await stage.log_in()
        without, rejected = stage.shown["nats_auth_policy_reload_success"], stage.live.rejected
        (tmp_path / "manifests").mkdir()
        (tmp_path / "manifests" / "team-a.yaml").write_text(
            "{apiVersion: v1, kind: Namespace, metadata: {name: team-a, labels: {team: blue}}}"
        )
        monkeypatch.setattr(policyfile, "_SYNC_SECONDS", 5.0)
        await stage.live.poll()
        await stage.log_in()
    followed.cancel()
    await asyncio.gather(followed, return_exceptions=True)

    assert (["one", "labelled"], 0, 1) == (stage.seen, without, stage.shown["nats_auth_policy_reload_success"])
    assert (True, False) == (rejected, stage.live.rejected)


def test_nothing_is_what_policy_check_compares_with() -> None:
    """`policy check --against none` compares with the very rule that a responder without a file goes by."""
    settings = Settings(
        nats_account="SHOP",
        inbox_mode=InboxMode.PRIVATE,
        reply_mode=ReplyMode.RESPONSES,
        allow_responses_max=3,
        allow_responses_ttl_seconds=7.5,
        session_max_seconds=77,
        jetstream_grants=JetStreamGrants.ADMIN,
        nats_auth_account="AUTH",
    )

    assert rule_of(settings) == Base.of(settings).rule()
    # A file that is looked at alone takes the defaults of the settings.
    assert Base(account="SHOP") == Base.of(Settings(nats_account="SHOP"))
