"""Each variable by itself: its default and what it takes."""

from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nats_k8s_oidc_callout import settings
from nats_k8s_oidc_callout.core.grants.filter import JetStreamGrants
from nats_k8s_oidc_callout.core.grants.terms import InboxMode, ReplyMode
from nats_k8s_oidc_callout.core.nats.address import Address
from nats_k8s_oidc_callout.errors import ConfigurationError
from nats_k8s_oidc_callout.settings import LogFormat, LogLevel, SessionControl, SessionRenewal, XkeyMode
from tests.settings.whole import CONFIG, MOUNT, VARIABLES, load, without

DEFAULTS = {
    "nats_creds_file": Path("/creds"),
    "nats_account": "APP",
    "kubernetes_service_host": "10.0.0.1",
    "nats_token": None,
    "nats_signing_key_file": None,
    "nats_account_signing_key_file": None,
    "nats_accounts_dir": None,
    "nats_auth_account": "",
    "nats_auth_timeout_seconds": 1.5,
    "nats_xkey_file": None,
    "nats_xkey_mode": XkeyMode.REQUIRED,
    "nats_tls_ca_file": None,
    "nats_tls_cert_file": None,
    "nats_tls_key_file": None,
    "nats_queue_group": "nats-k8s-oidc-callout",
    "nats_sentinel_creds_file": None,
    "self_test_token_file": None,
    "jwt_issuer": ("https://issuer.example",),
    "jwt_audience": "nats",
    "jwks_url": "https://kubernetes.default.svc/openid/v1/jwks",
    "jwks_ca_file": None,
    "jwks_file": None,
    "k8s_credentials_dir": Path(MOUNT),
    "kubeconfig": "",
    "k8s_in_cluster": True,
    "kubernetes_service_port": 443,
    "home": None,
    "k8s_namespaces": (),
    "service_accounts_dir": None,
    "sa_annotation_prefix": "nats.io/",
    "policy_file": None,
    "inbox_mode": InboxMode.SHARED,
    "jetstream_grants": JetStreamGrants.DATA,
    "reply_mode": ReplyMode.INBOX,
    "allow_responses_max": 1,
    "allow_responses_ttl_seconds": 120.0,
    "session_max_seconds": 3600,
    "token_max_lifetime_seconds": 86400,
    "require_pod_bound": False,
    "clock_skew_seconds": 30.0,
    "session_control": SessionControl.OFF,
    "session_renewal": SessionRenewal.ALL,
    "session_kicks_per_second": 50,
    "session_label": True,
    "session_release": "nats-k8s-oidc-callout",
    "session_reconcile_seconds": 300,
    "session_subjects": "nko",
    "nats_system_creds_file": None,
    "nats_system_nkey_file": None,
    "shadow": False,
    "host": "",
    "port": 8080,
    "log_level": LogLevel.INFO,
    "log_format": LogFormat.JSON,
}


def test_defaults() -> None:
    """With no more than account and login in a pod, everything else has the documented default."""
    loaded = load(CONFIG)

    assert DEFAULTS == {name: getattr(loaded, name) for name in DEFAULTS}
    assert (Address("nats"),) == loaded.nats_url.servers
    assert set(DEFAULTS) | {"nats_url"} == set(settings.VARIABLES)


TAKEN = [
    pytest.param("NATS_CREDS_FILE", "/user.seed", "nats_creds_file", Path("/user.seed"), id="creds"),
    pytest.param("NATS_SIGNING_KEY_FILE", "/account.seed", "nats_signing_key_file", Path("/account.seed"), id="signer"),
    pytest.param("NATS_AUTH_ACCOUNT", "AUTH", "nats_auth_account", "AUTH", id="auth-account"),
    pytest.param("NATS_AUTH_TIMEOUT_SECONDS", "0.5", "nats_auth_timeout_seconds", 0.5, id="timeout"),
    pytest.param("NATS_XKEY_FILE", "/x.seed", "nats_xkey_file", Path("/x.seed"), id="xkey"),
    pytest.param("NATS_TLS_CA_FILE", "/cert.pem", "nats_tls_ca_file", Path("/cert.pem"), id="tls-ca"),
    pytest.param("NATS_QUEUE_GROUP", "a.b", "nats_queue_group", "a.b", id="queue"),
    pytest.param(
        "SELF_TEST_TOKEN_FILE", "/self-test.token", "self_test_token_file", Path("/self-test.token"), id="test"
    ),
    pytest.param("NATS_SENTINEL_CREDS_FILE", "/sentinel", "nats_sentinel_creds_file", Path("/sentinel"), id="sentinel"),
    pytest.param("JWT_ISSUER", "https://b, https://a", "jwt_issuer", ("https://b", "https://a"), id="issuers"),
    pytest.param("JWT_AUDIENCE", "https://nats", "jwt_audience", "https://nats", id="audience"),
    pytest.param("JWKS_URL", "https://keys/a", "jwks_url", "https://keys/a", id="jwks-url"),
    pytest.param("JWKS_URL", "http://127.0.0.1:81/a", "jwks_url", "http://127.0.0.1:81/a", id="jwks-loopback"),
    pytest.param("JWKS_FILE", "/jwks.json", "jwks_file", Path("/jwks.json"), id="jwks-file"),
    pytest.param("JWKS_FILE", "/jwks.json", "jwks_url", "", id="jwks-file-wins-over-default-url"),
    pytest.param("KUBERNETES_SERVICE_HOST", "fd00::1", "api_server", "https://[fd00::1]:443", id="ipv6"),
    pytest.param("KUBERNETES_SERVICE_PORT", "6443", "kubernetes_service_port", 6443, id="api-port"),
    pytest.param("K8S_NAMESPACES", "web,shop, web", "k8s_namespaces", ("shop", "web"), id="namespaces"),
    pytest.param("SERVICE_ACCOUNTS_DIR", "/manifests", "service_accounts_dir", Path("/manifests"), id="manifests"),
    pytest.param("SA_ANNOTATION_PREFIX", "x.example/nats-", "sa_annotation_prefix", "x.example/nats-", id="prefix"),
    pytest.param("INBOX_MODE", "private", "inbox_mode", InboxMode.PRIVATE, id="inbox"),
    pytest.param("JETSTREAM_GRANTS", "admin", "jetstream_grants", JetStreamGrants.ADMIN, id="jetstream"),
    pytest.param("REPLY_MODE", "responses", "reply_mode", ReplyMode.RESPONSES, id="replies"),
    pytest.param("REPLY_MODE", "None", "reply_mode", ReplyMode.NONE, id="no-replies"),
    pytest.param("SESSION_MAX_SECONDS", "60", "session_max_seconds", 60, id="session"),
    pytest.param("TOKEN_MAX_LIFETIME_SECONDS", "600", "token_max_lifetime_seconds", 600, id="lifetime"),
    pytest.param("REQUIRE_POD_BOUND", "yes", "require_pod_bound", True, id="pod-bound"),
    pytest.param("REQUIRE_POD_BOUND", "0", "require_pod_bound", False, id="pod-bound-off"),
    pytest.param("CLOCK_SKEW_SECONDS", "0", "clock_skew_seconds", 0.0, id="skew"),
    pytest.param("HOST", "::1", "host", "::1", id="host"),
    pytest.param("PORT", "0", "port", 0, id="port"),
    pytest.param("LOG_LEVEL", "DEBUG", "log_level", LogLevel.DEBUG, id="level"),
    pytest.param("LOG_LEVEL", "warning", "log_level", LogLevel.WARN, id="level-warning"),
    pytest.param("LOG_FORMAT", "console", "log_format", LogFormat.CONSOLE, id="format"),
    pytest.param("NATS_USER_CREDS_FILE", "/creds", "nats_creds_file", Path("/creds"), id="alias-creds-equal"),
    pytest.param("JWKS_PATH", "/jwks.json", "jwks_file", Path("/jwks.json"), id="alias-jwks"),
    pytest.param("SESSION_CONTROL", "Revoke", "session_control", SessionControl.REVOKE, id="control"),
    pytest.param("SESSION_CONTROL", "true", "session_control", SessionControl.ON, id="yaml-on"),
    pytest.param("SESSION_CONTROL", "false", "session_control", SessionControl.OFF, id="yaml-off"),
    pytest.param("SESSION_RENEWAL", "python", "session_renewal", SessionRenewal.PYTHON, id="renewal"),
    pytest.param("SESSION_RENEWAL", "false", "session_renewal", SessionRenewal.OFF, id="renewal-yaml-off"),
    pytest.param("SESSION_KICKS_PER_SECOND", "1", "session_kicks_per_second", 1, id="kicks"),
    pytest.param("SESSION_LABEL", "off", "session_label", False, id="label-off"),
    pytest.param("SESSION_LABEL", "true", "session_label", True, id="label-yaml-on"),
    pytest.param("SESSION_RELEASE", "b-2", "session_release", "b-2", id="release-outside-a-pod"),
    pytest.param("SESSION_RECONCILE_SECONDS", "10", "session_reconcile_seconds", 10, id="reconcile"),
    pytest.param("SESSION_SUBJECTS", "n-1", "session_subjects", "n-1", id="subjects"),
    pytest.param("NATS_SYSTEM_CREDS_FILE", "/user.seed", "nats_system_creds_file", Path("/user.seed"), id="system"),
    pytest.param("NATS_SYSTEM_NKEY_FILE", "/user.seed", "nats_system_nkey_file", Path("/user.seed"), id="system-nkey"),
    pytest.param("PORT", "", "port", 8080, id="empty-is-not-set"),
]


@pytest.mark.parametrize(("name", "value", "field", "expected"), TAKEN)
def test_taken(name: str, value: str, field: str, expected: object) -> None:
    """A variable sets its field."""
    assert expected == getattr(load(CONFIG | {name: value}), field)


def test_answers_are_counted_with_responses() -> None:
    """How many answers, and for how long, can be said where the reply permission is in force."""
    replies = {"ALLOW_RESPONSES_MAX": "3", "ALLOW_RESPONSES_TTL_SECONDS": "2.5"}
    loaded = load(CONFIG | {"REPLY_MODE": "responses"} | replies)

    assert (3, 2.5) == (loaded.allow_responses_max, loaded.allow_responses_ttl_seconds)


def test_alias_alone() -> None:
    """The Go service's name of the creds file is enough by itself."""
    env = without(CONFIG, "NATS_CREDS_FILE") | {"NATS_USER_CREDS_FILE": "/creds"}

    assert Path("/creds") == load(env).nats_creds_file


URLS = [
    pytest.param("h", (Address("h"),), None, None, None, id="bare"),
    pytest.param("tls://a:1, nats://b", (Address("a", 1, must_tls=True), Address("b")), None, None, None, id="two"),
    pytest.param("nats://[::1]:4223", (Address("::1", 4223),), None, None, None, id="ipv6"),
    pytest.param("nats://h:4222/,nats://h", (Address("h"),), None, None, None, id="twice"),
    pytest.param(
        "nats://u:p%40%2C@a,nats://u:p%40%2C@b", (Address("a"), Address("b")), "u", "p@,", None, id="password"
    ),
    pytest.param("nats://t0ken@a", (Address("a"),), None, None, "t0ken", id="token"),
]


@pytest.mark.parametrize(("url", "servers", "user", "password", "token_"), URLS)
def test_servers(
    url: str, servers: tuple[Address, ...], user: str | None, password: str | None, token_: str | None
) -> None:
    """User info is taken out of the URLs, decoded, and a user alone is a token."""
    loaded = load(
        {
            "NATS_ACCOUNT": "APP",
            "NATS_URL": url,
            "NATS_SIGNING_KEY_FILE": "/account.seed",
            "KUBERNETES_SERVICE_HOST": "10.0.0.1",
        }
    )

    found = (loaded.nats_url.user, loaded.nats_url.password, loaded.nats_token)
    assert (user, password, token_) == tuple(secret and secret.reveal() for secret in found)
    assert servers == loaded.nats_url.servers


@given(st.dictionaries(st.sampled_from(VARIABLES), st.text(min_size=1, max_size=60)))
def test_any_text_is_settings_or_problems(env: dict[str, str]) -> None:
    """No text in any variable makes anything but settings or problems."""
    try:
        load(CONFIG | env)
    except ConfigurationError as error:
        told = error.problems
    else:
        told = ["none, which is fine"]

    assert told


def test_settings_do_not_change() -> None:
    """Settings are decided once."""
    loaded = load(CONFIG)

    with pytest.raises(FrozenInstanceError):
        setattr(loaded, "port", 1)  # noqa: B010  # what mypy would refuse


def test_the_process_environment_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the mapping that was handed over counts."""
    monkeypatch.setenv("PORT", "1")

    assert 8080 == load(CONFIG).port
