"""What `keys` prints goes into servers as it stands; here is what the guides' walks do not see."""

import pytest

from nats_k8s_oidc_callout.core.nkeys import Kind
from tests.cli.desk import Desk
from tests.fakes.nats_modes import Pair


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


@pytest.mark.parametrize("value", ["admin", Pair.new(Kind.ACCOUNT).public, Pair.new(Kind.USER).seed])
def test_what_is_no_public_key_of_a_user_is_refused(desk: Desk, value: str) -> None:
    """
    A seed on the command line is a mistake: it is refused, and not repeated.
    """
    ran = desk.run("keys", "--creds-file", str(desk.folder / "creds"), "--system-user", value)

    assert 2 == ran.exit_code
    assert "never a seed" in ran.stderr
    assert value not in ran.stderr
