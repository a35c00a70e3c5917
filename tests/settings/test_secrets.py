"""No secret is ever shown."""

import secrets
import traceback
from dataclasses import asdict

import pytest

from nats_k8s_oidc_callout.core.nats import nkeys
from nats_k8s_oidc_callout.core.nats.nkeys import Kind
from nats_k8s_oidc_callout.errors import ConfigurationError
from tests.settings.whole import ACCOUNT, CONFIG, FILES, VARIABLES, load, without


def shown(error: BaseException) -> str:
    return "".join(traceback.format_exception(error)) + repr(error) + str(error)


PATHS = {name for name in VARIABLES if name.endswith(("_FILE", "_DIR", "_PATH")) or name in ("HOME", "KUBECONFIG")}


@pytest.mark.parametrize("name", VARIABLES)
def test_no_value_is_ever_shown(name: str) -> None:
    """Whatever stands in a variable, a seed above all, is in no problem, no warning and no repr."""
    seed = nkeys.encode_seed(Kind.ACCOUNT, secrets.token_bytes(32))
    marker = secrets.token_hex(16)
    values = [seed, f"{seed}\n", f"-----BEGIN {marker}"]
    if name not in PATHS:
        values += [
            marker,
            f"{marker} {marker}",
            f"nats://u:{marker}@h:x",
            f"nats://u:pa/{marker}@h:4222",
            f"nats://h:{marker}",
            f"nats://{marker}:x@h/x",
            f"https://{marker}@h#",
        ]
    for value in values:
        env = {name: value} if name == "NATS_TOKEN" else {name: value, "LOG_LEVEL": "x", "PORT": "x"} | {name: value}
        with pytest.raises(ConfigurationError) as caught:
            load(env)
        assert seed not in shown(caught.value)
        assert marker not in shown(caught.value)


def test_no_secret_of_a_valid_configuration_is_shown() -> None:
    """Token, user, password and seeds are in no repr of settings that are fine."""
    marker = secrets.token_hex(16)
    base = without(CONFIG, "NATS_CREDS_FILE") | {"NATS_SIGNING_KEY_FILE": "/account.seed"}
    for env in (
        {"NATS_TOKEN": marker},
        {"NATS_URL": f"nats://{marker}:{marker}@h"},
        {"NATS_URL": f"nats://{marker}@h"},
    ):
        loaded = load(base | env)

        assert marker not in repr(loaded) + str(loaded) + str(asdict(loaded)) + str(vars(loaded))


@pytest.mark.parametrize("name", [name for name in VARIABLES if name.endswith(("_FILE", "_PATH"))])
@pytest.mark.parametrize(
    "shape",
    [
        pytest.param("{marker}", id="plain"),
        pytest.param("SA{marker}", id="like-a-seed"),
        pytest.param("eyJ{marker}.{marker}.{marker}", id="like-a-token"),
        pytest.param(
            "-----BEGIN NATS USER JWT-----\n{marker}\n------END NATS USER JWT------\n"
            "-----BEGIN USER NKEY SEED-----\nSU{marker}\n------END USER NKEY SEED------\n",
            id="like-creds",
        ),
        pytest.param('{{"keys": [{{"kty": "oct", "k": "{marker}"}}]}}', id="like-a-key-set"),
        pytest.param("-----BEGIN CERTIFICATE REQUEST-----\n{marker}\n", id="like-pem"),
    ],
)
def test_no_contents_of_a_file_are_shown(name: str, shape: str) -> None:
    """A file that is wrong is told by its path, never by what it holds."""
    marker = secrets.token_hex(28).upper()
    env = {name: "/secret", "NATS_ACCOUNT": ACCOUNT.public, "KUBERNETES_SERVICE_HOST": "10.0.0.1"}
    with pytest.raises(ConfigurationError) as caught:
        load(env, FILES | {"/secret": shape.format(marker=marker).encode()})

    assert marker not in shown(caught.value)
    assert any(problem.startswith(f"{name}: /secret ") for problem in caught.value.problems)
