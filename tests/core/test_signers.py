"""Which key signs what, and which account an answer names, in both modes."""

import pytest

from nats_k8s_oidc_callout.core.nats.nkeys import Kind, SigningKey
from nats_k8s_oidc_callout.core.nats.signers import (
    AccountSigner,
    Origin,
    Signer,
    config_mode,
    never_placed,
    operator_mode,
    origins,
)

AUTH = SigningKey(Kind.ACCOUNT, bytes([1] * 32))
AUTH_SIGNING = SigningKey(Kind.ACCOUNT, bytes([2] * 32))
APP = SigningKey(Kind.ACCOUNT, bytes([3] * 32))
APP_SIGNING = SigningKey(Kind.ACCOUNT, bytes([4] * 32))
SHOP, EDGE = (SigningKey(Kind.ACCOUNT, bytes([n] * 32)) for n in (6, 7))


def test_config_mode_signs_by_the_key_the_server_names() -> None:
    """In config mode both JWTs are by the key in the request's `sub`, so that two keys can serve during a rotation."""
    signers = config_mode("APP", [AUTH, AUTH_SIGNING])

    assert {AUTH.public: Signer(AUTH), AUTH_SIGNING.public: Signer(AUTH_SIGNING)} == signers.answers
    assert {(key.public, "APP"): Signer(key, audience="APP") for key in (AUTH, AUTH_SIGNING)} == signers.users


@pytest.mark.parametrize(
    ("target", "callout", "in_user", "in_answer"),
    [
        pytest.param(APP, AUTH, "", "", id="identity-keys"),
        pytest.param(APP_SIGNING, AUTH_SIGNING, APP.public, AUTH.public, id="signing-keys"),
        pytest.param(APP, AUTH_SIGNING, "", AUTH.public, id="one-of-each"),
    ],
)
def test_operator_mode_names_the_account_of_a_signing_key(
    target: SigningKey, callout: SigningKey, in_user: str, in_answer: str
) -> None:
    """
    A signing key names the target account in the user JWT and the callout account in the response; an account's own
    key signs without an `issuer_account`.
    """
    signers = operator_mode(APP.public, target, AUTH.public, callout)

    assert {AUTH.public: Signer(callout, in_answer)} == signers.answers
    assert {(AUTH.public, APP.public): Signer(target, in_user)} == signers.users


def test_every_account_signs_by_its_own_key() -> None:
    """Operator mode signs for the accounts that it has a key of, each by its own name, and for no other."""
    others = {"SHOP": AccountSigner(SHOP.public, SHOP), "EDGE": AccountSigner(EDGE.public, AUTH_SIGNING)}
    signers = operator_mode(APP.public, APP_SIGNING, AUTH.public, AUTH_SIGNING, others)

    assert Signer(APP_SIGNING, APP.public) == signers.user(AUTH.public, APP.public)
    assert Signer(SHOP) == signers.user(AUTH.public, "SHOP")
    assert Signer(AUTH_SIGNING, EDGE.public) == signers.user(AUTH.public, "EDGE")
    for nobody in ("shop", "", "$G", "SYS", SHOP.public, AUTH.public):
        assert None is signers.user(AUTH.public, nobody)


@pytest.mark.parametrize(
    ("account", "why"),
    [
        ("SHOP", ""),
        ("app", ""),
        ("SYS", "it is the system account"),
        ("sys", "it is the system account"),
        ("$Sys", "it is the system account"),
        ("AUTH", "it is the callout account"),
        ("auth", "it is the callout account"),
        ("$G", "only NATS_ACCOUNT can choose the global account"),
        ("$g", "only NATS_ACCOUNT can choose the global account"),
        ("", "it has no name"),
    ],
)
def test_where_config_mode_never_places_anybody(account: str, why: str) -> None:
    """Config mode signs for any account by name, but for the system's, the callout's and the global one."""
    signers = config_mode("APP", [AUTH_SIGNING], "AUTH")

    assert why == never_placed(account, "AUTH")
    assert (None if why else Signer(AUTH_SIGNING, audience=account)) == signers.user(AUTH_SIGNING.public, account)


def test_the_settings_may_choose_the_global_account() -> None:
    """NATS_ACCOUNT has been judged with the settings; the callout account need not be known in config mode."""
    signers = config_mode("$G", [AUTH_SIGNING])

    assert Signer(AUTH_SIGNING, audience="$G") == signers.user(AUTH_SIGNING.public, "$G")
    assert "it has no name" == never_placed("", "")
    assert None is signers.user(AUTH_SIGNING.public, "")


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
    """Of two keys that sign the one that should rather not is told."""
    signers = operator_mode(APP.public, target, AUTH.public, callout)

    found = origins(signers, {LOGIN.public}, (APP.public, AUTH.public), configured=configured)
    assert {AUTH.public: expected} == found


def test_origin_counts_every_account_that_is_signed_for() -> None:
    """One account whose own key signs, or the login's, is told although the others have keys of their own."""
    for key, expected in ((SHOP, Origin.ACCOUNT), (LOGIN, Origin.LOGIN_INSTEAD)):
        others = {"SHOP": AccountSigner(SHOP.public, key)}
        signers = operator_mode(APP.public, APP_SIGNING, AUTH.public, AUTH_SIGNING, others)
        found = origins(signers, {LOGIN.public}, (APP.public, AUTH.public, SHOP.public), configured=True)
        assert {AUTH.public: expected} == found


def test_origin_of_the_key_that_config_mode_is_asked_for() -> None:
    """Beside a key of its own the login's is told from it by what the server asks for."""
    signers = config_mode("APP", [AUTH_SIGNING, LOGIN])

    found = origins(signers, {LOGIN.public}, ("APP", ""), configured=True)
    assert {AUTH_SIGNING.public: Origin.SEPARATE, LOGIN.public: Origin.LOGIN_INSTEAD} == found
