"""The hash that replicas compare: what decides moves it, and neither a secret nor a place does."""

from pathlib import Path

import pytest

from nats_k8s_oidc_callout import settings
from nats_k8s_oidc_callout.app import fingerprint as module
from nats_k8s_oidc_callout.app.fingerprint import fingerprint
from nats_k8s_oidc_callout.settings import VARIABLES, Settings
from tests.settings.whole import ACCOUNT_SEED, JWKS

KEYS = {"signers": ["AAAA"], "xkeys": []}


def loaded(folder: Path, **more: str) -> Settings:
    (folder / "accounts").mkdir(exist_ok=True)
    for name, text in (("jwks", JWKS), ("other", JWKS), ("signing", ACCOUNT_SEED.encode())):
        (folder / name).write_bytes(text)
    usual = {
        "NATS_URL": "nats://user:s3cret@a:4222",
        "NATS_ACCOUNT": "APP",
        "NATS_SIGNING_KEY_FILE": str(folder / "signing"),
        "SERVICE_ACCOUNTS_DIR": str(folder / "accounts"),
        "JWKS_FILE": str(folder / "jwks"),
    }
    return settings.load({name: value for name, value in (usual | more).items() if value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param("JWT_ISSUER", "https://other", id="issuer"),
        pytest.param("JWT_AUDIENCE", "other", id="audience"),
        pytest.param("NATS_ACCOUNT", "OTHER", id="account"),
        pytest.param("NATS_AUTH_ACCOUNT", "AUTH", id="callout-account"),
        pytest.param("INBOX_MODE", "private", id="inbox-mode"),
        pytest.param("REPLY_MODE", "responses", id="reply-mode"),
        pytest.param("JETSTREAM_GRANTS", "admin", id="jetstream"),
        pytest.param("K8S_NAMESPACES", "team-a", id="namespaces"),
        pytest.param("SESSION_MAX_SECONDS", "60", id="session"),
        pytest.param("TOKEN_MAX_LIFETIME_SECONDS", "60", id="token-lifetime"),
        pytest.param("REQUIRE_POD_BOUND", "true", id="pod-bound"),
        pytest.param("SA_ANNOTATION_PREFIX", "a.b/", id="prefix"),
        pytest.param("SESSION_CONTROL", "on", id="session-control"),
        pytest.param("SESSION_LABEL", "off", id="session-label"),
        pytest.param("SESSION_RELEASE", "b", id="session-release"),
        pytest.param("NATS_AUTH_TIMEOUT_SECONDS", "1", id="time-out"),
    ],
)
def test_what_decides_moves_it(name: str, value: str, tmp_path: Path) -> None:
    """A setting that changes a decision changes the hash."""
    assert fingerprint(loaded(tmp_path), KEYS) != fingerprint(loaded(tmp_path, **{name: value}), KEYS)


def test_keys_in_force_move_it(tmp_path: Path) -> None:
    """Another public key that signs or unseals changes the hash; in which order they stand does not."""
    found = loaded(tmp_path)

    hashes = {
        fingerprint(found, keys)
        for keys in (KEYS, {"signers": ["AAAB"], "xkeys": []}, {"signers": ["AAAA"], "xkeys": ["X"]})
    }
    assert 3 == len(hashes)
    assert fingerprint(found, {"signers": ["a", "b"]}) == fingerprint(found, {"signers": ["b", "a"]})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param("NATS_URL", "nats://user:other@a:4222", id="password"),
        pytest.param("NATS_URL", "nats://b:4222", id="place"),
        pytest.param("JWKS_FILE", "other", id="path"),
        pytest.param("LOG_LEVEL", "debug", id="log"),
        pytest.param("PORT", "9090", id="port"),
    ],
)
def test_secrets_and_places_do_not(name: str, value: str, tmp_path: Path) -> None:
    """No secret goes into the hash, not even hashed; nor does where a thing is."""
    value = str(tmp_path / value) if name == "JWKS_FILE" else value

    assert fingerprint(loaded(tmp_path), KEYS) == fingerprint(loaded(tmp_path, **{name: value}), KEYS)


def test_a_token_does_not(tmp_path: Path) -> None:
    """NATS_TOKEN is a secret, and so is what stands behind a `?`."""
    plain = {"NATS_URL": "nats://a:4222", "JWKS_FILE": ""}
    one = loaded(tmp_path, **plain, NATS_TOKEN="one", JWKS_URL="https://keys.example/jwks?sig=one")
    two = loaded(tmp_path, **plain, NATS_TOKEN="two", JWKS_URL="https://keys.example/jwks?sig=two")
    moved = loaded(tmp_path, **plain, NATS_TOKEN="one", JWKS_URL="https://keys.example/others")

    assert fingerprint(one, KEYS) == fingerprint(two, KEYS)
    assert fingerprint(one, KEYS) != fingerprint(moved, KEYS)


def test_what_is_left_out_is_a_setting() -> None:
    """The list of what decides nothing names settings that exist."""
    assert set() == module._DECIDE_NOTHING - set(VARIABLES)
