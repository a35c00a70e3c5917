"""Nothing that somebody else chose is obeyed by the terminal of who runs a command."""

import asyncio
import io
import re

import pytest
import yaml
from rich.console import Console

from nats_k8s_oidc_callout.cli import demo
from nats_k8s_oidc_callout.cli.output import tell_fault
from nats_k8s_oidc_callout.core.nats.nkeys import Kind
from nats_k8s_oidc_callout.demo.story import Outcome
from tests.cli.desk import HOSTILE, SPELLED, Desk
from tests.fakes.hostile_server import hostile_server
from tests.fakes.nats_modes import Pair
from tests.settings.whole import creds


def obeyed(text: str) -> list[str]:
    """Return what of a command's output a terminal would not simply show."""
    return re.findall(r"[^\n -~…│┃━┏┳┓┡╇┩─└┴┘├┼┤]", text)


@pytest.mark.parametrize("form", [[], ["--json"]], ids=["text", "json"])
def test_explain_shows_text_as_text(desk: Desk, form: list[str]) -> None:
    """
    What a tenant wrote into an annotation, and what a token says of itself, is spelled out in each form of output.
    """
    # Also a letter that only looks like one of ASCII, since that is why it is refused.
    desk.account("shop", "web", {"nats.io/allowed-pub-subjects": f"{HOSTILE},a.\u0430"})
    token = desk.issuer.token("shop", "web", "uid-web", audience=HOSTILE)
    entry, claims = desk.run("explain", "shop/web", *form), desk.run("explain", "--token-file", desk.file(token), *form)

    assert (0, [], 1, []) == (entry.exit_code, obeyed(entry.output), claims.exit_code, obeyed(claims.output))
    assert r"a.\u0430" in entry.output
    assert r"\u001b]52;c;aGk=\u0007" in entry.output
    assert "wrong_audience" in claims.output


@pytest.mark.parametrize("form", [[], ["--json"]], ids=["text", "json"])
def test_who_can_and_policy_test_show_text_as_text(desk: Desk, form: list[str]) -> None:
    """The name of a ServiceAccount in a manifest, and what a table quotes, are spelled out."""
    desk.account("shop", HOSTILE)
    (desk.folder / "a.yaml").write_text("version: 1\nrules: [{name: a, match: {}}]\n")
    case = {"workload": "a/b", "annotations": {"nats.io/allowed-pub-subjects": HOSTILE}, "expect": {"left_out": []}}
    (desk.folder / "a.test.yaml").write_text(yaml.safe_dump({"cases": [case]}))
    who = desk.run("who-can", "publish", "shop.x", *form)
    tested = desk.run("policy", "test", str(desk.folder / "a.test.yaml"), *form)
    junit = desk.run("policy", "test", str(desk.folder / "a.test.yaml"), "--junit", "-")

    for ran, code in ((who, 0), (tested, 1), (junit, 1)):
        assert (code, []) == (ran.exit_code, obeyed(ran.output))
        assert r"\u001b[2J" in ran.output


async def test_doctor_shows_a_servers_words_as_text(desk: Desk) -> None:
    """What a NATS server says of itself, and to a login, is spelled out; so is a bad configuration, as JSON."""
    refusal = f"-ERR '{HOSTILE}'\r\n".encode()
    async with hostile_server({"server_name": HOSTILE, "version": HOSTILE}, answer=refusal) as server:
        ran = await asyncio.to_thread(desk.run, "doctor", NATS_URL=server.url)
    misread = await asyncio.to_thread(desk.run, "doctor", "--json", JWKS_FILE=f"/none/{HOSTILE}")

    assert (1, []) == (ran.exit_code, obeyed(ran.output))
    assert r"\u001b[2J" in ran.output
    assert (1, []) == (misread.exit_code, obeyed(misread.output))
    assert r"\u001b[2J" in misread.output


def test_demo_shows_what_it_saw_as_text() -> None:
    """A row of the table holds neither escape codes nor rich's own markup."""
    file = io.StringIO()
    Console(file=file, width=400).print(demo._table([Outcome("tried", "[red]", HOSTILE, 0.0)]))

    assert [] == obeyed(file.getvalue())
    assert "[red]" in file.getvalue()
    assert SPELLED in file.getvalue()


def test_keys_shows_names_as_text(desk: Desk) -> None:
    """What a creds file and the arguments say is spelled out."""
    (desk.folder / "creds").write_bytes(creds(issuer_account=HOSTILE))
    ran = desk.run("keys", "--creds-file", str(desk.folder / "creds"), "--callout-account", f"{HOSTILE}\nforged: 1")

    assert (0, []) == (ran.exit_code, obeyed(ran.output))
    assert f"# account {SPELLED}" in ran.output


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["explain", f"{HOSTILE}/a/b"], id="no workload"),
        pytest.param(["explain", f"--{HOSTILE}"], id="no option"),
        pytest.param([HOSTILE], id="no command"),
        pytest.param(["keys", "--creds-file", f"/none/{HOSTILE}"], id="no file"),
    ],
)
def test_bad_use_is_told_as_text(desk: Desk, arguments: list[str]) -> None:
    """A message about bad use quotes its argument, spelled out, and the exit code is 2."""
    ran = desk.run(*arguments)

    assert (2, []) == (ran.exit_code, obeyed(ran.output))
    assert "52;c;aGk" in ran.stderr


def test_a_bad_configuration_is_told_as_text(desk: Desk) -> None:
    """So is every problem of the configuration."""
    ran = desk.run("explain", "shop/web", JWKS_FILE=f"/none/{HOSTILE}", NATS_URL=f"nats://{HOSTILE}")

    assert (2, []) == (ran.exit_code, obeyed(ran.output))


def test_a_fault_of_ours_is_told_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    """The traceback of an error that nobody expected is spelled out, and holds no secret."""
    seed = Pair.new(Kind.USER).seed
    try:
        raise ValueError(f"{HOSTILE} {seed}")
    except ValueError as error:
        tell_fault(type(error), error, error.__traceback__)

    said = capsys.readouterr().err
    assert [] == obeyed(said)
    assert SPELLED in said
    assert seed not in said
