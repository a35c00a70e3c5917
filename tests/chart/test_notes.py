"""What `helm install` says at its end: commands that are right for this release, and what one should know."""

import re
import shlex
from pathlib import Path

import click
import pytest

from nats_k8s_oidc_callout.cli import main
from tests.chart.chart import CASES, EACH_CASE, case, notes_of, objects_of, one

SHARED, INBOX, RESPONSES = "inboxMode is shared", "replies.mode is inbox", "replies.mode is responses"


def command_called(name: str) -> click.Command:
    found = main.get_command(click.Context(main), name)
    assert found is not None, f"there is no command {name}"
    return found


@EACH_CASE
def test_each_command_names_what_is_there(case: Path) -> None:
    """Deployment, namespace and files of every command are this release's; the program's options exist."""
    notes, objects = notes_of(case), objects_of(case)
    deployment = one(objects, "Deployment")
    mounts = [mount["mountPath"] for mount in deployment["spec"]["template"]["spec"]["containers"][0]["volumeMounts"]]

    commands = re.findall(r"^ {5}(\S(?:.*\\\n)*.*)$", notes, re.MULTILINE)
    assert commands
    for command in (shlex.split(text.replace("\\\n", " ")) for text in commands):
        text = " ".join(command)
        if command[0] == "kubectl":
            assert f"-n {deployment['metadata']['namespace']} " in f"{text} "
        if "deployment/" in text:
            assert f"deployment/{deployment['metadata']['name']} " in f"{text} "
        files = [word for word in command if word.startswith("/etc/")]
        assert [] == [file for file in files if file.rpartition("/")[0] not in mounts]
        program = command[command.index("--") + 1 :] if "--" in command else command
        if program[0] == "nats-k8s-oidc-callout":
            name, *options = program[1:]
            known = {option for each in command_called(name).params for option in each.opts} | {"--help"}
            assert [] == [option for option in options if option.startswith("--") and option not in known]


@EACH_CASE
def test_no_line_is_too_long_or_ends_in_a_blank(case: Path) -> None:
    """It reads well on a terminal, and holds no trace of a template."""
    lines = notes_of(case).splitlines()

    assert [] == [line for line in lines if line != line.rstrip() or "<no value>" in line or "{{" in line]
    assert [] == [line for line in lines if len(line) > 125 and "deployment/" not in line]


@EACH_CASE
def test_no_login_is_shown(case: Path) -> None:
    """A login in the URL is warned of, not shown."""
    assert "auth:pass" not in notes_of(case)


def test_each_mode_is_told_its_own_way() -> None:
    """Operator mode turns the callout on in a JWT, config mode in the servers' file, and restarts them."""
    config, operator = notes_of(case("quick-start")), notes_of(case("operator-mode"))

    assert "in config mode." in config
    assert "Restart the servers then" in config
    assert "nsc" not in config
    assert "in operator mode." in operator
    assert "nsc edit authcallout --disable" in operator
    assert "auth_users" not in operator


@pytest.mark.parametrize(
    ("name", "warning"),
    [
        pytest.param("quick-start", SHARED, id="shared-inbox"),
        pytest.param("quick-start", INBOX, id="replies-into-inboxes"),
        pytest.param("openshift", RESPONSES, id="responses"),
        pytest.param("quick-start", "the seed of the login signs the answers", id="derived-key"),
        pytest.param("openshift", "jetstreamGrants is admin", id="admin"),
        pytest.param("openshift", "nats.calloutTimeout is over 2", id="timeout"),
        pytest.param("openshift", "nats.url holds a login", id="login-in-url"),
        pytest.param("scoped", "There is no self-test", id="no-self-test"),
        pytest.param("scoped", "networkPolicy.extraEgress", id="policy-and-issuer"),
        pytest.param("names-like-numbers", "replicaCount is 1", id="one-replica"),
        pytest.param("openshift", "replicaCount is null", id="autoscaler"),
        pytest.param("openshift", "rbac.create is false", id="no-rbac"),
    ],
)
def test_it_warns_of_what_one_should_know(name: str, warning: str) -> None:
    """What is allowed and still worth knowing is said where it applies, and only there."""
    assert warning in notes_of(case(name))
    assert any(warning not in notes_of(path) for path in CASES)


def test_tls_files_that_nothing_mounts_are_seen() -> None:
    """The guide's TLS block names files and mounts none: the service could not start."""
    warning = "nats.tls names files that nothing mounts"

    assert warning in notes_of(case("production"), "--set=extraVolumeMounts=null")
    assert warning not in notes_of(case("production"))
    assert warning not in notes_of(case("names-like-numbers"))


def test_what_is_private_needs_no_warning() -> None:
    """Without shared inbox and answers there is none of these warnings, but for the answers that nobody gives."""
    notes = notes_of(case("scoped"))

    assert [] == [warning for warning in (SHARED, INBOX, RESPONSES) if warning in notes]
    assert "replies.mode is none" in notes
