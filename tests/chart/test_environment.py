"""The environment that the chart sets is one that the service takes, and nothing in it is without effect."""

import functools
from pathlib import Path
from typing import Any

import pytest
import yaml

from nats_k8s_oidc_callout.settings import VARIABLES, Settings
from tests.chart.chart import (
    ACCOUNT,
    CHART,
    EACH_CASE,
    Object,
    case,
    environment_of,
    objects_in,
    objects_of,
    pod_of,
    render,
    template,
)
from tests.settings import whole

# Variables that no value sets, and why.
WITHOUT_VALUE = {
    "NATS_TOKEN": "a secret in clear text: extraEnv takes it from a Secret",
    "JWKS_FILE": "a key set that somebody else keeps fresh: extraVolumes and extraEnv",
    "JWKS_PATH": "another name of JWKS_FILE",
    "NATS_USER_CREDS_FILE": "another name of NATS_CREDS_FILE",
    "HOST": "a Pod listens on all its addresses, or the kubelet's probes fail",
    "K8S_IN_CLUSTER": "a Pod is in a cluster",
    "K8S_CREDENTIALS_DIR": "where the kubelet mounts the token",
    "KUBERNETES_SERVICE_HOST": "set by the kubelet",
    "KUBERNETES_SERVICE_PORT": "set by the kubelet",
    "KUBECONFIG": "for the world outside of a cluster",
    "HOME": "only to find a kubeconfig",
    "SERVICE_ACCOUNTS_DIR": "for the world without a cluster",
}
_FILES = whole.FILES
_BY_NAME = {
    "credentials": _FILES["/creds"],
    "signing-key": _FILES["/account.seed"],
    "account-signing-key": _FILES["/account.seed"],
    "xkey": _FILES["/x.seed"],
    "sentinel": _FILES["/sentinel"],
    "system": _FILES["/creds"],
    "nats-self-test": _FILES["/self-test.token"],
    "policy": b"version: 1\nrules: [{name: all, match: {}}]\n",
}
_BY_ENDING = {".crt": whole.CERTIFICATE, ".pem": whole.CERTIFICATE, "tls.key": whole.PRIVATE_KEY}


def files_of(objects: list[Object], env: dict[str, str]) -> dict[str, bytes | None]:
    """Return what the kubelet would mount, with good content; a path that no volume brings is not there."""
    pod = pod_of(objects)["spec"]
    mounts = {mount["mountPath"]: mount["name"] for mount in pod["containers"][0]["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    files: dict[str, bytes | None] = {path: _FILES[path] for path in _FILES if path.startswith(whole.MOUNT)}
    for path in (value for name, value in env.items() if name.endswith("_FILE")):
        folder, _, file = path.rpartition("/")
        if folder in mounts and brings(volumes[mounts[folder]], file):
            by_ending = next((body for ending, body in _BY_ENDING.items() if path.endswith(ending)), b"")
            files[path] = _BY_NAME.get(mounts[folder], by_ending)
    return files | {path: whole.FOLDER for name, path in env.items() if name.endswith("_DIR") and path in mounts}


def brings(volume: Any, file: str) -> bool:
    """Say whether a volume has a file of this name; one that lists none has whatever its source has."""
    listed = [source["serviceAccountToken"]["path"] for source in volume.get("projected", {}).get("sources", [])]
    listed += [item["path"] for kind in ("secret", "configMap") for item in volume.get(kind, {}).get("items", [])]
    return not listed or file in listed


@functools.cache
def loaded(path: Path) -> Settings:
    objects = objects_of(path)
    env = environment_of(objects) | {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": "443"}
    return whole.load(env | ({"NATS_TOKEN": "s3cret"} if path.stem == "additions" else {}), files_of(objects, env))


@EACH_CASE
def test_the_service_takes_the_environment(case: Path) -> None:
    """What the chart renders is a whole and valid configuration, whose files the Pod mounts, without a stray variable."""
    warnings = loaded(case).warnings

    assert [] == [line for line in warnings if "no effect" in line or "no setting of this program" in line]


def test_each_value_reaches_its_setting() -> None:
    """What stands in the values is what the service works by."""
    settings = loaded(case("openshift"))

    assert (3.0, "callout.blue", True, 1_000_000, 2.5) == (
        settings.nats_auth_timeout_seconds,
        settings.nats_queue_group,
        settings.require_pod_bound,
        settings.token_max_lifetime_seconds,
        settings.clock_skew_seconds,
    )
    assert ("nats.example.com/", "private", "admin", "responses", 3, 0.5, 31_536_000, "debug", "console", None) == (
        settings.sa_annotation_prefix,
        settings.inbox_mode,
        settings.jetstream_grants,
        settings.reply_mode,
        settings.allow_responses_max,
        settings.allow_responses_ttl_seconds,
        settings.session_max_seconds,
        settings.log_level,
        settings.log_format,
        settings.self_test_token_file,
    )


def test_sessions_reach_their_settings() -> None:
    """What stands below `sessions` is what the service looks after its sessions by; the release is in it."""
    settings = loaded(case("sessions"))

    assert ("on", "python", 20, True, 60, "nats-sessions") == (
        settings.session_control,
        settings.session_renewal,
        settings.session_kicks_per_second,
        settings.session_label,
        settings.session_reconcile_seconds,
        settings.session_subjects,
    )
    assert settings.session_release.startswith("blue-two")
    assert "/etc/nats-auth/system/login.creds" == str(settings.nats_system_creds_file)


@pytest.mark.parametrize(("said", "control"), [("off", None), ("revoke", "revoke"), ("on", "on"), ("'on'", "on")])
def test_control_of_sessions_may_be_written_without_quotes(said: str, control: str | None) -> None:
    """YAML makes a truth of `on` and `off`; both forms are taken, and off sets no variable."""
    env = environment_of(objects_in(template(ACCOUNT, "--values=-", stdin=f"sessions: {{control: {said}}}")))

    assert control == env.get("SESSION_CONTROL")
    assert bool(control) == any(name.startswith("SESSION_K") for name in env)
    assert (control == "on") == ("SESSION_RENEWAL" in env)


def test_an_empty_issuer_is_that_of_our_own_token() -> None:
    """Without jwt.issuer the variable is not set, and the service reads the issuer from its own mounted token."""
    settings = loaded(case("quick-start"))

    assert ("https://issuer.example",) == settings.jwt_issuer
    assert not {"JWT_ISSUER", "JWT_AUDIENCE", "JWKS_URL"} & environment_of(objects_of(case("quick-start"))).keys()


def test_the_defaults_are_the_service_s_own() -> None:
    """A value left alone is no opinion of the chart: the service's default and the chart's are the same."""
    with_chart = environment_of(render(ACCOUNT))
    differing = {"NATS_URL", "NATS_ACCOUNT", "NATS_CREDS_FILE", "SELF_TEST_TOKEN_FILE"}
    plain = whole.load(whole.CONFIG)

    texts = {name: value for name, value in with_chart.items() if name not in differing}
    assert whole.load(whole.CONFIG | texts) == plain


def test_every_setting_has_a_value() -> None:
    """Each variable of docs/CONFIGURATION.md is set by a value, by the chart itself, or listed above with the reason."""
    template = (CHART / "templates" / "_environment.tpl").read_text(encoding="utf-8")
    begun = template.index('"nats-k8s-oidc-callout.variables" -}}\n') + len('"nats-k8s-oidc-callout.variables" -}}\n')
    with_value: dict[str, str] = yaml.safe_load(template[begun : template.index("{{- end -}}", begun)])
    variables = [name for one in VARIABLES.values() for name in one.names]

    assert set(variables) == with_value.keys() | WITHOUT_VALUE.keys() | {"PORT"}
    values = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    for path in with_value.values():
        functools.reduce(lambda inside, name: inside[name], path.split("."), values)
