"""Valid configurations to change one thing in, the files they name, and the words for loading them."""

import errno
from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest

from nats_k8s_oidc_callout import settings
from nats_k8s_oidc_callout.core import base64url
from nats_k8s_oidc_callout.core.nats import natsjwt, nkeys
from nats_k8s_oidc_callout.core.nats.nkeys import Kind, SigningKey
from nats_k8s_oidc_callout.errors import ConfigurationError
from nats_k8s_oidc_callout.settings import Settings

ACCOUNT = SigningKey(Kind.ACCOUNT, bytes(range(32)))
CALLOUT = SigningKey(Kind.ACCOUNT, bytes(range(1, 33)))
USER_RAW = bytes(range(2, 34))
USER = SigningKey(Kind.USER, USER_RAW)
USER_SEED = nkeys.encode_seed(Kind.USER, USER_RAW)
ACCOUNT_SEED = nkeys.encode_seed(Kind.ACCOUNT, bytes(range(32)))
OTHER_ACCOUNT_SEED = nkeys.encode_seed(Kind.ACCOUNT, bytes(range(1, 33)))
CURVE_SEED = nkeys.encode_seed(Kind.CURVE, bytes(range(3, 35)))
BAD_CHECKSUM = ACCOUNT.public[:-1] + ("A" if ACCOUNT.public[-1] != "A" else "B")
CERTIFICATE = b"-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n"
PRIVATE_KEY = b"-----BEGIN PRIVATE KEY-----\nMA==\n-----END PRIVATE KEY-----\n"
FOLDER = None
MOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"


def creds(jwt_issuer: SigningKey = CALLOUT, issuer_account: str = "", sub: str = USER.public) -> bytes:
    nats = {"issuer_account": issuer_account} if issuer_account else {}
    claims = {"iss": jwt_issuer.public, "sub": sub, "nats": nats}
    jwt = natsjwt.sign(msgspec.json.encode(claims), jwt_issuer).decode()
    return (
        f"-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{USER_SEED}\n------END USER NKEY SEED------\n"
    ).encode()


def token(claims: object) -> bytes:
    return b"e30." + base64url.encode(msgspec.json.encode(claims)) + b".c2ln\n"


JWKS = msgspec.json.encode(
    {
        "keys": [
            {
                "kty": "EC",
                "kid": "k1",
                "crv": "P-256",
                # RFC 7517, appendix A.1
                "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
                "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM",
            }
        ]
    }
)
FILES: dict[str, bytes | None] = {
    "/creds": creds(),
    "/user.seed": f"# for config mode\n{USER_SEED}\n".encode(),
    "/account.seed": f"{ACCOUNT_SEED}\n".encode(),
    "/x.seed": f"{CURVE_SEED}\n".encode(),
    "/cert.pem": CERTIFICATE,
    "/key.pem": PRIVATE_KEY,
    "/locked.pem": b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nMA==\n-----END ENCRYPTED PRIVATE KEY-----\n",
    "/jwks.json": JWKS,
    "/bad-jwks.json": b"<html>",
    "/manifests": FOLDER,
    "/home/me/.kube/config": b"{}",
    "/kube.yaml": b"{}",
    f"{MOUNT}/token": token({"iss": "https://issuer.example"}),
    f"{MOUNT}/ca.crt": CERTIFICATE,
    "/self-test.token": token({"iss": "https://issuer.example", "aud": ["nats"]}),
    "/sentinel": creds(),
    "/policy.yaml": b"version: 1\nrules: [{name: everybody, match: {}}]\n",
    "/empty": b"",
    "/binary": b"\xff\xfe\x00",
    "/empty-mount/token": b"",
}


class FakeFiles:
    """A file system as `read` sees it; None is a folder."""

    def __init__(self, files: Mapping[str, bytes | None]) -> None:
        self.files = files

    def __call__(self, path: Path) -> bytes:
        if str(path) not in self.files:
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", str(path))
        data = self.files[str(path)]
        if data is None:
            raise IsADirectoryError(errno.EISDIR, "Is a directory", str(path))
        return data


# Config mode in a pod, and operator mode in a pod: valid wholes that a test changes only where it is about.
CONFIG = {"NATS_ACCOUNT": "APP", "NATS_CREDS_FILE": "/creds", "KUBERNETES_SERVICE_HOST": "10.0.0.1"}
OPERATOR = CONFIG | {"NATS_ACCOUNT": ACCOUNT.public}


def load(env: Mapping[str, str], files: Mapping[str, bytes | None] = FILES) -> Settings:
    return settings.load(env, FakeFiles(files))


def problems(env: Mapping[str, str], files: Mapping[str, bytes | None] = FILES) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        load(env, files)
    return caught.value.problems


def without(env: Mapping[str, str], *names: str) -> dict[str, str]:
    return {name: value for name, value in env.items() if name not in names}


def warned(env: Mapping[str, str], name: str) -> bool:
    return any(warning.startswith(f"{name}: ") for warning in load(env).warnings)


VARIABLES = [name for one in settings.VARIABLES.values() for name in one.names]
