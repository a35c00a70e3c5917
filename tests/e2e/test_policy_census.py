"""policy check --cluster on a real API server, with the chart's rights alone: all of the cluster, or a scope of it."""

from pathlib import Path
from typing import Any

import click.testing
import msgspec
import pytest

from nats_k8s_oidc_callout.adapters.kubernetes import pages
from nats_k8s_oidc_callout.cli import main
from tests.e2e.cluster import Cluster
from tests.settings.whole import creds

pytestmark = [pytest.mark.cluster, pytest.mark.e2e]

TEAM = "example.com/team"
POLICY = f"""
version: 1
rules:
  - {{name: mine, match: {{namespaces: ["census-*"], namespace_labels: {{{TEAM}: "{{team}}"}}}}, account: APP,
     root: "team.{{team}}", annotations: {{publish: ["team.{{team}}.>"]}}}}
  - {{name: strangers, match: {{namespaces: ["census-*"]}}, refuse: no team}}
  - {{name: everybody, match: {{}}}}
"""
GROUP = "/apis/rbac.authorization.k8s.io/v1"


@pytest.fixture(scope="module")
def census(cluster: Cluster) -> Cluster:
    """Two namespaces, one of them with a label; seven ServiceAccounts in all."""
    for number in range(5):
        cluster.create_service_account(
            "census-a", f"app-{number}", {"nats.io/allowed-pub-subjects": f"team.{number}.x"}
        )
    for number in range(2):
        cluster.create_service_account("census-b", f"app-{number}")
    cluster.label_namespace("census-a", {TEAM: "0"})
    return cluster


def _grant(cluster: Cluster, name: str, scope: str) -> None:
    """Give a ServiceAccount the chart's rights: everywhere, or for one namespace alone."""
    cluster.create_service_account("checker", name)
    verbs = {"apiGroups": [""], "verbs": ["get", "list", "watch"]}
    accounts: dict[str, Any] = {**verbs, "resources": ["serviceaccounts"]}
    namespaces = {**verbs, "resources": ["namespaces"], **({"resourceNames": [scope]} if scope else {})}
    subject = {"kind": "ServiceAccount", "namespace": "checker", "name": name}

    def bind(base: str, kind: str, role: str, rules: list[dict[str, Any]]) -> None:
        cluster.apply("POST", f"{base}/{kind.lower()}s", {"metadata": {"name": role}, "rules": rules})
        reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role}
        body = {"metadata": {"name": role}, "roleRef": reference, "subjects": [subject]}
        cluster.apply("POST", f"{base}/{kind.lower()}bindings", body)

    if scope:
        bind(f"{GROUP}/namespaces/{scope}", "Role", name, [accounts])
        bind(GROUP, "ClusterRole", name, [namespaces])
    else:
        bind(GROUP, "ClusterRole", name, [accounts, namespaces])


@pytest.mark.parametrize("scope", ["", "census-a"])
def test_everybody_is_counted_once(
    census: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scope: str
) -> None:
    """
    By pages of three. Labels of namespaces come by one list, or in a scope by one of each name that a rule allows.
    """
    monkeypatch.setattr(pages, "PAGE_ITEMS", 3)
    name = f"census-{scope or 'all'}"
    _grant(census, name, scope)
    (tmp_path / "creds").write_bytes(creds())
    (tmp_path / "policy.yaml").write_text(POLICY)
    env = {
        **census.environment,
        "K8S_CREDENTIALS_DIR": str(census.credentials_dir("checker", name)),
        "NATS_ACCOUNT": "APP",
        "NATS_CREDS_FILE": str(tmp_path / "creds"),
        "K8S_NAMESPACES": scope,
    }
    ran = click.testing.CliRunner().invoke(
        main, ["policy", "check", str(tmp_path / "policy.yaml"), "--cluster", "--json"], env=env
    )

    assert 0 == ran.exit_code, ran.output
    found = msgspec.json.decode(ran.stdout)["cluster"]
    assert (5, 0 if scope else 2) == (found["rules"]["mine"], found["rules"]["strangers"])
    assert (found["rules"]["everybody"] == 0) == bool(scope)
    assert sum(found["rules"].values()) == found["service_accounts"]
    assert [f"census-a/app-{number}" for number in range(1, 5)] == [
        one["workload"] for one in found["left_out"] if one["workload"].startswith("census-a/")
    ]
