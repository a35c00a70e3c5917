"""What the release's own identity may not do: by the API server's word, and by calls with the token of its Pod."""

import json
import re
from collections.abc import Iterator

import pytest

from tests.e2e.chart_world import CHART, NAME, NAMESPACE, Release, shared_release
from tests.fakes.nats_world import Knock
from tests.leaks import SECRETS
from tests.node import Pod

pytestmark = [pytest.mark.slow, pytest.mark.e2e]

IDENTITY = f"system:serviceaccount:{NAMESPACE}:{NAME}"
TOKENS = "/var/run/secrets/kubernetes.io/serviceaccount/token"
ACCOUNTS = "/api/v1/serviceaccounts"
# Word for word.
GUIDE_TWO = """
# Deploy in namespace A
helm install nats-auth-a ./helm/nats-k8s-oidc-callout \\
  --namespace namespace-a \\
  --set nats.account="AUTH_ACCOUNT_A"

# Deploy in namespace B
helm install nats-auth-b ./helm/nats-k8s-oidc-callout \\
  --namespace namespace-b \\
  --set nats.account="AUTH_ACCOUNT_B"
"""
# Kubernetes' own, for every ServiceAccount: it may ask what it may do and who it is, and read the cluster's CAs.
DEFAULTS = {
    "clustertrustbundles.certificates.k8s.io [get list watch]",
    "selfsubjectaccessreviews.authorization.k8s.io [create]",
    "selfsubjectreviews.authentication.k8s.io [create]",
    "selfsubjectrulesreviews.authorization.k8s.io [create]",
}
FORBIDDEN: dict[str, tuple[str, str, object]] = {
    "read a Secret": ("GET", f"/api/v1/namespaces/{NAMESPACE}/secrets/nats-auth-creds", None),
    "list Secrets": ("GET", "/api/v1/secrets", None),
    "list Pods": ("GET", "/api/v1/pods", None),
    "list namespaces": ("GET", "/api/v1/namespaces", None),
    "list nodes": ("GET", "/api/v1/nodes", None),
    "read a ConfigMap": ("GET", f"/api/v1/namespaces/{NAMESPACE}/configmaps/kube-root-ca.crt", None),
    "list ClusterRoles": ("GET", "/apis/rbac.authorization.k8s.io/v1/clusterroles", None),
    "make a token": ("POST", "/api/v1/namespaces/default/serviceaccounts/default/token", {"spec": {"audiences": ["nats"]}}),
    "make a token of its own": ("POST", f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/{NAME}/token", {"spec": {}}),
    "make a ServiceAccount": ("POST", "/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": "made"}}),
    "annotate a ServiceAccount": ("PATCH", "/api/v1/namespaces/default/serviceaccounts/default", {"metadata": {}}),
    "delete a ServiceAccount": ("DELETE", "/api/v1/namespaces/default/serviceaccounts/default", None),
    "run a Pod": ("POST", f"/api/v1/namespaces/{NAMESPACE}/pods", {"metadata": {"name": "made"}}),
    "review a token": ("POST", "/apis/authentication.k8s.io/v1/tokenreviews", {"spec": {"token": "x"}}),
    "read the API server's metrics": ("GET", "/metrics", None),
}  # fmt: skip


@pytest.fixture(scope="module")
def release(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Release:
    return shared_release(request, tmp_path_factory)


def token_of(release: Release, pod: Pod) -> str:
    """Return the token that the Pod holds for the API server."""
    printed = release.sh(f"kubectl exec -n {pod.namespace} {pod.name} -- cat {TOKENS}")
    return SECRETS.register("token", printed.strip())


def may(release: Release, identity: str, namespace: str) -> set[str]:
    """Return all that an identity may do with objects there, as the API server lists it."""
    printed = release.sh(f"kubectl auth can-i --list --as={identity} -n {namespace} --no-headers")
    rows = [
        line.split("   ")[0] + " " + line[line.rindex("[") :] for line in printed.splitlines() if line[0] not in " ["
    ]
    return {re.sub(r"\s+", " ", row) for row in rows}


def test_it_may_read_service_accounts_and_nothing_else(release: Release) -> None:
    """
    The API server's own list for this identity is: get, list and watch ServiceAccounts, in any namespace.
    """
    for namespace in (NAMESPACE, "kube-system"):
        assert may(release, IDENTITY, namespace) - DEFAULTS == {"serviceaccounts [get list watch]"}


@pytest.mark.parametrize(
    ("verb", "what"),
    [
        ("get", "secrets"), ("list", "secrets"), ("create", "serviceaccounts/token"), ("create", "serviceaccounts"),
        ("update", "serviceaccounts"), ("patch", "serviceaccounts"), ("delete", "serviceaccounts"), ("get", "pods"),
        ("create", "pods"), ("create", "pods/exec"), ("get", "configmaps"), ("impersonate", "serviceaccounts"),
        ("bind", "clusterroles"), ("escalate", "clusterroles"), ("create", "tokenreviews"), ("get", "/metrics"), ("*", "*"),
    ],
)  # fmt: skip
def test_it_may_not_by_the_api_servers_word(release: Release, verb: str, what: str) -> None:
    """
    `kubectl auth can-i` says no to everything that a stolen identity would want.
    """
    done = release.try_sh(f"kubectl auth can-i {verb!r} {what!r} --as={IDENTITY} -n {NAMESPACE} 2>/dev/null")

    assert (1, "no\n") == done


def test_calls_with_the_pods_own_token_are_refused(release: Release) -> None:
    """
    The token that lies in the Pod reads ServiceAccounts and the key set; every other call gets 403.
    """
    token, request = token_of(release, release.pods()[0]), release.node.api.request
    merge = "application/merge-patch+json"
    statuses = {
        what: request(method, path, body, token=token, content_type=merge if method == "PATCH" else "application/json")[
            0
        ]
        for what, (method, path, body) in FORBIDDEN.items()
    }

    assert 200 == request("GET", f"{ACCOUNTS}?limit=1", token=token)[0]
    assert 200 == request("GET", "/openid/v1/jwks", token=token)[0]
    assert dict.fromkeys(FORBIDDEN, 403) == statuses


def test_the_token_for_nats_is_worth_nothing_at_the_api_server(release: Release) -> None:
    """
    The self-test's token has NATS' audience: the API server does not know who that is.
    """
    pod = release.pods()[0]
    printed = release.sh(f"kubectl exec -n {NAMESPACE} {pod.name} -- cat /var/run/secrets/nats-self-test/token")
    token = SECRETS.register("token", printed.strip())

    assert 401 == release.node.api.request("GET", ACCOUNTS, token=token)[0]


def test_the_guides_two_namespaces_install(release: Release) -> None:
    """
    The guide's two lines for two namespaces install beside each other, word for word; no name collides.
    """
    release.sh("kubectl create namespace namespace-a && kubectl create namespace namespace-b")
    release.sh(GUIDE_TWO)
    listed = release.sh("helm list -A --short").split()
    # The guide makes no Secret there, so that these two wait and do not answer beside the release that is tested.
    release.sh(
        "helm uninstall nats-auth-a -n namespace-a --wait && helm uninstall nats-auth-b -n namespace-b --wait", 70
    )

    assert {"nats-auth-a", "nats-auth-b"} <= set(listed)


@pytest.fixture(scope="module")
def scoped(release: Release) -> Iterator[Release]:
    """Two scoped releases at a NATS server of their own: one for team-a, one for team-b and team-c."""
    printed = release.sh(f"{NAME} keys --creds-file auth-service.creds --mode config --account AUTH_ACCOUNT_A")
    release.start_nats("nats-scoped", printed.replace("  SYS {}\n", "  SYS {}\n  AUTH_ACCOUNT_B {}\n"))
    for name in ("team-a", "team-b", "team-c", "team-d"):
        release.account(name, "web")
    for letter, teams in (("a", "team-a"), ("b", "team-b,team-c")):
        namespace = f"scoped-{letter}"
        release.sh(
            f"kubectl create namespace {namespace}\n"
            f"kubectl create secret generic nats-auth-creds -n {namespace} --from-file=credentials=./auth-service.creds\n"
            f"helm install nats-auth-{letter} ./{CHART} -n {namespace} --set nats.account=AUTH_ACCOUNT_{letter.upper()} "
            f"--set nats.url=nats://nats.nats-scoped.svc.cluster.local:4222 --set namespaces='{{{teams}}}' "
            "--set replicaCount=1 --set selfTest.enabled=false"
        )
    for letter in ("a", "b"):
        release.node.wait(lambda name=letter: only(release, name).ready, 60, f"release {letter}")  # type: ignore[misc]
    yield release
    release.sh("helm uninstall nats-auth-a -n scoped-a && helm uninstall nats-auth-b -n scoped-b")


def only(release: Release, letter: str) -> Pod:
    (pod,) = release.pods(f"scoped-{letter}")
    return pod


def counted(release: Release, letter: str) -> tuple[float, ...]:
    """Return how many logins a scoped release let in, refused, and kept silent about."""
    pod, silent = only(release, letter), 'nats_auth_dropped_total{reason="out_of_scope"}'
    return tuple(
        release.metric(pod, name) for name in ("nats_auth_requests_success", "nats_auth_requests_denied", silent)
    )


@pytest.mark.parametrize(
    ("namespace", "said", "counts"),
    [
        pytest.param("team-a", "PONG", [(1, 0, 0), (0, 0, 1)], id="first"),
        pytest.param("team-b", "PONG", [(0, 0, 1), (1, 0, 0)], id="second"),
        pytest.param("team-c", "PONG", [(0, 0, 1), (1, 0, 0)], id="second-too"),
        pytest.param("team-d", "-ERR 'Authorization Violation'", [(0, 0, 1), (0, 0, 1)], id="nobodys"),
    ],
)
def test_two_scoped_releases_never_answer_for_each_other(
    scoped: Release, namespace: str, said: str, counts: list[tuple[int, ...]]
) -> None:
    """
    A workload is let in by the release of its namespace, and the other one counts it as out of scope and says nothing.
    """
    before = [counted(scoped, letter) for letter in "ab"]
    login: Knock = scoped.log_in(scoped.token(namespace, "web"), "nats-scoped")

    def seen() -> list[tuple[float, ...]]:
        after = [counted(scoped, letter) for letter in "ab"]
        return [tuple(b - a for a, b in zip(*pair, strict=True)) for pair in zip(before, after, strict=True)]

    scoped.node.wait(lambda: seen() == counts, 5, f"{counts}, not {json.dumps(seen())}")
    assert said == login.said


def test_a_scoped_release_may_read_its_own_namespaces_only(scoped: Release) -> None:
    """
    With `namespaces` the identity reads ServiceAccounts there by Roles, and nowhere else, by word and by deed.
    """
    identity = "system:serviceaccount:scoped-b:nats-auth-b-nats-k8s-oidc-callout"
    own = {
        namespace: may(scoped, identity, namespace) - DEFAULTS
        for namespace in ("team-b", "team-c", "team-a", "scoped-b")
    }
    token, request = token_of(scoped, only(scoped, "b")), scoped.node.api.request
    paths = {name: f"/api/v1/namespaces/{name}/serviceaccounts" for name in ("team-b", "team-c", "team-a", "scoped-b")}
    statuses = {name: request("GET", path, token=token)[0] for name, path in paths.items()}

    assert {"serviceaccounts [get list watch]"} == own["team-b"] == own["team-c"]
    assert set() == own["team-a"] == own["scoped-b"]
    assert {"team-b": 200, "team-c": 200, "team-a": 403, "scoped-b": 403} == statuses
    assert 403 == request("GET", ACCOUNTS, token=token)[0]
