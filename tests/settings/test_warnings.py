"""What works but is told at the start, and variables that are not ours."""

import pytest

from nats_k8s_oidc_callout.core.nats.nkeys import Kind, SigningKey
from nats_k8s_oidc_callout.settings import VARIABLES
from tests.settings.whole import CONFIG, OPERATOR, load, warned, without

POLICY = {"POLICY_FILE": "/policy.yaml"}
WARNINGS = [
    pytest.param(CONFIG, "NATS_SIGNING_KEY_FILE", True, id="derived-key"),
    pytest.param(CONFIG | {"NATS_SIGNING_KEY_FILE": "/account.seed"}, "NATS_SIGNING_KEY_FILE", False, id="own-key"),
    pytest.param(OPERATOR, "NATS_ACCOUNT_SIGNING_KEY_FILE", True, id="derived-account-key"),
    pytest.param(
        CONFIG | {"NATS_ACCOUNT_SIGNING_KEY_FILE": "/account.seed"},
        "NATS_ACCOUNT_SIGNING_KEY_FILE",
        True,
        id="account-key-in-config-mode",
    ),
    pytest.param(
        OPERATOR | {"NATS_ACCOUNTS_DIR": "/manifests"}, "NATS_ACCOUNTS_DIR", True, id="accounts-without-policy"
    ),
    pytest.param(OPERATOR | POLICY | {"NATS_ACCOUNTS_DIR": "/manifests"}, "NATS_ACCOUNTS_DIR", False, id="accounts"),
    pytest.param(CONFIG | POLICY, "NATS_AUTH_ACCOUNT", True, id="policy-without-the-callout-account"),
    pytest.param(CONFIG | POLICY | {"NATS_AUTH_ACCOUNT": "AUTH"}, "NATS_AUTH_ACCOUNT", False, id="policy"),
    pytest.param(CONFIG, "INBOX_MODE", True, id="shared-inbox"),
    pytest.param(CONFIG | {"INBOX_MODE": "private"}, "INBOX_MODE", False, id="private-inbox"),
    pytest.param(CONFIG | {"JETSTREAM_GRANTS": "admin"}, "JETSTREAM_GRANTS", True, id="admin"),
    pytest.param(CONFIG | {"NATS_ACCOUNT": "$G", "NATS_AUTH_ACCOUNT": "$G"}, "NATS_ACCOUNT", True, id="global"),
    pytest.param(CONFIG | {"NATS_ACCOUNT": "$G"}, "NATS_ACCOUNT", True, id="global-by-default"),
    pytest.param(
        CONFIG | {"NATS_ACCOUNT": "$G", "NATS_AUTH_ACCOUNT": "AUTH"}, "NATS_ACCOUNT", False, id="global-only-target"
    ),
    pytest.param(CONFIG | {"NATS_AUTH_TIMEOUT_SECONDS": "3"}, "NATS_AUTH_TIMEOUT_SECONDS", True, id="long-timeout"),
    pytest.param(CONFIG | {"K8S_NAMESPACE": "web"}, "K8S_NAMESPACE", True, id="go-namespace"),
    pytest.param(CONFIG | {"CACHE_CLEANUP_INTERVAL": "5m"}, "CACHE_CLEANUP_INTERVAL", True, id="go-cleanup"),
    pytest.param(CONFIG | {"NATS_CRED_FILE": "/creds"}, "NATS_CRED_FILE", True, id="unknown"),
    pytest.param(CONFIG | {"NATS_CRED_FILE": ""}, "NATS_CRED_FILE", False, id="unknown-but-empty"),
    pytest.param(CONFIG | {"OTHER": "1"}, "OTHER", False, id="not-ours"),
    pytest.param(CONFIG | {"SERVICE_ACCOUNTS_DIR": "/manifests"}, "SERVICE_ACCOUNTS_DIR", True, id="manifests"),
    pytest.param(CONFIG | {"KUBECONFIG": "/kube.yaml"}, "KUBECONFIG", True, id="kubeconfig-in-a-pod"),
    pytest.param(CONFIG | {"JWKS_CA_FILE": "/cert.pem"}, "JWKS_CA_FILE", True, id="ca-without-url"),
    pytest.param(
        without(CONFIG, "NATS_CREDS_FILE") | {"NATS_SIGNING_KEY_FILE": "/account.seed"},
        "NATS_CREDS_FILE",
        True,
        id="no-login",
    ),
    pytest.param(
        OPERATOR | {"NATS_AUTH_ACCOUNT": SigningKey(Kind.ACCOUNT, bytes(32)).public},
        "NATS_AUTH_ACCOUNT",
        True,
        id="another-account",
    ),
]


@pytest.mark.parametrize(("env", "name", "expected"), WARNINGS)
def test_warnings(env: dict[str, str], name: str, expected: bool) -> None:
    """What works but should be known is a warning, not a problem."""
    assert expected == warned(env, name)


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("inbox", "the inbox prefix _INBOX_<namespace>_<name> gets no answer (only with responses)"),
        ("responses", "a workload can publish on every subject of its account"),
        ("none", "no workload may answer into an inbox"),
    ],
)
def test_each_way_to_answer_has_its_price(mode: str, expected: str) -> None:
    """What a reply mode gives away, or takes, is said at the start."""
    told = [line for line in load(CONFIG | {"REPLY_MODE": mode}).warnings if line.startswith("REPLY_MODE: ")]

    assert [True] == [expected in line for line in told]


def test_unknown_variable_with_a_likeness() -> None:
    """A variable that nobody reads is told with the setting it resembles, and without its value."""
    warnings = load(CONFIG | {"NATS_CRED_FILE": "s3cret"}).warnings

    assert "NATS_CRED_FILE: is no setting of this program; is NATS_CREDS_FILE meant?" in warnings


FROM_KUBELET = (
    "SERVICE_HOST",
    "SERVICE_PORT",
    "SERVICE_PORT_CLIENT",
    "PORT",
    "PORT_4222_TCP",
    "PORT_4222_TCP_PROTO",
    "PORT_4222_TCP_PORT",
    "PORT_4222_TCP_ADDR",
)


@pytest.mark.parametrize("ending", FROM_KUBELET)
def test_kubelet_variables(ending: str) -> None:
    """What the kubelet sets for a Service `nats` neither disturbs nor warns."""
    assert load(CONFIG) == load(CONFIG | {f"NATS_{ending}": "tcp://10.0.0.7:4222"})


def test_no_service_name_collides() -> None:
    """No Service makes the kubelet set a variable of ours, but for the API server's own two."""
    names = {name for one in VARIABLES.values() for name in one.names}
    injected = {name for name in names if any(name.endswith(f"_{ending}") for ending in FROM_KUBELET)}

    assert {"KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"} == injected
