"""The real API server that other tests stand on does what a real cluster does."""

import base64
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.cluster import Cluster, ClusterError

pytestmark = [pytest.mark.cluster, pytest.mark.e2e]

JWKS = "/openid/v1/jwks"


def payload(token: str) -> Any:
    body = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))


def header(token: str) -> Mapping[str, str]:
    head = token.split(".", 1)[0]
    return dict(json.loads(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4))))


def test_token_request_gives_the_claims_of_kubernetes(cluster: Cluster) -> None:
    """A token for `nats` names its issuer, audience, ServiceAccount and uid, and lives as long as asked."""
    uid = cluster.create_service_account("team-a", "orders")

    claims = payload(cluster.token("team-a", "orders", duration=900))

    assert cluster.issuer == claims["iss"]
    assert ["nats"] == claims["aud"]
    assert claims["sub"] == "system:serviceaccount:team-a:orders"
    assert {"namespace": "team-a", "serviceaccount": {"name": "orders", "uid": uid}} == claims["kubernetes.io"]
    assert 900 == claims["exp"] - claims["iat"]


def test_token_of_a_pod_names_the_pod(cluster: Cluster) -> None:
    """A token that is bound to a Pod object carries its name and uid."""
    cluster.create_service_account("team-a", "bound")
    uid = cluster.create_pod("team-a", "bound-0", "bound")

    token = cluster.token("team-a", "bound", pod=("bound-0", uid))

    assert {"name": "bound-0", "uid": uid} == payload(token)["kubernetes.io"]["pod"]


def test_key_set_is_for_service_accounts_only(cluster: Cluster) -> None:
    """Any ServiceAccount reads the key set by the default binding; a caller without a token is refused."""
    cluster.apply_rbac()
    token = cluster.token(cluster.namespace, cluster.service_account, None)

    status, keys = cluster.request("GET", JWKS, token=token)

    assert (200, [cluster.signing_keys[0].kid]) == (status, [key["kid"] for key in keys["keys"]])
    assert cluster.request("GET", JWKS, token=None)[0] == 403


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        pytest.param("GET", "/api/v1/serviceaccounts?limit=1", 200, id="list-service-accounts"),
        pytest.param("GET", "/api/v1/namespaces/nats-auth/serviceaccounts/nats-k8s-oidc-callout", 200, id="get-one"),
        pytest.param("DELETE", "/api/v1/namespaces/nats-auth/serviceaccounts/nobody", 403, id="delete-one"),
        pytest.param("GET", "/api/v1/pods", 403, id="list-pods"),
        pytest.param("GET", "/api/v1/namespaces/nats-auth/secrets", 403, id="list-secrets"),
    ],
)
def test_responder_has_exactly_the_rights_of_the_chart(cluster: Cluster, method: str, path: str, expected: int) -> None:
    """The responder's identity reads ServiceAccounts, and nothing else."""
    cluster.apply_rbac()
    token = cluster.token(cluster.namespace, cluster.service_account, None)

    assert expected == cluster.request(method, path, token=token)[0]


def test_token_we_sign_is_the_clusters_own(cluster: Cluster) -> None:
    """A token signed with the test's key passes the API server's own check, and one in the past does not."""
    cluster.create_service_account("team-a", "signed")
    good = cluster.claims("team-a", "signed", aud=[cluster.issuer])
    past = good | {"exp": int(time.time()) - 120, "iat": int(time.time()) - 720, "nbf": int(time.time()) - 720}

    answers = [cluster.request("GET", JWKS, token=cluster.sign_token(claims))[0] for claims in (good, past)]

    assert [200, 401] == answers


def test_annotations_can_be_set_and_removed(cluster: Cluster) -> None:
    """`annotate` changes what a ServiceAccount carries; kubectl sees it, too."""
    cluster.create_service_account("team-a", "noted", {"nats.io/allowed-pub-subjects": "a.>", "other": "stays"})

    cluster.annotate("team-a", "noted", {"nats.io/allowed-pub-subjects": None, "nats.io/allowed-sub-subjects": "b.>"})

    seen = json.loads(cluster.kubectl("-n", "team-a", "get", "serviceaccount", "noted", "-o", "json"))
    assert {"nats.io/allowed-sub-subjects": "b.>", "other": "stays"} == seen["metadata"]["annotations"]


def test_service_account_made_again_has_another_uid(cluster: Cluster) -> None:
    """Deleting and creating a ServiceAccount gives the old name a new identity."""
    first = cluster.create_service_account("team-a", "again")
    cluster.delete_service_account("team-a", "again")

    assert first != cluster.create_service_account("team-a", "again")


def test_mount_looks_as_the_kubelet_lays_it_out(cluster: Cluster) -> None:
    """The folder holds token, ca.crt and namespace as links through ..data, and a rotation swaps the token."""
    cluster.create_service_account("team-a", "mounted")
    mount = cluster.credentials_dir("team-a", "mounted")
    first = (mount / "token").read_text()

    again = cluster.credentials_dir("team-a", "mounted")

    assert mount == again
    assert Path("..data/token") == (mount / "token").readlink()
    assert "team-a" == (mount / "namespace").read_text()
    assert cluster.ca_file.read_bytes() == (mount / "ca.crt").read_bytes()
    assert first != (mount / "token").read_text()
    assert cluster.request("GET", JWKS, token=first)[0] == 200


def test_kubectl_complains_in_its_own_words(cluster: Cluster) -> None:
    """A kubectl command that fails is a ClusterError that says why."""
    with pytest.raises(ClusterError, match='namespaces "nowhere" not found'):
        cluster.kubectl("get", "namespace", "nowhere")


@pytest.mark.slow
def test_keys_roll_over(tmp_path: Path) -> None:
    """With two keys published and the second signing, both old and new tokens hold; data outlive the restart."""
    with Cluster(tmp_path) as cluster:
        cluster.create_service_account("team-a", "rolled")
        old = cluster.token("team-a", "rolled", None)

        cluster.use_keys(published=[0, 1], signing=1)

        new = cluster.token("team-a", "rolled", None)
        assert [cluster.signing_keys[0].kid, cluster.signing_keys[1].kid] == [header(old)["kid"], header(new)["kid"]]
        assert [200, 200] == [cluster.request("GET", JWKS, token=token)[0] for token in (old, new)]


def test_failed_start_shows_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that ends at once is an error with its own last words, and leaves nothing running."""
    assets = tmp_path / "assets"
    assets.mkdir()
    (assets / "kube-apiserver").write_text("#!/bin/sh\necho no such luck\nexit 3\n")
    (assets / "kube-apiserver").chmod(0o755)
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(assets))

    with pytest.raises(ClusterError, match=r"kube-apiserver ended with 3:\nno such luck"):
        Cluster(tmp_path).start()


def test_pause_and_resume(cluster: Cluster) -> None:
    """A paused API server keeps its port open and answers nobody; resumed, it goes on."""
    cluster.pause()
    try:
        with pytest.raises(OSError, match="timed out"):
            cluster.request("GET", "/readyz", timeout=0.3)
    finally:
        cluster.resume()

    assert cluster.request("GET", "/readyz")[0] == 200
