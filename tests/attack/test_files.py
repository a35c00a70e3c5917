"""Files that are wrong, hostile or not ours to trust: the process does not start on them, and does not stop for them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from nats_k8s_oidc_callout import settings
from nats_k8s_oidc_callout.core.nats import nkeys
from nats_k8s_oidc_callout.core.nats.nkeys import Kind
from nats_k8s_oidc_callout.errors import ConfigurationError
from tests.fakes.issuer import Issuer
from tests.fakes.nats_modes import Pair
from tests.leaks import SECRETS


def _seed(kind: Kind) -> Callable[[Path], None]:
    return _holding(SECRETS.register("seed", Pair.new(kind).seed).encode())


def _holding(content: bytes) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        path.write_bytes(content)

    return make


def _with_wrong_checksum(path: Path) -> None:
    seed = SECRETS.register("seed", Pair.new(Kind.ACCOUNT).seed)
    path.write_text(seed[:-1] + ("A" if seed[-1] != "A" else "B"))


SIGNING_KEYS: dict[str, tuple[str, Callable[[Path], None]]] = {
    "a-users-seed": ("user seed", _seed(Kind.USER)),
    "an-operators-seed": ("operator seed", _seed(Kind.OPERATOR)),
    "a-curve-seed": ("curve seed", _seed(Kind.CURVE)),
    "a-public-key": ("seed", _holding(Pair.new(Kind.ACCOUNT).public.encode())),
    "wrong-checksum": ("line 1", _with_wrong_checksum),
    "empty": ("no seed", _holding(b"")),
    "binary": ("not text", _holding(bytes(range(256)))),
    "two-mebibytes": ("", _holding(b"SA" * (1 << 20))),
    "a-folder": ("", lambda path: path.mkdir()),
    "a-link-to-nothing": ("", lambda path: path.symlink_to("nowhere")),
}


def _environment(folder: Path, signing: Path) -> dict[str, str]:
    (folder / "jwks.json").write_bytes(Issuer().jwks())
    return {
        "NATS_URL": "nats://127.0.0.1:1",
        "NATS_ACCOUNT": "APP",
        "NATS_AUTH_ACCOUNT": "AUTH",
        "NATS_SIGNING_KEY_FILE": str(signing),
        "JWT_ISSUER": "https://issuer.example",
        "JWKS_FILE": str(folder / "jwks.json"),
        "SERVICE_ACCOUNTS_DIR": str(folder),
    }


@pytest.mark.parametrize("case", SIGNING_KEYS)
def test_a_signing_key_that_is_none_stops_the_start(tmp_path: Path, case: str) -> None:
    """
    A file that holds no account seed is one problem, which names the variable and what is wrong, and not a character of
    a seed.
    """
    words, make = SIGNING_KEYS[case]
    signing = tmp_path / "signing.seed"
    make(signing)

    with pytest.raises(ConfigurationError) as raised:
        settings.load(_environment(tmp_path, signing))
    (problem,) = raised.value.problems

    assert problem.startswith("NATS_SIGNING_KEY_FILE")
    assert words in problem
    assert [] == SECRETS.scan(problem.encode())


def test_a_key_of_another_account_is_not_noticed_here() -> None:
    """
    A well-formed `SA…` seed of another account is no error of the file's: servers refuse what it signs, which the ear
    and the self-test tell (tests/e2e/test_life.py).
    """
    other = Pair.new(Kind.ACCOUNT)

    assert other.public == nkeys.parse_signing_key(other.seed, Kind.ACCOUNT).public
