"""A configuration that cannot work ends the real process with exit code 2, and says all that is wrong at once."""

import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from nats_k8s_oidc_callout.core.nats.nkeys import Kind
from tests.e2e.plans import seed_as_creds, write_creds, write_seeds
from tests.e2e.responder import ResponderProcess
from tests.e2e.worlds import issuer
from tests.fakes.nats_modes import Pair
from tests.leaks import SECRETS

pytestmark = pytest.mark.e2e

WITHIN_SECONDS = 10.0
BAD_CHECKSUM = Pair.new(Kind.ACCOUNT).public[:-4] + "AAAA"


def whole(folder: Path) -> dict[str, str]:
    """Return a configuration that is right, and its files."""
    (folder / "accounts").mkdir()
    (folder / "jwks.json").write_bytes(issuer().jwks())
    return {
        "NATS_URL": "nats://127.0.0.1:4222",
        "NATS_ACCOUNT": "APP",
        "NATS_CREDS_FILE": write_creds(folder / "creds", seed_as_creds(Pair.new(Kind.USER))),
        "JWKS_FILE": str(folder / "jwks.json"),
        "SERVICE_ACCOUNTS_DIR": str(folder / "accounts"),
    }


def refused(env: Mapping[str, str]) -> tuple[int, list[str]]:
    """Return exit code and lines of a process that must end by itself, without having said a secret."""
    with ResponderProcess(env, name="refused") as process:
        code = process.wait(WITHIN_SECONDS)
    log = process.log()
    assert [] == SECRETS.scan(log.encode())
    return code, log.splitlines()


def test_every_wrong_variable_is_named_at_once(tmp_path: Path) -> None:
    """
    Ten things are wrong, ten lines say so, each led by its variable; exit code 2 within seconds.
    """
    (tmp_path / "page.html").write_text("<html>not found</html>")
    wrong = {
        "NATS_ACCOUNT": BAD_CHECKSUM,
        "NATS_SIGNING_KEY_FILE": write_seeds(tmp_path / "user.seed", Pair.new(Kind.USER)),
        "NATS_XKEY_FILE": write_seeds(tmp_path / "account.seed", Pair.new(Kind.ACCOUNT)),
        "NATS_TLS_CA_FILE": str(tmp_path / "missing.pem"),
        "NATS_CREDS_FILE": str(tmp_path / "missing.creds"),
        "JWKS_FILE": str(tmp_path / "page.html"),
        "SESSION_MAX_SECONDS": "-1",
        "PORT": "80a",
        "LOG_LEVEL": "loud",
        "REQUIRE_POD_BOUND": "fasle",
    }
    began = time.monotonic()

    code, lines = refused(whole(tmp_path) | wrong)

    assert (2, "Invalid configuration, 10 problems:") == (code, lines[0])
    assert sorted(wrong) == sorted(line.strip().partition(":")[0] for line in lines[1:])
    assert time.monotonic() - began < WITHIN_SECONDS
