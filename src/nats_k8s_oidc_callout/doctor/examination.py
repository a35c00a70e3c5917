"""All checks, in the order in which things break. What a failure makes senseless is skipped, and says so."""

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from nats_k8s_oidc_callout.adapters.files import FileWatch
from nats_k8s_oidc_callout.adapters.nats import Landing, NkeyLogin, WorkloadLogin, log_in_as_client
from nats_k8s_oidc_callout.app import questions, selftest, sources
from nats_k8s_oidc_callout.app.facts import policy_of
from nats_k8s_oidc_callout.app.keyring import Keyring
from nats_k8s_oidc_callout.app.questions import Questions
from nats_k8s_oidc_callout.app.selftest import Tester
from nats_k8s_oidc_callout.bounded.files import read_file
from nats_k8s_oidc_callout.core.model import Token, Verdict
from nats_k8s_oidc_callout.core.nats import user
from nats_k8s_oidc_callout.doctor import answers, check_kubernetes, check_sessions, diagnosis, responder_status
from nats_k8s_oidc_callout.doctor.observations import Rights, Setup, Trial
from nats_k8s_oidc_callout.doctor.observed_login import attempt
from nats_k8s_oidc_callout.doctor.report import Cause, Finding, Report, Status, failed, ok, skipped
from nats_k8s_oidc_callout.doctor.responder_status import Neighbour
from nats_k8s_oidc_callout.doctor.server import STEP_SECONDS, Server
from nats_k8s_oidc_callout.errors import ConfigurationError, Unreachable
from nats_k8s_oidc_callout.settings import Mode, SessionControl, Settings, read_sentinel

_KEY_KIND = re.compile(r"(is the \w+ seed S|is a curve key|is no \w+ key)")
ALL = (
    "configuration", "nats", "login", "subscription", "sentinel", "responder", "signers", "signing key", "jwks",
    "own token", "self-test token", "rbac", "clock", "authorization.timeout", "round trip", "sessions",
)  # fmt: skip
"""Every check, in its order. The last only with SESSION_CONTROL."""


def misconfigured(problems: list[str]) -> Report:
    """Return the report on an invalid configuration: nothing else can be tried then."""
    report = Report()
    for problem in problems:
        cause = Cause.WRONG_KEY_KIND if _KEY_KIND.search(problem) else Cause.CONFIGURATION
        report.add(failed("configuration", problem, cause))
    report.add(*(skipped(check, "needs a configuration") for check in ALL[1:-1]))
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
        self.host = responder_status.loopback(settings.host)
        self.beside: Neighbour | None = None
        self.trial = Trial(trouble="no server could be asked")
        self.counted: dict[str, float] = {}
        self.rights = Rights()
        self.lands_in = settings.nats_account

    async def run(self) -> Report:
        settings, report = self.settings, self.report
        detail = f"{settings.mode} mode, clients land in {settings.nats_account}"
        report.add(ok("configuration", detail, settings.warnings))
        server = await self._reach()
        async with _measure_timeout(server):
            await self._login(server)
            path = settings.nats_sentinel_creds_file
            sentinel = read_sentinel(read_file(path)) if path and settings.mode is Mode.OPERATOR else None
            report.add(diagnosis.sentinel(sentinel, self._setup(server)))
            self.beside = await responder_status.readiness(self.host, settings.port) if settings.port else None
            report.add(responder_status.responder(self.beside, f"{self.host}:{settings.port}"))
            await self._try(server)
            await self._cluster()
        setup = self._setup(server)
        ours = settings.nats_auth_timeout_seconds
        report.add(diagnosis.timeout(server.timeout, setup, ours, waited=server.waited and server.info is not None))
        report.add(await self._round_trip(server, setup))
        report.add(*await self._sessions())
        # What was learned early may be told late.
        report.findings.sort(key=lambda finding: ALL.index(finding.check))
        return report

    async def _reach(self) -> Server:
        """Reach the servers one after the other; go on with the first that answers."""
        servers = [Server(address, self.keyring.tls) for address in self.settings.nats_url.servers]
        errors = [await server.reach() for server in servers]
        good = [server for server in servers if server.info is not None]
        for server, error in zip(servers, errors, strict=True):
            finding = diagnosis.reach(str(server.address), server.info.version if server.info else "", error)
            # One unreachable server is only `skipped` while another one answers. A TLS failure is always reported.
            down = good and finding.causes == (Cause.NATS_UNREACHABLE,)
            self.report.add(skipped(finding.check, finding.detail) if down else finding)
        return good[0] if good else servers[0]

    async def _login(self, server: Server) -> None:
        if server.info is None:
            self.report.add(skipped("login", "needs NATS"), skipped("subscription", "needs NATS"))
            return
        login, otherwise = self.keyring.login(), self.keyring.login_of_other_mode()
        admission = await server.log_in(login, otherwise)
        if admission.error is not None and not server.waited and admission.other_mode is None:
            # Whether a refusal was quick can only be told by the server's own time-out.
            await self._wait_for_timeout(server)
            admission = await server.log_in(login, otherwise)
        self.report.add(diagnosis.login(admission, self._setup(server)))
        if admission.error is not None:
            self.report.add(skipped("subscription", "needs the login"))
            return
        queue_group = self.settings.nats_queue_group
        self.rights = await server.try_rights(login, otherwise, queue_group)
        self.report.add(diagnosis.subscription(self.rights, self._setup(server), queue_group))

    async def _wait_for_timeout(self, server: Server) -> None:
        ends = time.monotonic() + STEP_SECONDS
        while not server.waited and time.monotonic() < ends:
            await asyncio.sleep(0.05)

    def _client(self) -> Tester:
        with suppress(selftest.Failed):
            return selftest.tester(self.settings)
        return Tester(WorkloadLogin(""), "unknown", "unknown")

    async def _try(self, server: Server) -> None:
        """Log in as a client while we listen, and judge the question; without a token that is all it is good for."""
        missing = "SHADOW answers nobody" if self.settings.shadow else "needs the subscription"
        if self.settings.shadow or self.report.failed("subscription"):
            self.report.add(*(skipped(check, missing) for check in ("signers", "signing key")))
            return
        who, keyring = self._client(), self.keyring
        before = await self._counters()
        self.trial = await attempt(server, keyring.login(), self.rights, keyring.keys.xkeys, who.login, who.inbox)
        self.counted = {name: value - before.get(name, 0) for name, value in (await self._counters()).items()}
        await self._wait_for_timeout(server)
        setup = self._setup(server)
        self.report.add(diagnosis.signers(self.trial, setup), diagnosis.signing_key(self.trial, setup))

    async def _counters(self) -> dict[str, float]:
        return await responder_status.counters(self.host, self.settings.port) if self.beside else {}

    def _setup(self, server: Server) -> Setup:
        settings, keys, login = self.settings, self.keyring.keys, self.keyring.login()
        return Setup(
            operator=settings.mode is Mode.OPERATOR,
            account=settings.nats_account,
            lands_in=self.lands_in,
            callout_account=settings.nats_auth_account,
            user=login.public if isinstance(login, NkeyLogin) else "our user",
            signers=self.keyring.public_keys()["signers"],
            origins={sub: self.keyring.origins[sub] for sub in self.keyring.public_keys()["signers"]},
            has_xkey=bool(keys.xkeys),
            clear_allowed=keys.clear_allowed,
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
        async with questions.open_with(settings) as one:
            trouble = await one.fetch_keys()
            report.add(check_kubernetes.jwks(one.keys_source, trouble))
            _, claims = check_kubernetes.read_token(settings.k8s_credentials_dir / "token")
            report.add(check_kubernetes.own_token(claims, settings))
            report.add(await self._self_test_token(one, keys_failed=bool(trouble)))
            who = self._client()
            self.lands_in = one.lands_in(who.namespace, who.name)
        api = sources.api_server(settings)
        ahead: float | None = None
        if api is None or settings.service_accounts_dir is not None:
            report.add(*check_kubernetes.rbac("", [], ""))
        else:
            rights, trouble, ahead = await check_kubernetes.ask_rights(
                api, settings.k8s_namespaces, policy_of(settings).label_keys
            )
            report.add(*check_kubernetes.rbac(api.base_url, rights, trouble))
        if api is not None:
            await api.close()
        question = self.trial.question
        report.add(check_kubernetes.clock(settings.clock_skew_seconds, ahead, question.ahead if question else None))

    async def _sessions(self) -> list[Finding]:
        if self.settings.session_control is SessionControl.OFF:
            return []
        if self.report.failed("login"):
            return [skipped(check_sessions.CHECK, "needs the login")]
        return check_sessions.judge(await check_sessions.observe(self.settings, self.keyring))

    async def _self_test_token(self, one: Questions, *, keys_failed: bool) -> Finding:
        path = self.settings.self_test_token_file
        token, claims = check_kubernetes.read_token(path) if path else ("", None)
        verdict: Verdict | Unreachable | None = None
        if claims is not None and not keys_failed:
            try:
                verdict = await one.verdict_on(Token(token), as_self_test=True)
            except Unreachable as error:
                verdict = error
        return check_kubernetes.self_test_token(claims, self.settings, verdict)

    async def _round_trip(self, server: Server, setup: Setup) -> Finding:
        check = "round trip"
        if self.settings.shadow:
            return skipped(check, "SHADOW answers nobody")
        for needed in ("subscription", "signers"):
            if self.report.failed(needed):
                return skipped(check, f"needs {needed}")
        if self.settings.self_test_token_file is None:
            return skipped(
                check,
                "needs a token with our audience: SELF_TEST_TOKEN_FILE. (The login without one, which showed us the "
                "server's request, stands in the server's log as an authentication error.)",
            )
        found = answers.first_login(self.trial, setup)
        if self.trial.landing is None or found.status is not Status.OK:
            return found
        who, landings, error = self._client(), list[Landing](), None
        try:
            for number in range(answers.LOGINS):
                name = f"{user.SELF_TEST}doctor {number}"
                landings.append(
                    await log_in_as_client(server.address, self.keyring.tls(), who.login, name, who.inbox, STEP_SECONDS)
                )
        except Unreachable as refused:
            error = refused
        return answers.more_logins(self.trial.landing, landings, setup, error)


@asynccontextmanager
async def _measure_timeout(server: Server) -> AsyncIterator[None]:
    """Measure the server's time-out beside everything else."""
    task = asyncio.create_task(server.measure_timeout(), name="doctor time-out")
    try:
        yield
        await task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
