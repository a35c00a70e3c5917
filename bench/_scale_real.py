"""So many ServiceAccounts in a real kube-apiserver over etcd, for `bench/scale.py --real`."""

import http.client
import json
import ssl
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from bench._scale_world import Api
from bench.serviceaccounts import account
from tests.e2e.cluster import Cluster
from tests.fakes.issuer import AUDIENCE

_AT_ONCE = 8


@contextmanager
def real_api(count: int, folder: Path) -> Iterator[Api]:
    """Run one, with the ServiceAccounts and namespaces that the scripted server has, and the rights that the chart gives."""
    place = folder / "cluster"
    place.mkdir()
    with Cluster(place) as cluster:
        cluster.apply_rbac()
        name = cluster.service_account
        group = "/apis/rbac.authorization.k8s.io/v1/clusterroles"
        kinds = {"apiGroups": [""], "resources": ["serviceaccounts", "namespaces"], "verbs": ["get", "list", "watch"]}
        cluster.apply("PUT", f"{group}/{name}", {"metadata": {"name": name}, "rules": [kinds]})
        made = [account(number)["metadata"] for number in range(count)]
        namespaces = dict.fromkeys(one["namespace"] for one in made)
        labels = {"example.com/team": "team-1"}
        _create(cluster, (("/api/v1/namespaces", {"name": one, "labels": labels}) for one in namespaces))
        _create(cluster, ((f"/api/v1/namespaces/{one['namespace']}/serviceaccounts", _as_given(one)) for one in made))
        variables = {
            **cluster.environment,
            "K8S_CREDENTIALS_DIR": str(cluster.credentials_dir(cluster.namespace, name)),
            "JWKS_URL": f"{cluster.url}/openid/v1/jwks",
            "JWT_ISSUER": cluster.issuer,
            "JWT_AUDIENCE": AUDIENCE,
        }
        yield Api(variables)


def _as_given(one: dict[str, object]) -> dict[str, object]:
    return {key: one[key] for key in ("name", "labels", "annotations") if key in one}


def _create(cluster: Cluster, wanted: Iterable[tuple[str, dict[str, object]]]) -> None:
    """Create these, each thread over one connection."""
    every = list(wanted)
    tls = ssl.create_default_context(cafile=str(cluster.ca_file))
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {cluster.admin_token}"}

    def work(first: int) -> None:
        connection = http.client.HTTPSConnection(cluster.service_host, cluster.service_port, context=tls, timeout=60)
        for path, metadata in every[first::_AT_ONCE]:
            connection.request("POST", path, json.dumps({"metadata": metadata}), headers)
            answer = connection.getresponse()
            said = answer.read()
            if answer.status not in (201, 409):
                raise RuntimeError(f"POST {path}: {answer.status} {said[:200]!r}")

    with ThreadPoolExecutor(_AT_ONCE) as threads:
        list(threads.map(work, range(_AT_ONCE)))
