"""What `keys` prints goes into servers as it stands; here is what the guides' walks do not see."""

import os

import pytest
import yaml

from nats_k8s_oidc_callout.cli.nats_values import nats_values
from nats_k8s_oidc_callout.cli.session_rights import Plan
from nats_k8s_oidc_callout.core.nats.nkeys import Kind
from tests.cli.desk import Desk
from tests.fakes.nats_modes import Pair
from tests.guides import nats_chart
from tests.guides.blocks import ROOT


def test_the_system_user_is_one_that_the_callout_is_not_asked_about(desk: Desk) -> None:
    """
    With --system-user the account SYS has that user, with few rights, and auth_users names it beside the responder.
    """
    key = Pair.new(Kind.USER).public
    command = ("keys", "--creds-file", str(desk.folder / "creds"), "--mode", "config")
    without, with_user = desk.run(*command), desk.run(*command, "--system-user", key)

    assert (0, 0) == (without.exit_code, with_user.exit_code)
    assert "  SYS {}\n" in without.output
    assert f"# system  {key}" in with_user.output
    assert [f"nkey: {key}", f", {key} ]"] == [
        text for text in (f"nkey: {key}", f", {key} ]") if text in with_user.output
    ]
    assert '"$SYS.REQ.SERVER.*.KICK"' in with_user.output


@pytest.mark.parametrize(
    "value", ["admin", Pair.new(Kind.ACCOUNT).public, Pair.new(Kind.USER).seed], ids=["a name", "an account", "a seed"]
)
def test_what_is_no_public_key_of_a_user_is_refused(desk: Desk, value: str) -> None:
    """A seed on the command line is a mistake: it is refused, and not repeated."""
    ran = desk.run("keys", "--creds-file", str(desk.folder / "creds"), "--system-user", value)

    assert 2 == ran.exit_code
    assert "never a seed" in ran.stderr
    assert value not in ran.stderr


@pytest.mark.parametrize(("name", "way"), [("config-mode", ""), ("config-mode-sessions", "imports")])
def test_the_values_for_the_nats_chart_are_the_example_filled_in(name: str, way: str) -> None:
    """What is printed is the file in examples/, which the guides show, but for the keys."""
    plan = Plan(way, "<SYSTEM-USER>")
    filled = nats_values("AUTH_SERVICE", "AUTH_ACCOUNT", "<RESPONDER>", "<SIGNER>", plan, "")
    example = (ROOT / "examples" / "nats" / f"{name}-values.yaml").read_text(encoding="utf-8")

    assert example.endswith(f"\n{filled}")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--sessions", "login"], "by its key"),
        (["--sessions", "<responder>"], "a key of its own"),
        (["--sessions", Pair.new(Kind.ACCOUNT).public], "a user's public key"),
    ],
)
def test_a_login_for_sessions_is_said_whole(desk: Desk, options: list[str], said: str) -> None:
    """Config mode names the second login by its key, and a server takes no key twice."""
    command = ("keys", "--creds-file", str(desk.folder / "creds"))
    responder = desk.run(*command).output.split()[2]
    ran = desk.run(*command, *(option.replace("<responder>", responder) for option in options))

    assert (2, "") == (ran.exit_code, ran.stdout)
    assert said in ran.stderr


def test_nothing_of_sessions_is_printed_unless_asked_for(desk: Desk) -> None:
    """Without --sessions the responder may answer and do nothing else, in both modes."""
    ran = desk.run("keys", "--creds-file", str(desk.folder / "creds"), "--system-user", Pair.new(Kind.USER).public)

    assert 0 == ran.exit_code
    assert [] == [word for word in ("nko.", "_INBOX_sess", "imports", "exports", "SESSIONS") if word in ran.output]


def test_creds_may_come_from_a_pipe(desk: Desk) -> None:
    """A login that is in no file, `--creds-file <(kubectl get secret …)`, can be read, too."""
    reader, writer = os.pipe()
    os.write(writer, (desk.folder / "creds").read_bytes())
    os.close(writer)
    ran = desk.run("keys", "--creds-file", f"/dev/fd/{reader}")

    assert 0 == ran.exit_code, ran.stderr
    assert "# user    U" in ran.output


@pytest.mark.parametrize("account", ["AUTH_ACCOUNT", "no", "1e3", "a: b", 'a"b', "<A>b"])
@pytest.mark.parametrize("more", [False, True])
def test_the_values_for_the_nats_chart_are_whole(desk: Desk, account: str, more: bool) -> None:
    """
    The chart reads every value; accounts have the names that were said, and all keys stand where NATS looks for them.
    """
    system, curve, seed = Pair.new(Kind.USER).public, Pair.new(Kind.CURVE), Pair.new(Kind.ACCOUNT)
    (desk.folder / "xkey").write_text(curve.seed)
    (desk.folder / "signing").write_text(seed.seed)
    options = ["--signing-key-file", str(desk.folder / "signing"), "--account", account]
    options += ["--system-user", system, "--xkey-file", str(desk.folder / "xkey")] if more else []
    command = ("keys", "--creds-file", str(desk.folder / "creds"), "--format", "nats-values")
    ran = desk.run(*command, *options)
    rendered = nats_chart.render(yaml.safe_load(ran.output))

    assert (0, [], True) == (ran.exit_code, rendered.dropped, rendered.restarts)
    accounts, callout = rendered.document["accounts"], rendered.document["authorization"]["auth_callout"]
    responder = accounts["AUTH_SERVICE"]["users"][0]["nkey"]
    assert {account: {"jetstream": "enabled"}}.items() <= accounts.items()
    assert [responder, *([system] if more else [])] == callout["auth_users"]
    assert ([system] if more else []) == [user["nkey"] for user in accounts["SYS"].get("users", [])]
    assert (seed.public, curve.public if more else None) == (callout["issuer"], callout.get("xkey"))


def test_there_are_no_values_of_operator_mode(desk: Desk) -> None:
    """In operator mode the values hold JWTs, which only nsc has: that is said, and nothing is printed."""
    ran = desk.run("keys", "--creds-file", str(desk.folder / "creds"), "--format", "nats-values", "--mode", "operator")

    assert (2, "") == (ran.exit_code, ran.stdout)
    assert "docs/OPERATOR_SETUP.md" in ran.stderr
