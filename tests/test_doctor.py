"""doctor: what was observed, and the causes that it names for that, in one table without any world.

That it observes what is true is shown with real servers, in tests/e2e/test_doctor.py and test_doctor_cluster.py.
"""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nats_k8s_oidc_callout import doctor, settings
from nats_k8s_oidc_callout.adapters.nats import Landing, Refused, Untrusted
from nats_k8s_oidc_callout.core.identity.own_token import OwnClaims
from nats_k8s_oidc_callout.core.model import Deny, Reason
from nats_k8s_oidc_callout.core.nats import callout
from nats_k8s_oidc_callout.core.nats.signers import Origin
from nats_k8s_oidc_callout.doctor import (
    Cause,
    Finding,
    Report,
    Status,
    answers,
    check_kubernetes,
    check_sessions,
    diagnosis,
)
from nats_k8s_oidc_callout.doctor.observations import Admission, Question, Rights, Setup, Trial
from nats_k8s_oidc_callout.doctor.responder_status import Neighbour, responder
from nats_k8s_oidc_callout.doctor.server import Server
from nats_k8s_oidc_callout.errors import Unreachable
from nats_k8s_oidc_callout.settings import Sentinel
from tests.cli.desk import Desk
from tests.fakes.hostile_server import hostile_server
from tests.fakes.nats_desk import at
from tests.settings import whole

CONFIG = Setup(
    operator=False,
    account="APP",
    lands_in="APP",
    callout_account="AUTH",
    user="UOURS",
    signers=["AOURS"],
    origins={"AOURS": Origin.LOGIN_INSTEAD, "AMORE": Origin.SEPARATE},
    has_xkey=False,
    clear_allowed=False,
    derived=False,
    target_derived=False,
    sentinel=False,
    auth_required=True,
    timeout=1.5,
    responder=True,
)
OPERATOR = replace(CONFIG, operator=True, account="ATARGET", lands_in="ATARGET", callout_account="AOURS")
SENTINEL = replace(OPERATOR, sentinel=True)
SEALED = replace(CONFIG, has_xkey=True)
DOWN = Unreachable("no connection")
AT_ONCE, LATE = Refused("Authorization Violation", 0.01), Refused("Authentication Timeout", 1.5)
IN, ELSEWHERE = Landing("APP", 0.01), Landing("OTHER", 0.01)
RULES = whole.load(whole.CONFIG | {"JWT_ISSUER": "https://us", "SELF_TEST_TOKEN_FILE": "/self-test.token"})
GOOD = OwnClaims("https://us", ["nats"])


def trial(wants: str = "", *complaints: str, sealed: bool = False, **seen: Any) -> Trial:
    """Return a login that was refused at once while we listened."""
    question = Question(wants, sealed, 0.0) if wants else None
    usual: dict[str, Any] = {"refusal": AT_ONCE, "listened": True, "heard": True, "complaints": list(complaints)}
    return Trial(question=question, **(usual | seen))


def unseen(setup: Setup = CONFIG, **seen: Any) -> Finding:
    return diagnosis.signers(trial(**seen), setup)


def asked(wants: str = "AOURS", setup: Setup = CONFIG, *, sealed: bool = False) -> Finding:
    return diagnosis.signers(trial(wants, sealed=sealed), setup)


def signing(origin: Origin, setup: Setup) -> Finding:
    return diagnosis.signing_key(trial("AOURS"), replace(setup, origins={"AOURS": origin}))


def told(words: str, setup: Setup = OPERATOR) -> Finding:
    """Return what is made of a server's complaint, in the words of 2.11.17 or 2.15.2."""
    return answers.first_login(trial("AOURS", words), setup)


def unanswered(**grown: float) -> Finding:
    return answers.first_login(trial("AOURS", refusal=LATE), replace(CONFIG, counted=grown))


def more(*landings: Landing, error: Unreachable | None = None) -> Finding:
    return answers.more_logins(IN, landings, CONFIG, error)


def sentinel(account: str = "AOURS", *, bearer: bool = True, denies_all: bool = True) -> Finding:
    return diagnosis.sentinel(Sentinel("", None, account, bearer, denies_all, None), OPERATOR)


def timeout(seconds: float | None) -> Finding:
    return diagnosis.timeout(seconds, CONFIG, 1.5, waited=True)


def rbac(
    list_: int = 200, watch: int = 200, get: int = 404, trouble: str = "", resources: str = "serviceaccounts"
) -> list[Finding]:
    statuses = {"list": list_, "watch": watch, "get": get}
    seen = [
        check_kubernetes.Right(resource, verb, space, status)
        for resource in resources.split()
        for space in ("team-a", "team-b")
        for verb, status in statuses.items()
    ]
    return check_kubernetes.rbac("https://api", seen, trouble)


def self_test(claims: OwnClaims | None = GOOD, verdict: Deny | Unreachable | None = None) -> Finding:
    """Return what is made of our token and of the responder's word for it."""
    return check_kubernetes.self_test_token(claims, RULES, verdict)


def sessions(*missing: str, **seen: Any) -> Finding:
    return check_sessions.judge(check_sessions.Seen(accounts=2, missing=missing, **seen))[0]


def misconfigured(**variables: str) -> Finding:
    return doctor.misconfigured(whole.problems(whole.CONFIG | variables)).findings[0]


# What was observed, the causes, and words of what is said of it.
ROWS: dict[str, tuple[Finding, str, str]] = {
    # The way to the server, and in
    "server": (diagnosis.reach("nats://n", "2.15.2", None), "", "nats://n, nats-server 2.15.2"),
    "server-away": (diagnosis.reach("nats://n", "", DOWN), "nats_unreachable", "no connection"),
    "ca": (diagnosis.reach("n", "", Untrusted("its certificate is not trusted: x")), "nats_tls_ca_wrong", "n: its"),
    "tls": (diagnosis.reach("n", "", Untrusted("no TLS handshake")), "nats_tls_refused", "tls block"),
    "login": (diagnosis.login(Admission("AUTH"), CONFIG), "", "in account AUTH"),
    "login-of-2.11": (diagnosis.login(Admission(), CONFIG), "", "accepted"),
    "login-at-once": (diagnosis.login(Admission(error=AT_ONCE), CONFIG), "login_refused", "after 0.0 s"),
    "login-late": (
        diagnosis.login(Admission(error=LATE), CONFIG), "auth_users_without_us login_unknown", "must name UOURS"
    ),
    "login-broken": (diagnosis.login(Admission(error=DOWN), CONFIG), "", "unknown: no connection"),
    "other-auth-account": (diagnosis.login(Admission("X"), CONFIG), "auth_account_wrong", "NATS_AUTH_ACCOUNT=X"),
    "clients-beside-us": (
        diagnosis.login(Admission("APP"), replace(CONFIG, callout_account=None)), "target_is_callout_account", "APP"
    ),
    "both-global": (
        diagnosis.login(Admission("$G"), replace(CONFIG, account="$G", callout_account=None)), "", "in account $G"
    ),
    "no-login-wanted": (diagnosis.login(Admission("$G"), replace(CONFIG, auth_required=False)), "", "in account $G"),
    "account-of-operator-mode": (diagnosis.login(Admission("AX"), OPERATOR), "", "in account AX"),
    "name-for-an-operator": (diagnosis.login(Admission("", AT_ONCE, "A"), CONFIG), "mode_wrong", "the public key (A…)"),
    "key-for-a-file": (diagnosis.login(Admission("", AT_ONCE, "AUTH"), OPERATOR), "mode_wrong", "in account AUTH"),
    # Permission
    "group": (diagnosis.subscription(Rights(True), CONFIG, "q"), "", "in the queue group q"),
    "reversed": (diagnosis.subscription(Rights(inbox=True), CONFIG, "q"), "permissions_reversed", "reversed"),
    "nothing": (diagnosis.subscription(Rights(), CONFIG, "q"), "subscription_refused", "let our user subscribe"),
    "other-mode-may": (diagnosis.subscription(Rights(other_mode=True), CONFIG, "q"), "mode_wrong", "operator mode"),
    "broken": (diagnosis.subscription(Rights(error=DOWN), CONFIG, "q"), "", "unknown: no connection"),
    # Sentinel
    "sentinel": (sentinel(), "", "may do nothing"),
    "sentinel-elsewhere": (sentinel("AX"), "sentinel_of_another_account", "of the account AX"),
    "sentinel-reads": (sentinel(denies_all=False), "sentinel_not_denied_everything", "--deny-pubsub"),
    "sentinel-signs": (sentinel(bearer=False), "sentinel_not_bearer", "--bearer"),
    "sentinel-of-config-mode": (diagnosis.sentinel(None, CONFIG), "", "knows none"),
    "sentinel-none": (diagnosis.sentinel(None, OPERATOR), "", "default_sentinel"),
    # The server's question
    "asked": (asked(), "", "asks for AOURS"),
    "asked-sealed": (asked(setup=SEALED, sealed=True), "", "AOURS, sealed"),
    "asked-clear": (asked(setup=SEALED), "xkey_at_responder_only", "NATS_XKEY_MODE=optional"),
    "asked-clear-is-allowed": (asked(setup=replace(SEALED, clear_allowed=True)), "", "asks for AOURS"),
    "asks-another": (asked("AX"), "server_issuer_wrong", "issuer: AOURS"),
    "asks-another-account": (asked("AX", OPERATOR), "callout_account_misspelt", "NATS_AUTH_ACCOUNT=AX"),
    "sealed-not-here": (unseen(unopened=1), "xkey_at_server_only", "NATS_XKEY_FILE is not set"),
    "sealed-for-another": (unseen(SEALED, unopened=1), "xkey_of_another", "keys --xkey-file"),
    "not-asked-for-a-login": (unseen(replace(CONFIG, auth_required=False)), "callout_not_enabled", "asks nobody"),
    "let-in-unasked": (unseen(landing=IN, refusal=None), "callout_not_enabled", "let in to APP"),
    "let-in-by-operator": (unseen(OPERATOR, landing=Landing("", 0.0)), "callout_not_enabled", "nsc edit authcallout"),
    "refused-unasked": (unseen(), "callout_not_enabled callout_account_unknown", "No valid account"),
    "timed-out-unasked": (unseen(refusal=LATE), "callout_account_misspelt", "asks in another account"),
    "no-sentinel": (unseen(OPERATOR), "sentinel_missing", "no default_sentinel"),
    "sentinel-refused": (unseen(SENTINEL), "sentinel_refused", "refuses our sentinel"),
    "sentinel-late": (unseen(SENTINEL, refusal=LATE), "sentinel_of_another_account sentinel_not_bearer", "bearer user"),
    "deaf": (unseen(listened=False), "", "does not let us see"),
    "not-tried": (unseen(trouble="gone"), "", "unknown: gone"),
    # Whose key signs
    "a-key-of-its-own": (signing(Origin.SEPARATE, CONFIG), "", "a key of its own"),
    "an-accounts-key": (signing(Origin.ACCOUNT, OPERATOR), "", "an account's own key"),
    "logins-key-still": (diagnosis.signing_key(trial("AOURS"), CONFIG), "login_still_signs", "issuer: AMORE"),
    "logins-key-twice": (signing(Origin.LOGIN_INSTEAD, CONFIG), "login_still_signs", "make another one"),
    "logins-key-of-two": (signing(Origin.LOGIN_INSTEAD, OPERATOR), "login_still_signs", "--rm-sk"),
    "logins-key-alone": (signing(Origin.LOGIN, replace(CONFIG, derived=True)), "", "the key of our login signs"),
    "not-known-whose": (diagnosis.signing_key(trial(), CONFIG), "", "no request of the server was seen"),
    # What becomes of the answer
    "unknown-key": (told("Auth callout signing key is unknown"), "signing_key_of_another_account", "the callout account"),
    "unknown-issuer": (told("Auth callout signing key is unknown", CONFIG), "server_issuer_wrong", "compare `issuer`"),
    "wrong-issuer": (told("Wrong issuer for auth callout response"), "server_issuer_wrong", "Wrong issuer"),
    "unknown-user-key": (
        told('User JWT issuer "A" is not known'), "signing_key_of_another_account", "of the target account"
    ),
    "unknown-derived-key": (
        told('User JWT issuer "A" is not known', replace(OPERATOR, target_derived=True)),
        "derived_key_not_in_account",
        "or set NATS_ACCOUNT_SIGNING_KEY_FILE",
    ),
    "not-allowed": (
        told('Account "A" not permitted as valid account option'), "target_not_allowed", "--allowed-account ATARGET"
    ),
    "no-account": (told('No valid account "AP" for auth callout response', CONFIG), "target_account_unknown", "AP"),
    "scoped": (told("User JWT is not valid: scoped users require no permissions or limits set"), "scoped_signing_key", "plain signing key"),
    "user-not-valid": (told("User JWT is not valid"), "scoped_signing_key", "plain signing key"),
    "not-decrypted": (told("Error decrypting response"), "xkey_of_another", "--xkey-file"),
    "other-words": (told("Huh"), "answer_rejected", "rejects our answers: Huh"),
    "turned-away": (told(callout.REFUSAL), "refused", "`denied`"),
    "refused-without-a-word": (answers.first_login(trial("AOURS"), CONFIG), "no_responder", "within 0.0 s"),
    "turned-away-unheard": (answers.first_login(trial("AOURS", heard=False), CONFIG), "refused", "turned"),
    "answer-lost": (unanswered(nats_auth_requests_success=1), "answers_not_let_through", "allow_responses"),
    "refusal-lost": (unanswered(nats_auth_requests_denied=1), "answers_not_let_through", "allow_responses"),
    "dropped": (unanswered(**{'nats_auth_dropped_total{reason="late"}': 1}), "refused", 'reason="late"'),
    "nobody": (unanswered(), "no_responder", "within 1.5 s; the responder here was not asked"),
    "no-login": (answers.first_login(trial("AOURS", refusal=None, trouble="gone"), CONFIG), "", "unknown: gone"),
    # Who else answers
    "first-in": (answers.first_login(trial("AOURS", landing=IN), CONFIG), "", ""),
    "first-elsewhere": (answers.first_login(trial("AOURS", landing=ELSEWHERE), CONFIG), "two_releases", "in OTHER"),
    "foreign": (more(Landing("", 0.1, foreign=True)), "two_releases", "another kind of responder"),
    "later-elsewhere": (more(IN, ELSEWHERE, error=DOWN), "two_releases", "in OTHER"),
    "later-refused": (more(IN, error=LATE), "refused", "login 3 of 13 was refused after 1.5 s"),
    "later-broken": (more(IN, error=DOWN), "", "let in once, then: no connection"),
    "all-in": (more(IN, IN, Landing("APP", 0.03)), "", "4 logins into APP, median 10 ms, longest 30 ms"),
    "beside-none": (responder(None, "h:1"), "", "none is running here (h:1)"),
    "beside-ready": (responder(Neighbour(True), "h:1"), "", "is ready"),
    "beside-lacking": (responder(Neighbour(False, {"keys": "none", "x": ""}), "h:1"), "responder_not_ready", "keys: none; x"),
    # Time
    "timeout": (timeout(1.5), "", "1.5 s"),
    "timeout-long": (timeout(2.2), "timeout_over_2s", "authorization { timeout: 1.5 }"),
    "timeout-without-end": (timeout(None), "timeout_over_2s", "over 2.5 s"),
    "timeout-short": (timeout(0.8), "timeout_shorter_than_ours", "NATS_AUTH_TIMEOUT_SECONDS=0.8"),
    "timeout-unknown": (diagnosis.timeout(None, CONFIG, 1.5, waited=False), "", "unknown"),
    "clock": (check_kubernetes.clock(30.0, 29.0, -4.0), "", "API server is 29 s ahead, nats-server is 4 s behind"),
    "clock-of-nats": (check_kubernetes.clock(30.0, None, -31.0), "clock_off", "nats-server is 31 s behind"),
    "clock-with-much-leeway": (check_kubernetes.clock(600.0, 61.0, None), "clock_off", "61 s ahead"),
    "clock-unknown": (check_kubernetes.clock(30.0, None, None), "", "unknown"),
    # The cluster
    "jwks": (check_kubernetes.jwks("https://k", ""), "", "https://k"),
    "jwks-ca": (check_kubernetes.jwks("k", "TLS: self-signed"), "jwks_ca_unknown", "k: TLS"),
    "jwks-forbidden": (check_kubernetes.jwks("k", "status 403"), "jwks_forbidden", "service-account-issuer-discovery"),
    "jwks-away": (check_kubernetes.jwks("k", "cannot connect (x)"), "jwks_unreachable", "NetworkPolicy"),
    "jwks-half": (check_kubernetes.jwks("k", "the answer ended early"), "jwks_unreachable", "NetworkPolicy"),
    "jwks-html": (check_kubernetes.jwks("k", "not JSON"), "jwks_unusable", "what answers there"),
    "own-token": (check_kubernetes.own_token(GOOD, RULES), "", "issuer https://us"),
    "own-token-none": (check_kubernetes.own_token(None, RULES), "", "there is none in"),
    "own-issuer": (check_kubernetes.own_token(OwnClaims("https://us/"), RULES), "issuer_wrong", "JWT_ISSUER=https://us/"),
    "issuer-unprintable": (check_kubernetes.own_token(OwnClaims("\x1b"), RULES), "issuer_wrong", "byte for byte"),
    "token-none": (self_test(None), "token_unreadable", "holds no ServiceAccount token"),
    "token-issuer": (self_test(OwnClaims("https://them", "nats")), "issuer_wrong", "JWT_ISSUER=https://them"),
    "token-audience": (self_test(OwnClaims("https://us", "api")), "audience_wrong", "audience: nats"),
    "token-without-keys": (self_test(), "", "needs the issuer's keys"),
    "token-not-looked-up": (self_test(verdict=DOWN), "", "cannot be looked up: no connection"),
    "token-expired": (self_test(verdict=Deny(Reason.EXPIRED, "by 2 s")), "token_refused", "would be refused: expired: by 2 s"),
    "api-away": (rbac(trouble="no answer")[0], "api_unreachable", "https://api: no answer"),
    "rights": (rbac()[0], "", "list, watch and get"),
    "no-list": (rbac(list_=403)[0], "rbac_list_missing", "list serviceaccounts in team-a, team-b"),
    "no-watch": (rbac(watch=401)[0], "rbac_watch_missing", "grant watch"),
    "no-get": (rbac(403, 403, 403)[2], "rbac_get_missing", "grant get"),
    "labels": (rbac(resources="serviceaccounts namespaces")[0], "", "get on serviceaccounts and namespaces"),
    "no-labels": (rbac(200, 200, 403, resources="namespaces")[0], "rbac_get_missing", "grant get on namespaces"),
    "no-cluster": (check_kubernetes.rbac("", [], "")[0], "", "SERVICE_ACCOUNTS_DIR"),
    # Sessions
    "sessions": (sessions(), "", "list, hear and end those of 2 accounts; that right reaches any client"),
    "sessions-held": (sessions(held=True), "", "all is held"),
    "sessions-away": (sessions(trouble="refused"), "sessions_unreachable", "NATS_SYSTEM_CREDS_FILE"),
    "sessions-lost": (sessions("the server does not answer: x"), "sessions_unreachable", "does not answer"),
    "sessions-inbox": (sessions("the server refused _INBOX_sess.1.*"), "sessions_not_answered", "subscribe _INBOX_sess.>"),
    "no-list-import": (
        sessions("connections of account APP cannot be listed: x"), "sessions_not_listed", "publish nko.connz.*"
    ),
    "no-list-login": (
        sessions("connections of account APP cannot be listed: x", by_login=True),
        "sessions_not_listed",
        "publish $SYS.REQ.ACCOUNT.*.CONNZ: `keys --sessions U…`",
    ),
    "first-list-alone": (
        sessions("live servers do not list connections: N1"), "sessions_not_listed", "`response_type: stream`"
    ),
    "account-without-subject": (
        sessions("connections of account A B cannot be listed: its name cannot stand in a subject"), "", "2 accounts"
    ),
    "no-kick": (sessions("clients cannot be ended: x"), "sessions_not_ended", "import $SYS.REQ.SERVER.*.KICK from SYS"),
    "no-events": (sessions("the server refused nko.ev.*.CONNECT"), "sessions_not_heard", "subscribe nko.ev.>"),
    "no-control": (sessions(control="x"), "sessions_not_told", "publish and subscribe nko.control"),
    # The settings
    "variable": (misconfigured(PORT="80a"), "configuration", "docs/CONFIGURATION.md"),
    "key-kind": (misconfigured(NATS_SIGNING_KEY_FILE="/user.seed"), "wrong_key_kind", "U… logs in"),
}  # fmt: skip


@pytest.mark.parametrize(("finding", "causes", "words"), ROWS.values(), ids=ROWS)
def test_cause(finding: Finding, causes: str, words: str) -> None:
    """What was observed has exactly these causes and a fix, or none, and is told in these words."""
    assert causes.split() == [cause.value for cause in finding.causes]
    assert words in f"{finding.detail}\n{finding.fix}"
    assert bool(causes) == bool(finding.fix)
    assert "{" not in finding.fix.replace("{ timeout", "")


def test_every_cause_has_a_row() -> None:
    """Nothing that doctor can name is without an observation here."""
    assert {*Cause} == {cause for finding, _, _ in ROWS.values() for cause in finding.causes}


def test_a_cause_that_follows_from_another_is_left_out() -> None:
    """Beside a cause of its own, that nobody answers is no news; alone it is all there is."""
    nobody, wrong = ROWS["nobody"][0], ROWS["no-sentinel"][0]

    assert ["no_responder"] == Report([nobody]).causes
    assert ["sentinel_missing"] == Report([wrong, nobody, wrong]).causes


def test_a_list_of_lacks_has_an_end() -> None:
    """Three hundred accounts that cannot be listed are told as five, and how many more."""
    missing = [f"connections of account {number} cannot be listed: x" for number in range(300)]
    found = check_sessions.judge(check_sessions.Seen(missing=missing))

    assert 6 == len(found)
    assert "and 295 more" == found[-1].detail


def test_an_account_that_no_subject_can_name_is_no_fault() -> None:
    """Its sessions end when their time is up, and that is said beside what works."""
    found = check_sessions.judge(check_sessions.Seen(missing=["account A B … its name cannot stand in a subject"]))

    assert [Status.OK, Status.SKIPPED] == [one.status for one in found]


async def test_an_info_that_is_no_text_is_a_finding(tmp_path: Path) -> None:
    """A server whose INFO cannot be read is a failure with a cause, and never a traceback."""
    async with hostile_server(greeting=b'INFO {"server_id":"N","version":"\xff"}\r\n') as server:
        report = await doctor.examine(settings.load(Desk.new(tmp_path).variables(NATS_URL=server.url)))

    assert ["nats_unreachable"] == report.causes
    assert "the server's INFO cannot be read" in report.findings[1].detail
    status = {finding.check: finding.status for finding in report.findings}
    assert [*doctor.ALL[:-1]] == list(status), "and nothing of sessions, which are left alone"
    assert (Status.SKIPPED, Status.OK) == (status["round trip"], status["jwks"])


async def test_one_pause_is_not_the_servers_time_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """What seems too long is measured again, since a machine that stands still for a moment adds to it."""
    monkeypatch.setattr("nats_k8s_oidc_callout.doctor.server._WAIT_SECONDS", 0.2)
    came = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal came
        came += 1
        writer.write(b'INFO {"server_id":"N","version":"2.15.1","max_payload":1048576,"auth_required":true}\r\n')
        if came == 2:
            writer.write(b"-ERR 'Authentication Timeout'\r\n")
        else:
            await reader.read()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as listening:
        server = Server(at(f"nats://127.0.0.1:{listening.sockets[0].getsockname()[1]}"), lambda: None)
        await server.measure_timeout()

    assert (2, True) == (came, server.waited)
    assert server.timeout is not None
