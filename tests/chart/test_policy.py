"""The policy file: where the Pods find it, what it needs, and who looks at it before they do."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from nats_k8s_oidc_callout.cli import main
from tests.chart.chart import ACCOUNT, NAMESPACE, Object, case, container_of, environment_of, kinds, one, pod_of, render

TEXT = """\
# Who lands where.
version: 1

rules:
  - {name: all, match: {}}  # last
"""
LABELS = {"version": 1, "rules": [{"name": "teams", "match": {"namespace_labels": {"team": "{team}"}}}]}
NAME = "nats-k8s-oidc-callout-policy"


def with_policy(**policy: Any) -> list[Object]:
    return render(ACCOUNT, "--values=-", stdin=yaml.safe_dump({"policy": policy}))


def mounted(objects: list[Object], volume: str, pod: Object) -> tuple[Any, Any]:
    """Return a volume and the one mount of it."""
    (mount,) = (each for each in pod["containers"][0]["volumeMounts"] if each["name"] == volume)
    return next(each for each in pod["volumes"] if each["name"] == volume), mount


@pytest.mark.parametrize("key", ["policy.yaml", "rules.yml"])
def test_an_inline_policy_arrives_to_the_byte(key: str) -> None:
    """The file in the Pod is the text of the value, so that `sha256sum` of both is what the log says."""
    objects = with_policy(inline=TEXT, key=key)

    assert {key: TEXT} == one(objects, "ConfigMap", NAME)["data"]
    assert f"/etc/nats-policy/{key}" == environment_of(objects)["POLICY_FILE"]


def test_an_inline_policy_may_be_a_map() -> None:
    """Written as values it says the same."""
    objects = with_policy(inline=LABELS)

    assert LABELS == yaml.safe_load(one(objects, "ConfigMap", NAME)["data"]["policy.yaml"])


@pytest.mark.parametrize(("name", "source"), [("operator-mode", NAME), ("scoped", "nats-policy")])
def test_a_change_of_the_policy_reaches_the_pods(name: str, source: str) -> None:
    """It is mounted as a folder, which follows its ConfigMap; a subPath would keep the old text. So do the accounts."""
    objects = render(f"--values={case(name)}")
    spec = pod_of(objects)["spec"]
    volume, mount = mounted(objects, "policy", spec)

    assert source == volume["configMap"]["name"]
    assert {"name": "policy", "mountPath": "/etc/nats-policy", "readOnly": True} == mount
    if name == "operator-mode":
        volume, mount = mounted(objects, "accounts", spec)
        assert "nats-tenants" == volume["secret"]["secretName"]
        assert environment_of(objects)["NATS_ACCOUNTS_DIR"] == mount["mountPath"]
        assert "subPath" not in mount


@pytest.mark.parametrize(
    ("policy", "source"),
    [({"inline": TEXT}, f"{NAME}-check"), ({"existingConfigMap": "mine", "key": "a.yaml"}, "mine")],
)
def test_the_new_policy_is_checked_before_anything_changes(policy: Any, source: str) -> None:
    """A hook runs before install and upgrade: it has the new text, the image, no token, and comes after its ConfigMap."""
    objects = with_policy(**policy)
    job = one(objects, "Job")
    spec = job["spec"]["template"]["spec"]
    volume, mount = mounted(objects, "policy", spec)

    assert "pre-install,pre-upgrade" == job["metadata"]["annotations"]["helm.sh/hook"]
    assert source == volume["configMap"]["name"]
    file = f"{mount['mountPath']}/{policy.get('key', 'policy.yaml')}"
    assert ["policy", "check", file] == spec["containers"][0]["args"]
    assert container_of(objects)["image"] == spec["containers"][0]["image"]
    assert (0, False) == (job["spec"]["backoffLimit"], spec["automountServiceAccountToken"])
    if "inline" in policy:
        checked = one(objects, "ConfigMap", source)
        assert {"policy.yaml": TEXT} == checked["data"]
        hook = checked["metadata"]["annotations"]
        assert ("pre-install,pre-upgrade", "-1") == (hook["helm.sh/hook"], hook["helm.sh/hook-weight"])


@pytest.mark.parametrize(
    ("text", "code", "says"),
    [(TEXT, 0, "1 rule"), (TEXT.replace("match", "macht"), 1, "/policy.yaml:5: E02 rule all: ")],
)
def test_the_check_is_a_command_of_the_program(tmp_path: Path, text: str, code: int, says: str) -> None:
    """What the Job runs ends well with a good file, and else says where the mistake is."""
    objects = with_policy(inline=text)
    spec = one(objects, "Job")["spec"]["template"]["spec"]
    volume, mount = mounted(objects, "policy", spec)
    for name, data in one(objects, "ConfigMap", volume["configMap"]["name"])["data"].items():
        (tmp_path / name).write_text(data)

    arguments = [each.replace(mount["mountPath"], str(tmp_path)) for each in spec["containers"][0]["args"]]
    done = CliRunner().invoke(main, arguments)
    assert (code, True) == (done.exit_code, says in done.stdout), done.output


def test_the_check_can_be_switched_off() -> None:
    """Then nothing runs before an upgrade, and without a policy there is nothing at all."""
    without = with_policy(inline=TEXT, check={"enabled": False})
    none = render(ACCOUNT)

    assert "Job" not in kinds(without)
    assert not {"Job", "ConfigMap"} & set(kinds(none))
    assert "POLICY_FILE" not in environment_of(none)


@pytest.mark.parametrize(
    ("policy", "there"),
    [
        pytest.param({"inline": TEXT}, False, id="not-used"),
        pytest.param({"inline": "rules: [{name: a, match: {}}]\n# namespace_labels: none\n"}, False, id="a-comment"),
        pytest.param({"inline": "rules: [1, {match: 2}]"}, False, id="no-rules"),
        pytest.param({"inline": LABELS}, True, id="map"),
        pytest.param({"inline": yaml.safe_dump(LABELS)}, True, id="text"),
        pytest.param({"existingConfigMap": "mine"}, False, id="unknown"),
        pytest.param({"existingConfigMap": "mine", "namespaceLabels": True}, True, id="told"),
    ],
)
def test_namespaces_may_be_read_only_where_a_rule_asks(policy: Any, there: bool) -> None:
    """Labels of namespaces need a right of the cluster's, which no other policy brings."""
    roles = {each["metadata"]["name"]: each["rules"] for each in with_policy(**policy) if each["kind"] == "ClusterRole"}

    read = [{"apiGroups": [""], "resources": ["namespaces"], "verbs": ["get", "list", "watch"]}]
    assert (read if there else None) == roles.get(f"{NAMESPACE}:nats-k8s-oidc-callout:namespaces")


def test_a_scoped_release_reads_its_own_namespaces_only() -> None:
    """The right names each of them."""
    role = one(render(f"--values={case('scoped')}"), "ClusterRole")

    assert ["team-b", "team-a"] == role["rules"][0]["resourceNames"]
