"""All checks, in the order in which things break. What a failure makes senseless is skipped, and says so."""

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from nats_k8s_oidc_callout.adapters.files import FileWatch
from nats_k8s_oidc_callout.adapters.nats import Refused, WorkloadLogin, addresses, land
from nats_k8s_oidc_callout.app import inquiry, selftest, sources
from nats_k8s_oidc_callout.app.keyring import Keyring
from nats_k8s_oidc_callout.app.selftest import Tester
from nats_k8s_oidc_callout.bounded.files import read_file
from nats_k8s_oidc_callout.core.nats import subjects, user
from nats_k8s_oidc_callout.doctor import check_kubernetes, diagnosis, responder_status
from nats_k8s_oidc_callout.doctor.check_nats import Server
from nats_k8s_oidc_callout.doctor.diagnosis import Setup
from nats_k8s_oidc_callout.doctor.login import log_in, subscribe
from nats_k8s_oidc_callout.doctor.observed_login import STEP_SECONDS, Rights, Trial, attempt
from nats_k8s_oidc_callout.doctor.report import Cause, Finding, Report, Status, failed, ok, skipped
from nats_k8s_oidc_callout.doctor.responder_status import Neighbour
from nats_k8s_oidc_callout.doctor.signing import signing_key
from nats_k8s_oidc_callout.errors import ConfigurationError, Unreachable
from nats_k8s_oidc_callout.settings import Mode, Settings, read_sentinel

# Two releases in one queue group are asked at random: so many logins miss the other one in 1 of 4,000 examinations.
LOGINS = 12
_KEY_KIND = re.compile(r"(is the \w+ seed S|is a curve key|is no \w+ key)")
ALL = (
    "configuration", "nats", "login", "subscription", "sentinel", "responder", "signers", "signing key", "jwks",
    "own token", "self-test token", "rbac", "clock", "authorization.timeout", "round trip",
)  # fmt: skip
"""Every check, in its order."""


def misconfigured(problems: list[str]) -> Report:
    """Return the report on an invalid configuration: nothing else can be tried then."""
    report = Report()
    for problem in problems:
        kind = _KEY_KIND.search(problem) is not None
        report.add(
            failed(
                "configuration",
                problem,
                Cause.WRONG_KEY_KIND if kind else Cause.CONFIGURATION,
                fix="that variable wants another kind of key: U… logs in, A… signs, X… seals; `keys` shows which is which"
                if kind
                else "docs/CONFIGURATION.md has every variable",
            )
        )
    report.add(*(skipped(check, "needs a configuration") for check in ALL[1:]))
    return report


async def examine(settings: Settings) -> Report:
    """Make every check; a server that answers badly is a finding, never an exception."""
    examination = _Examination(settings)
    try:
        return await examination.run()
    except ConfigurationError as error:
        return misconfigured(error.problems)


class _Examination:
    """One run. Whatever a later check needs of an earlier one is kept here."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.report = Report()
        self.keyring = Keyring(settings, FileWatch().watch)
        self.host = _loopback(settings.host)
        self.beside: Neighbour | None = None
        self.trial = Trial(trouble="no server could be asked")
        self.counted: dict[str, float] = {}
        self.rights = Rights()

    async def run(self) -> Report:
        settings, report = self.settings, self.report
        detail = f"{settings.mode} mode, clients land in {settings.nats_account}"
        report.add(ok("configuration", detail, settings.warnings))
        server = await self._reachable()
        async with _measure_timeout(server):
            await self._login(server)
            report.add(self._sentinel())
            report.add(await self._responder())
            await self._try(server)
            await self._cluster()
        report.add(server.compare_timeout(settings.nats_auth_timeout_seconds))
        report.add(await self._round_trip(server))
        return self._sort()

    async def _reachable(self) -> Server:
        """Reach the servers one after the other; go on with the first that answers."""
        servers = [Server(addresses.parse(url), self.keyring.tls) for url in self.settings.nats_url.urls]
        found = [await server.reach() for server in servers]
        good = [server for server in servers if server.info is not None]
        # One unreachable server is only `skipped` while another one answers. A TLS failure is always reported.
        down = Cause.NATS_UNREACHABLE
        self.report.add(
            *(
                skipped(finding.check, finding.detail) if good and finding.causes == (down,) else finding
                for finding in found
            )
        )
        return good[0] if good else servers[0]

    async def _login(self, server: Server) -> None:
        if server.info is None:
            self.report.add(skipped("login", "needs NATS"), skipped("subscription", "needs NATS"))
            return
        login, otherwise = self.keyring.login(), self.keyring.login_of_other_mode()
        admission = await log_in(server, login, otherwise, self.settings)
        if not admission.accepted and not server.waited and Cause.MODE_WRONG not in admission.finding.causes:
            # Whether a refusal was quick can only be told by the server's own time-out.
            await self._wait_for_timeout(server)
            admission = await log_in(server, login, otherwise, self.settings)
        self.report.add(admission.finding)
        if admission.accepted:
            subscription, self.rights = await subscribe(server, login, otherwise, self.settings.nats_queue_group)
            self.report.add(subscription)
        else:
            self.report.add(skipped("subscription", "needs the login"))

    async def _wait_for_timeout(self, server: Server) -> None:
        ends = time.monotonic() + STEP_SECONDS
        while not server.waited and time.monotonic() < ends:
            await asyncio.sleep(0.05)

    def _sentinel(self) -> Finding:
        check, path = "sentinel", self.settings.nats_sentinel_creds_file
        if self.settings.mode is Mode.CONFIG:
            return skipped(check, "config mode knows none")
        if path is None:
            return skipped(check, "NATS_SENTINEL_CREDS_FILE is not set: the servers must have a default_sentinel")
        sentinel = read_sentinel(read_file(path))
        if sentinel.account != self.settings.nats_auth_account:
            return failed(
                check,
                f"it is of the account {sentinel.account}, the callout account is {self.settings.nats_auth_account}",
                Cause.SENTINEL_OF_ANOTHER_ACCOUNT,
                fix="nsc add user --account <the callout account> --name sentinel --deny-pubsub '>'",
            )
        if not sentinel.denies_all:
            return failed(
                check,
                "it may publish or subscribe: everybody has it, and with it could read what clients send to log in",
                Cause.SENTINEL_NOT_DENIED_EVERYTHING,
                fix="nsc edit user --account <the callout account> --name sentinel --deny-pubsub '>'",
            )
        if not sentinel.bearer:
            return failed(
                check,
                "it is no bearer: it cannot be a default_sentinel, and clients would have to hold its seed",
                Cause.SENTINEL_NOT_BEARER,
                fix="nsc edit user --account <the callout account> --name sentinel --bearer",
            )
        return ok(check, "a bearer of the callout account that may do nothing")

    async def _responder(self) -> Finding:
        check, port = "responder", self.settings.port
        self.beside = await responder_status.readiness(self.host, port) if port else None
        if self.beside is None:
            return skipped(check, f"none is running here ({self.host}:{port})")
        if self.beside.ready:
            return ok(check, f"the one on {self.host}:{port} is ready")
        failing = "; ".join(f"{name}: {why}" if why else name for name, why in self.beside.failing.items())
        return failed(
            check,
            f"the one on {self.host}:{port} is not ready: {failing}",
            Cause.RESPONDER_NOT_READY,
            fix="the other lines here say why; else see its log",
        )

    def _client(self) -> Tester:
        with suppress(selftest.Failed):
            return selftest.tester(self.settings)
        return Tester(WorkloadLogin(""), subjects.guide_inbox("unknown", "unknown"))

    async def _try(self, server: Server) -> None:
        """Log in as a client while we listen, and judge the question; without a token that is all it is good for."""
        if self.report.failed("subscription"):
            self.report.add(*(skipped(check, "needs the subscription") for check in ("signers", "signing key")))
            return
        who = self._client()
        before = await responder_status.counters(self.host, self.settings.port) if self.beside else {}
        keyring = self.keyring
        self.trial = await attempt(
            server.address, keyring.tls, keyring.login(), self.rights, keyring.keys.xkeys, who.login, who.inbox
        )
        if self.beside:
            after = await responder_status.counters(self.host, self.settings.port)
            self.counted = {name: value - before.get(name, 0) for name, value in after.items()}
        await self._wait_for_timeout(server)
        setup = self._setup(server)
        self.report.add(diagnosis.signers(self.trial, setup), signing_key(self.trial, setup))

    def _setup(self, server: Server) -> Setup:
        settings = self.settings
        return Setup(
            operator=settings.mode is Mode.OPERATOR,
            account=settings.nats_account,
            signers=list(self.keyring.keys.placement),
            origins={sub: self.keyring.origins[sub] for sub in self.keyring.keys.placement},
            has_xkey=bool(self.keyring.keys.xkeys),
            clear_allowed=self.keyring.keys.clear_allowed,
            derived=settings.nats_signing_key_file is None,
            target_derived=settings.nats_account_signing_key_file is None,
            sentinel=settings.nats_sentinel_creds_file is not None,
            auth_required=server.info is None or server.info.auth_required,
            timeout=server.timeout,
            responder=self.beside is not None,
            counted=self.counted,
        )

    async def _cluster(self) -> None:
        settings, report = self.settings, self.report
        async with inquiry.opened(settings) as one:
            report.add(await check_kubernetes.jwks(one))
            report.add(check_kubernetes.own_token(settings))
            report.add(await check_kubernetes.self_test_token(settings, one, keys_failed=report.failed("jwks")))
        api = sources.api_server(settings)
        try:
            findings, ahead = await check_kubernetes.rbac(api, settings)
        finally:
            if api is not None:
                await api.close()
        question = self.trial.question
        report.add(*findings, check_kubernetes.clock(settings, ahead, question.ahead if question else None))

    async def _round_trip(self, server: Server) -> Finding:
        check = "round trip"
        for needed in ("subscription", "signers"):
            if self.report.failed(needed):
                return skipped(check, f"needs {needed}")
        if self.settings.self_test_token_file is None:
            return skipped(
                check,
                "needs a token with our audience: SELF_TEST_TOKEN_FILE. (The login without one, which showed us the "
                "server's request, stands in the server's log as an authentication error.)",
            )
        setup = self._setup(server)
        found = diagnosis.round_trip(self.trial, setup)
        if found.status is not Status.OK:
            return found
        return await self._again(server, setup)

    async def _again(self, server: Server, setup: Setup) -> Finding:
        """Log in some more times: of two releases each answers some."""
        who = self._client()
        times: list[float] = []
        for number in range(LOGINS):
            name = f"{user.SELF_TEST}doctor {number}"
            try:
                landing = await land(server.address, self.keyring.tls(), who.login, name, who.inbox, STEP_SECONDS)
            except Refused as refused:
                return failed(
                    "round trip",
                    f"login {number + 2} of {LOGINS + 1} was refused after {refused.seconds:.1f} s, others were let in",
                    Cause.REFUSED,
                    fix="one of the replicas does not answer: compare their /readyz?verbose and logs",
                )
            except Unreachable as error:
                return skipped("round trip", f"let in once, then: {error}")
            found = diagnosis.compare_account(landing.account, setup, foreign=landing.foreign, seconds=landing.seconds)
            if found.status is not Status.OK:
                return found
            times.append(landing.seconds)
        account = self.trial.landing.account if self.trial.landing else ""
        where = f"into {account}" if account else "account unknown"
        middle, worst = sorted(times)[len(times) // 2] * 1000, max(times) * 1000
        return ok("round trip", f"{LOGINS + 1} logins {where}, median {middle:.0f} ms, longest {worst:.0f} ms")

    def _sort(self) -> Report:
        """Put the lines into their order: what was learned early may be told late."""
        self.report.findings.sort(key=lambda finding: ALL.index(finding.check))
        return self.report


def _loopback(host: str) -> str:
    """Return where a responder that listens on `host` is found from here."""
    return {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  # read, not bound


@asynccontextmanager
async def _measure_timeout(server: Server) -> AsyncIterator[Any]:
    """Measure the server's time-out beside everything else."""
    task = asyncio.create_task(server.measure_timeout(), name="doctor time-out")
    try:
        yield
        await task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
