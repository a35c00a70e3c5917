"""What variables must be to each other, and the defaults that follow from others or from files."""

import pytest

from nats_k8s_oidc_callout import settings
from nats_k8s_oidc_callout.core.nats.nkeys import Kind, SigningKey
from nats_k8s_oidc_callout.settings import Mode
from tests.settings.whole import ACCOUNT, CALLOUT, CONFIG, FILES, OPERATOR, creds, load, problems, without


def test_all_problems_at_once() -> None:
    """Bad values, rules between variables and what files hold are all told in one go."""
    env = {
        "NATS_URL": "ftp://x",
        "NATS_TLS_CERT_FILE": "/cert.pem",
        "NATS_SIGNING_KEY_FILE": "/user.seed",
        "JWKS_FILE": "/nope",
        "JWKS_URL": "https://keys.example",
        "PORT": "x",
        "LOG_LEVEL": "x",
        "K8S_NAMESPACES": ",",
        "NATS_XKEY_MODE": "optional",
    }

    names = sorted(problem.split(":")[0] for problem in problems(env))

    assert sorted([*env, "NATS_ACCOUNT", "SERVICE_ACCOUNTS_DIR"]) == names


def test_nothing_set() -> None:
    """Without any variable the three things that have no default are told."""
    names = [problem.split(":")[0] for problem in problems({})]

    assert ["NATS_ACCOUNT", "SERVICE_ACCOUNTS_DIR"] == names


CROSS = [
    pytest.param(
        without(CONFIG, "NATS_CREDS_FILE"),
        ["NATS_SIGNING_KEY_FILE: is required without NATS_CREDS_FILE"],
        id="config-mode-nothing-to-sign-with",
    ),
    pytest.param(
        without(OPERATOR, "NATS_CREDS_FILE") | {"NATS_TOKEN": "t"},
        [
            "NATS_AUTH_ACCOUNT: is required in operator mode without NATS_CREDS_FILE",
            "NATS_SIGNING_KEY_FILE: is required without NATS_CREDS_FILE",
            "NATS_ACCOUNT_SIGNING_KEY_FILE: is required without NATS_CREDS_FILE",
        ],
        id="operator-mode-without-creds",
    ),
    pytest.param(
        OPERATOR | {"NATS_CREDS_FILE": "/user.seed"},
        ["NATS_CREDS_FILE: operator mode needs a whole creds file; this one holds a seed only"],
        id="operator-mode-seed-only",
    ),
    pytest.param(
        OPERATOR | {"NATS_AUTH_ACCOUNT": "AUTH"},
        ["NATS_AUTH_ACCOUNT: must be a public key (A…), as NATS_ACCOUNT is one (operator mode)"],
        id="operator-mode-name",
    ),
    pytest.param(
        CONFIG | {"NATS_USER_CREDS_FILE": "/user.seed"},
        ["NATS_CREDS_FILE: has another value in NATS_USER_CREDS_FILE, and both are names of one setting"],
        id="two-names-of-one-setting",
    ),
    pytest.param(
        CONFIG | {"NATS_TOKEN": "t"}, ["NATS_CREDS_FILE: excludes NATS_TOKEN: one login only"], id="creds-and-token"
    ),
    pytest.param(
        CONFIG | {"NATS_URL": "nats://u:p@h"},
        ["NATS_CREDS_FILE: excludes the user info in NATS_URL: one login only"],
        id="creds-and-user-info",
    ),
    pytest.param(
        CONFIG | {"NATS_AUTH_ACCOUNT": "APP"},
        ["NATS_ACCOUNT: is the callout account, where every client could read the tokens of the others"],
        id="config-mode-callout-account",
    ),
    pytest.param(
        CONFIG | {"NATS_ACCOUNTS_DIR": "/manifests"},
        [
            "NATS_ACCOUNTS_DIR: is for operator mode: in config mode one issuer signs for all accounts, and the folder would keep nobody out"
        ],
        id="config-mode-accounts-dir",
    ),
    pytest.param(
        OPERATOR | {"NATS_ACCOUNTS_DIR": "/account.seed"},
        ["NATS_ACCOUNTS_DIR: /account.seed is a file, but a folder is required"],
        id="accounts-dir-is-a-file",
    ),
    pytest.param(
        CONFIG | {"NATS_USER_CREDS_FILE": "/nope", "NATS_CREDS_FILE": ""},
        ["NATS_USER_CREDS_FILE: /nope cannot be read: No such file or directory"],
        id="the-name-that-was-used",
    ),
    pytest.param(
        CONFIG | {"JWKS_URL": "https://keys.example", "JWKS_PATH": "/jwks.json"},
        ["JWKS_URL: is set and JWKS_PATH too; one of them only"],
        id="two-key-sources",
    ),
    pytest.param(
        CONFIG | {"NATS_TLS_CERT_FILE": "/cert.pem", "NATS_TLS_KEY_FILE": "/locked.pem"},
        ["NATS_TLS_KEY_FILE: /locked.pem is encrypted, and there is nobody to ask for the passphrase"],
        id="passphrase",
    ),
    pytest.param(
        CONFIG | {"K8S_CREDENTIALS_DIR": "/empty-mount"},
        [
            "K8S_CREDENTIALS_DIR: /empty-mount/token is empty",
            "K8S_CREDENTIALS_DIR: /empty-mount/ca.crt cannot be read: No such file or directory",
        ],
        id="nothing-mounted",
    ),
    pytest.param(
        without(CONFIG, "KUBERNETES_SERVICE_HOST") | {"SERVICE_ACCOUNTS_DIR": "/manifests"},
        ["JWKS_FILE: is required without a cluster, or JWKS_URL"],
        id="manifests-without-keys",
    ),
    pytest.param(
        without(CONFIG, "KUBERNETES_SERVICE_HOST") | {"SERVICE_ACCOUNTS_DIR": "/manifests", "HOME": "/home/me"},
        ["JWKS_FILE: is required without a cluster, or JWKS_URL"],
        id="manifests-never-with-a-kubeconfig-found-by-chance",
    ),
    pytest.param(
        CONFIG | {"SERVICE_ACCOUNTS_DIR": "/manifests", "K8S_CREDENTIALS_DIR": "/empty-mount"},
        [
            "K8S_CREDENTIALS_DIR: /empty-mount/token is empty",
            "K8S_CREDENTIALS_DIR: /empty-mount/ca.crt cannot be read: No such file or directory",
        ],
        id="manifests-but-keys-of-the-cluster",
    ),
    pytest.param(
        without(CONFIG, "NATS_CREDS_FILE") | {"NATS_SIGNING_KEY_FILE": "/account.seed", "NATS_TOKEN": "t\n"},
        ["NATS_TOKEN: must not hold white space or a newline"],
        id="token-with-its-file's-newline",
    ),
    pytest.param(
        CONFIG | {"K8S_IN_CLUSTER": "false", "KUBECONFIG": "/nope:/neither"},
        ["KUBECONFIG: /nope:/neither cannot be read"],
        id="kubeconfig",
    ),
    pytest.param(
        without(CONFIG, "NATS_CREDS_FILE")
        | {"NATS_SIGNING_KEY_FILE": "/account.seed", "NATS_TOKEN": "t", "NATS_URL": "nats://u:p@h"},
        ["NATS_TOKEN: excludes the user info in NATS_URL: one login only"],
        id="token-and-user-info",
    ),
]


@pytest.mark.parametrize(("env", "expected"), CROSS)
def test_rules_between_variables(env: dict[str, str], expected: list[str]) -> None:
    """Variables that do not go together are told by the name that the user took."""
    assert expected == problems(env)


@pytest.mark.parametrize(
    ("jwt_issuer", "issuer_account", "expected"),
    [
        pytest.param(CALLOUT, "", CALLOUT.public, id="iss"),
        pytest.param(SigningKey(Kind.ACCOUNT, bytes(32)), CALLOUT.public, CALLOUT.public, id="issuer-account"),
    ],
)
def test_callout_account_of_creds(jwt_issuer: SigningKey, issuer_account: str, expected: str) -> None:
    """In operator mode the callout account is the one that the creds belong to."""
    loaded = load(OPERATOR, FILES | {"/creds": creds(jwt_issuer, issuer_account)})

    assert (Mode.OPERATOR, expected) == (loaded.mode, loaded.nats_auth_account)


def test_operator_mode_without_creds() -> None:
    """Operator mode works with keys and the callout account given one by one."""
    env = {
        "NATS_ACCOUNT": ACCOUNT.public,
        "NATS_AUTH_ACCOUNT": CALLOUT.public,
        "NATS_SIGNING_KEY_FILE": "/account.seed",
        "NATS_ACCOUNT_SIGNING_KEY_FILE": "/account.seed",
        "NATS_TOKEN": "t",
        "KUBERNETES_SERVICE_HOST": "10.0.0.1",
    }

    assert CALLOUT.public == load(env).nats_auth_account


def test_queue_group_of_a_scoped_release() -> None:
    r"""
    A scoped release has a group of its own: printf 'APP\nshop\nweb\n' | sha256sum.
    """
    assert "nats-k8s-oidc-callout.4ff31666" == load(CONFIG | {"K8S_NAMESPACES": "web,shop"}).nats_queue_group
    assert "nats-k8s-oidc-callout" == settings.queue_group("APP", [])
    assert "nats-k8s-oidc-callout.4ff31666" == settings.queue_group("APP", ["web", "shop"])
