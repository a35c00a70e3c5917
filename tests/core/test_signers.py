"""Which key signs what, and which account an answer names, in both modes."""

import pytest

from nats_k8s_oidc_callout.core.nats.nkeys import Kind, SigningKey
from nats_k8s_oidc_callout.core.nats.signers import Origin, config_mode, operator_mode, origin

AUTH = SigningKey(Kind.ACCOUNT, bytes([1] * 32))
AUTH_SIGNING = SigningKey(Kind.ACCOUNT, bytes([2] * 32))
APP = SigningKey(Kind.ACCOUNT, bytes([3] * 32))
APP_SIGNING = SigningKey(Kind.ACCOUNT, bytes([4] * 32))


def test_config_mode_signs_by_the_key_the_server_names() -> None:
    """
    In config mode both JWTs are by the key in the request's `sub`, so that two keys can serve during a rotation.
    """
    placed = config_mode("APP", [AUTH, AUTH_SIGNING])

    assert {AUTH.public, AUTH_SIGNING.public} == set(placed)
    signers = placed[AUTH_SIGNING.public]
    assert (AUTH_SIGNING, AUTH_SIGNING) == (signers.user_key, signers.response_key)
    assert ("APP", "", "") == (signers.user_audience, signers.user_issuer_account, signers.response_issuer_account)


def test_operator_mode_with_identity_keys() -> None:
    """
    An account's own key signs without an `issuer_account`.
    """
    (subject, signers), *more = operator_mode(APP.public, APP, AUTH.public, AUTH).items()

    assert not more
    assert AUTH.public == subject
    assert (APP, AUTH) == (signers.user_key, signers.response_key)
    assert ("", "", "") == (signers.user_audience, signers.user_issuer_account, signers.response_issuer_account)


def test_operator_mode_with_signing_keys() -> None:
    """
    A signing key names the target account in the user JWT and the callout account in the response.
    """
    signers = operator_mode(APP.public, APP_SIGNING, AUTH.public, AUTH_SIGNING)[AUTH.public]

    assert (APP_SIGNING, AUTH_SIGNING) == (signers.user_key, signers.response_key)
    assert (APP.public, AUTH.public) == (signers.user_issuer_account, signers.response_issuer_account)


LOGIN = SigningKey(Kind.ACCOUNT, bytes([5] * 32))


@pytest.mark.parametrize(
    ("target", "callout", "configured", "expected"),
    [
        pytest.param(APP_SIGNING, AUTH_SIGNING, True, Origin.SEPARATE, id="keys-of-their-own"),
        pytest.param(LOGIN, LOGIN, False, Origin.LOGIN, id="nothing-but-the-login"),
        pytest.param(LOGIN, AUTH_SIGNING, True, Origin.LOGIN_INSTEAD, id="the-login-makes-the-users"),
        pytest.param(APP_SIGNING, LOGIN, True, Origin.LOGIN_INSTEAD, id="the-login-answers"),
        pytest.param(APP, AUTH_SIGNING, True, Origin.ACCOUNT, id="the-target's-own-key"),
        pytest.param(APP_SIGNING, AUTH, True, Origin.ACCOUNT, id="the-callout-account's-own-key"),
    ],
)
def test_origin_of_the_keys_of_operator_mode(
    target: SigningKey, callout: SigningKey, configured: bool, expected: Origin
) -> None:
    """
    Of two keys that sign the one that should rather not is told.
    """
    (signers,) = operator_mode(APP.public, target, AUTH.public, callout).values()

    accounts = (APP.public, AUTH.public)
    assert expected is origin(signers, {LOGIN.public}, accounts, configured=configured)


def test_origin_of_the_key_that_config_mode_is_asked_for() -> None:
    """
    Beside a key of its own the login's is told from it by what the server asks for.
    """
    placed = config_mode("APP", [AUTH_SIGNING, LOGIN])

    found = {sub: origin(signers, {LOGIN.public}, ("APP", ""), configured=True) for sub, signers in placed.items()}
    assert {AUTH_SIGNING.public: Origin.SEPARATE, LOGIN.public: Origin.LOGIN_INSTEAD} == found
