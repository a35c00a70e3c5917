import base64
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.leaks import ENVIRONMENT, Finding, Secrets

SEED = "SUAH6WZ3LK7QW4V2XRNC5PDTYGBJMEIAOFU3KS7ZQ2LW6HXV5TRDCNPGYM"
PASSWORD = 'correct horse/b@ttery "staple"'
CLAIMS = {
    "aud": ["nats", "vault-agent"],
    "exp": 1789000600,
    "iss": "https://kubernetes.default.svc",
    "jti": "0b7a3c2e-5f7b-4a51-9a52-1c0d7f2b9e1d",
    "kubernetes.io": {
        "namespace": "team-a",
        "pod": {"name": "orders-7d9f8b6c5-abcde", "uid": "4b3c8f60-1111-4222-8333-444455556666"},
        "serviceaccount": {"name": "orders", "uid": "9d8c7b6a-1111-4222-8333-444455556666"},
    },
    "sub": "system:serviceaccount:team-a:orders",
}


def _url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


HEADER = _url(b'{"alg":"RS256","kid":"qZ0v7c4Yb0m8m1c2xV9s3kJtQe5rUwLh6Np8aXoDfGk"}')
PAYLOAD_JSON = json.dumps(CLAIMS, separators=(",", ":"))
PAYLOAD = _url(PAYLOAD_JSON.encode())
SIGNATURE = _url(bytes((i * 37 + 11) % 251 for i in range(256)))
TOKEN = f"{HEADER}.{PAYLOAD}.{SIGNATURE}"


def secrets() -> Secrets:
    known = Secrets()
    known.register("token", TOKEN)
    known.register("seed", SEED)
    known.register("password", PASSWORD)
    known.register("password", "s3cr#t!")
    known.register("password", "~~?>~~?")
    return known


def shifted(text: str, shift: int) -> str:
    return base64.b64encode(b"x" * shift + text.encode() + b"yy").decode()


PLANTS: dict[str, tuple[str, str]] = {
    "whole token": ("token", TOKEN),
    "16 bytes of a payload": ("token", PAYLOAD[101:117]),
    "16 bytes of a signature": ("token", SIGNATURE[200:216]),
    "the last 16 bytes of a signature": ("token", SIGNATURE[-16:]),
    "signature in the other alphabet": ("token", SIGNATURE.translate(str.maketrans("-_", "+/"))),
    "raw signature in base64": (
        "token",
        base64.b64encode(b"z" + base64.urlsafe_b64decode(SIGNATURE + "==")).decode(),
    ),
    **{f"token inside base64, shift {n}": ("token", shifted(TOKEN, n)) for n in range(3)},
    **{f"claims inside base64, shift {n}": ("token", shifted(PAYLOAD_JSON, n)) for n in range(3)},
    "claims as JSON": ("token", PAYLOAD_JSON),
    "claims as spaced JSON": ("token", json.dumps(CLAIMS)),
    "claims as a string in JSON": ("token", json.dumps({"event": PAYLOAD_JSON})),
    "claims as a string in a string": ("token", json.dumps({"event": json.dumps({"body": PAYLOAD_JSON})})),
    "claims as Python shows them": ("token", repr(CLAIMS)),
    "whole seed": ("seed", SEED),
    "16 bytes of a seed": ("seed", SEED[30:46]),
    **{f"seed inside base64, shift {n}": ("seed", shifted(SEED, n)) for n in range(3)},
    "password": ("password", PASSWORD),
    "16 bytes of a password": ("password", PASSWORD[7:23]),
    "password inside JSON": ("password", json.dumps({"error": f"login as {PASSWORD} failed"})),
    **{f"password inside base64, shift {n}": ("password", shifted(PASSWORD, n)) for n in range(3)},
    "short password": ("password", "nats://user:s3cr#t!@host"),
    **{f"short password inside base64, shift {n}": ("password", shifted("s3cr#t!", n)) for n in range(3)},
    "short password in the other alphabet": ("password", shifted("~~?>~~?", 0).translate(str.maketrans("+/", "-_"))),
}

CLEAN: dict[str, str] = {
    "decision line": (
        '{"ts":"2026-11-24T07:19:16.881Z","level":"info","event":"allowed","namespace":"team-a",'
        '"serviceaccount":"orders","pod":"orders-7d9f8b6c5-abcde","jti":"0b7a3c2e-5f7b-4a51-9a52-1c0d7f2b9e1d"}'
    ),
    "identity in plain words": (
        "denied system:serviceaccount:team-a:orders uid 9d8c7b6a-1111-4222-8333-444455556666 of "
        "https://kubernetes.default.svc"
    ),
    "header of a token": f"unknown kid qZ0v7c4Yb0m8m1c2xV9s3kJtQe5rUwLh6Np8aXoDfGk in {HEADER}",
    "extra audiences": '{"event":"token has more audiences","audiences":["nats","vault-agent"]}',
    "15 bytes of a signature": f"... {SIGNATURE[100:115]} ...",
    "public key": "issuer ABTQ4NHX2ZLM7RC5VW3KEYPDJSGF6IUOA2XQHN4BTZ7MLRCW5VKEYPDJ",
}


def log_with(line: str) -> tuple[bytes, int]:
    before = "\n".join(CLEAN.values()) + "\n"
    return f"{before}{line}\nafter\n".encode(), len(before.encode())


@pytest.mark.parametrize(("kind", "line"), PLANTS.values(), ids=PLANTS)
def test_planted_leak_is_found_with_its_kind_and_line(kind: str, line: str) -> None:
    """A piece of a secret in a log is found, in whatever form, and the finding names kind and line."""
    log, offset = log_with(line)

    assert [Finding(kind, offset)] == secrets().scan(log)


@pytest.mark.parametrize("line", CLEAN.values(), ids=CLEAN)
def test_what_a_log_may_say_is_no_finding(line: str) -> None:
    """Names, uids, jti, kid, issuer and audiences of a token may stand in a log."""
    assert [] == secrets().scan(line.encode())


@pytest.mark.parametrize("text", [PAYLOAD, SIGNATURE, SEED, PASSWORD], ids=["payload", "signature", "seed", "password"])
def test_every_16_bytes_in_a_row_are_found(text: str) -> None:
    """Wherever a leak begins inside a secret, 16 bytes are enough."""
    windows = {text[i : i + 16] for i in range(len(text) - 15)}

    assert len(windows) == len({finding.offset for finding in secrets().scan("\n".join(windows).encode())})


def test_creds_file_stands_for_its_seed_and_its_jwt() -> None:
    """A registered creds file makes its seed and its JWT secrets, and its comments none."""
    creds = f"-----BEGIN NATS USER JWT-----\n{TOKEN}\n------END NATS USER JWT------\n{SEED}\n"
    known = Secrets()
    known.register("creds", creds)

    assert [Finding("creds", 0)] == known.scan(SEED.encode())
    assert [Finding("creds", 0)] == known.scan(SIGNATURE.encode())
    assert [] == known.scan(b"-----BEGIN NATS USER JWT-----")


def test_placeholder_of_one_letter_is_no_secret() -> None:
    """A token of one letter over and over is not found in other rows of that letter."""
    known = Secrets()
    known.register("token", "A" * 17000)

    assert [] == known.scan(b"UAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")


def test_processes_of_a_run_share_their_secrets(tmp_path: Path) -> None:
    """A secret that a child process registered is looked for here, through the file in CALLOUT_TEST_SECRETS."""
    shared = tmp_path / "secrets"
    code = f"from tests.leaks import SECRETS; SECRETS.register('seed', {SEED!r})"
    subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        cwd=Path(__file__).parent.parent,
        env={**os.environ, ENVIRONMENT: str(shared)},
    )

    assert [Finding("seed", 0)] == Secrets(shared).scan(SEED.encode())


def test_register_returns_what_it_was_given() -> None:
    """A builder can register in passing."""
    assert SEED == Secrets().register("seed", SEED)
