"""`policy check --admission` prints YAML for kubectl, and nothing else."""

import yaml

from nats_k8s_oidc_callout.core.grants import admission
from nats_k8s_oidc_callout.core.grants.filter import JetStreamGrants
from tests.cli.desk import Desk


def test_it_prints_the_policy_and_its_binding(desk: Desk) -> None:
    """Both are those of the settings, of which it needs no others, and no file."""
    chosen = {"SA_ANNOTATION_PREFIX": "x.example/", "JETSTREAM_GRANTS": "admin", "K8S_NAMESPACES": "b,a"}
    done = desk.run("policy", "check", "--admission", NATS_ACCOUNT="", **chosen)

    expected = [admission.policy("x.example/", JetStreamGrants.ADMIN), admission.binding(["a", "b"])]
    assert (0, expected) == (done.exit_code, list(yaml.safe_load_all(done.stdout)))


def test_it_has_the_defaults_of_the_settings(desk: Desk) -> None:
    """Without variables it is for `nats.io/`, `data` and all namespaces."""
    done = desk.run("policy", "check", "--admission")

    expected = [admission.policy("nats.io/", JetStreamGrants.DATA), admission.binding()]
    assert expected == list(yaml.safe_load_all(done.stdout))


def test_bad_variables_are_told_at_once(desk: Desk) -> None:
    """Each with its name, and nothing is printed that could be applied."""
    done = desk.run("policy", "check", "--admission", JETSTREAM_GRANTS="all", SA_ANNOTATION_PREFIX="x")

    assert (2, "") == (done.exit_code, done.stdout)
    assert "Invalid configuration, 2 problems:" in done.stderr
    assert "JETSTREAM_GRANTS: must be one of data, admin" in done.stderr
