"""Which cluster is used, if any, and what follows for keys and issuer."""

import pytest

from nats_k8s_oidc_callout.core import base64url
from nats_k8s_oidc_callout.settings import Cluster
from tests.settings.whole import CONFIG, FILES, MOUNT, load, token, without

CLUSTERS = [
    pytest.param({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, Cluster.IN_CLUSTER, "", id="pod"),
    pytest.param({"K8S_IN_CLUSTER": "true"}, Cluster.IN_CLUSTER, "", id="told"),
    pytest.param(
        {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "K8S_IN_CLUSTER": "no", "KUBECONFIG": "/kube.yaml"},
        Cluster.KUBECONFIG,
        "/kube.yaml",
        id="told-not",
    ),
    pytest.param({"KUBECONFIG": "/nope:/kube.yaml"}, Cluster.KUBECONFIG, "/nope:/kube.yaml", id="kubeconfig"),
    pytest.param({"HOME": "/home/me"}, Cluster.KUBECONFIG, "/home/me/.kube/config", id="home"),
    pytest.param(
        {"HOME": "/home/me", "SERVICE_ACCOUNTS_DIR": "/manifests", "JWKS_FILE": "/jwks.json"},
        Cluster.NONE,
        "",
        id="manifests-leave-home-alone",
    ),
    pytest.param(
        {"KUBECONFIG": "/kube.yaml", "SERVICE_ACCOUNTS_DIR": "/manifests", "JWKS_FILE": "/jwks.json"},
        Cluster.NONE,
        "",
        id="nothing-to-ask-a-cluster-for",
    ),
    pytest.param(
        {"KUBECONFIG": "/kube.yaml", "SERVICE_ACCOUNTS_DIR": "/manifests"},
        Cluster.KUBECONFIG,
        "/kube.yaml",
        id="keys-by-kubeconfig",
    ),
]


@pytest.mark.parametrize(("env", "cluster", "kubeconfig"), CLUSTERS)
def test_cluster(env: dict[str, str], cluster: Cluster, kubeconfig: str) -> None:
    """In a pod, else by a kubeconfig, else by manifests alone."""
    loaded = load(without(CONFIG, "KUBERNETES_SERVICE_HOST") | env)

    assert (cluster, kubeconfig) == (loaded.cluster, loaded.kubeconfig)


def test_nothing_mounted_and_nothing_to_mount_it_for() -> None:
    """With manifests and keys from a file, a pod needs no token of its own."""
    env = {"SERVICE_ACCOUNTS_DIR": "/manifests", "JWKS_FILE": "/jwks.json", "K8S_CREDENTIALS_DIR": "/empty-mount"}

    assert Cluster.IN_CLUSTER is load(CONFIG | env).cluster


def test_kubeconfig_has_keys_of_its_own_server() -> None:
    """With a kubeconfig there is no default URL: its server is asked."""
    env = without(CONFIG, "KUBERNETES_SERVICE_HOST") | {"KUBECONFIG": "/kube.yaml"}

    assert "" == load(env).jwks_url


@pytest.mark.parametrize(
    "mounted",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"opaque", id="opaque"),
        pytest.param(b"e30.bm90IGpzb24.c2ln", id="not-json"),
        pytest.param(b"e30." + base64url.encode(b'{"iss":"\xff"}') + b".c2ln", id="not-utf-8"),
        pytest.param(token({"iss": 1}), id="number"),
        pytest.param(token({"iss": "a b"}), id="two-words"),
    ],
)
def test_issuer_without_a_token_that_tells(mounted: bytes) -> None:
    """A mounted token that tells no issuer leaves Kubernetes' usual one."""
    env = without(CONFIG, "KUBERNETES_SERVICE_HOST") | {"KUBECONFIG": "/kube.yaml"}

    assert ("https://kubernetes.default.svc",) == load(env, FILES | {f"{MOUNT}/token": mounted}).jwt_issuer
