"""The stand-in for nsc: it knows nsc's flags and no others, and mints what a server and our own code understand."""

import json
import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from nats_k8s_oidc_callout.cli import main
from nats_k8s_oidc_callout.core import base64url
from nats_k8s_oidc_callout.core.nats import natsjwt
from nats_k8s_oidc_callout.core.nats.nkeys import Kind
from tests.fakes.nats_modes import Pair
from tests.guides import nsc
from tests.guides.blocks import ROOT
from tests.guides.nsc_flags import Refused, parse

Nsc = Callable[..., int]
_SPAN = re.compile(r"`(nsc [a-z][^`]*)`")
_QUOTED = re.compile(r'"(nsc [a-z][^"]*)"')


@pytest.fixture
def run(tmp_path: Path) -> Nsc:
    """An nsc whose operator has three accounts and the responder's user."""

    def call(command: str) -> int:
        return nsc.run(command.split(), tmp_path)

    for command in (
        "add operator O --sys",
        "add account AUTH_SERVICE",
        "add user --account AUTH_SERVICE --name auth-service",
        "add account AUTH_ACCOUNT",
    ):
        assert 0 == call(command)
    return call


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("edit account AUTH_ACCOUNT --signing-key x", "unknown flag: --signing-key"),
        ("edit authcallout -a AUTH_SERVICE -z", "unknown shorthand flag"),
        ("edit callout --account X", 'unknown command "edit callout"'),
        ("generate creds AUTH_SERVICE", "accepts at most 0 arg(s)"),
        ("edit account SYS --sk system", '"system" is not a valid account key'),
        ("edit account AUTH_ACCOUNT", "specify an edit option"),
        ("edit authcallout --account AUTH_SERVICE --auth-user auth-service", "is not a valid user key"),
        ("edit authcallout --account AUTH_SERVICE --disable --rm-curve", "--disable is exclusive"),
        ("edit account SYS --js-disk-storage -1", "jetstream not available for system account"),
        ("add export --account SYS --subject $SYS.ACCOUNT.*.CONNECT", 'subject "$SYS.ACCOUNT.*.>" already exports'),
        ("delete export --account SYS --subject a", "no export matching"),
        ("generate activation --account SYS --subject a --target-account x", "was not found in account"),
        ("push -A", "no account server url"),
        ("add user --account NOBODY --name x", "account NOBODY does not exist"),
        ("describe user --name auth-service --account AUTH_ACCOUNT --raw", 'user "auth-service" not found'),
    ],
)
def test_it_refuses_what_nsc_refuses(command: str, said: str, run: Nsc, capsys: pytest.CaptureFixture[str]) -> None:
    """A flag, a command, a key or a name that nsc does not take ends with its words and code 1."""
    assert (1, True) == (run(command), said in capsys.readouterr().err)


def test_creds_are_ours_to_read(run: Nsc, capsys: pytest.CaptureFixture[str]) -> None:
    """The creds that it writes are read by our own code, and belong to the account."""
    assert 0 == run("edit user --account AUTH_SERVICE --name auth-service --allow-sub a,b --allow-pub-response")
    capsys.readouterr()
    assert 0 == run("generate creds --account AUTH_SERVICE --name auth-service")
    creds = natsjwt.parse_creds(capsys.readouterr().out)
    assert 0 == run("describe account --name AUTH_SERVICE --field sub")
    account = json.loads(capsys.readouterr().out)
    claims = json.loads(base64url.decode(creds.jwt.split(".")[1].encode()))

    assert account == creds.account
    assert (["a", "b"], {"max": 1}) == (claims["nats"]["sub"]["allow"], claims["nats"]["resp"])


def test_callout_stands_in_the_account(run: Nsc, capsys: pytest.CaptureFixture[str]) -> None:
    """`edit authcallout` puts users, accounts and xkey into the account's JWT; `--disable` takes them out."""
    user, target, xkey = Pair.new(Kind.USER), Pair.new(Kind.ACCOUNT), Pair.new(Kind.CURVE)
    command = "edit authcallout --account AUTH_SERVICE"
    assert 0 == run(f"{command} --auth-user {user.public} --allowed-account {target.public} --curve {xkey.public}")
    capsys.readouterr()
    assert 0 == run("describe account --name AUTH_SERVICE --field nats.authorization")
    callout = json.loads(capsys.readouterr().out)
    assert 0 == run(f"{command} --disable")

    assert {"auth_users": [user.public], "allowed_accounts": [target.public], "xkey": xkey.public} == callout
    assert "authorization" not in (capsys.readouterr().out or "")


def printed() -> Iterator[pytest.ParameterSet]:
    """Yield each nsc command that a document, `doctor` or a file in examples/ names."""
    places = [*(ROOT / "docs").glob("*.md"), ROOT / "README.md", *(ROOT / "examples").rglob("*.*")]
    places += [*(ROOT / "src").rglob("*.py")]
    for path in sorted(places):
        text = path.read_text(encoding="utf-8")
        if path.name in ("keys.py", "session_rights.py"):
            continue
        commands = _QUOTED.findall(text) if path.suffix == ".py" else _SPAN.findall(text)
        commands += re.findall(r"^(?:#? *)(nsc [a-z].*)$", text, re.MULTILINE)
        for number, command in enumerate(commands):
            yield pytest.param(command, id=f"{path.name}-{number}")


@pytest.mark.parametrize("command", list(printed()))
def test_printed_commands_are_nscs(command: str) -> None:
    """Every nsc command that we print has only flags that nsc has."""
    _parse(command)


@pytest.mark.parametrize(("options", "count"), [((), 5), (("--sessions", "login"), 7), (("--sessions", "imports"), 20)])
def test_commands_of_keys_are_nscs(options: tuple[str, ...], count: int, tmp_path: Path) -> None:
    """So has every command that `keys` prints; and a shell could run all that it prints."""
    seed, xkey = tmp_path / "a.seed", tmp_path / "x.seed"
    seed.write_text(Pair.new(Kind.USER).seed)
    xkey.write_text(Pair.new(Kind.CURVE).seed)
    command = ["keys", "--creds-file", str(seed), "--xkey-file", str(xkey), "--mode", "operator", *options]
    done = CliRunner().invoke(main, command)
    lines = [line for line in done.output.splitlines() if line]
    commands = [line for line in lines if not line.startswith("#")]

    assert (0, count) == (done.exit_code, len(commands)), done.output
    for one in commands:
        _parse(one)
    assert "<" not in "".join(commands)


def _parse(command: str) -> None:
    whole = re.sub(r'"?\$\([^()]*\)"?|<[^>]*>', "X", command).partition("   ")[0]
    whole = re.sub(r"`[^`]*`|…", "X", whole).partition(", then push")[0]
    # `nsc describe --raw` stands for all that can be described.
    whole = re.sub(r"^nsc describe (?:X )?(?=--|$)", "nsc describe operator ", whole)
    lexer = shlex.shlex(whole, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words: list[str] = []
    for word in lexer:
        if set(word) <= set("|>;&"):
            break
        words.append(word)
    said = ""
    # In a sentence the last flag may stand alone; what it takes is not what this is about.
    for more in ([], ["X"]):
        try:
            parse([*words[1:], *more])
        except Refused as refused:
            said = str(refused)
        else:
            return
    pytest.fail(f"{command}: {said}")
