"""The variables about sessions that live: what they must be to each other, and whose the sessions are."""

import pytest

from tests.settings.whole import CONFIG, FILES, MOUNT, OPERATOR, load, problems, token, warned

ON = {"SESSION_CONTROL": "on"}
REVOKE = {"SESSION_CONTROL": "revoke"}
SYSTEM_SEED = {"NATS_SYSTEM_NKEY_FILE": "/user.seed"}
WARNINGS = [
    pytest.param({"SESSION_RENEWAL": "python"}, "SESSION_RENEWAL", True, id="off-renewal"),
    pytest.param({"SESSION_LABEL": "on"}, "SESSION_LABEL", True, id="off-label"),
    pytest.param({"SESSION_CONTROL": "off", "SESSION_RELEASE": "b"}, "SESSION_RELEASE", True, id="off-release"),
    pytest.param(SYSTEM_SEED, "NATS_SYSTEM_NKEY_FILE", True, id="off-system"),
    pytest.param(ON | SYSTEM_SEED, "NATS_SYSTEM_NKEY_FILE", False, id="on-system"),
    pytest.param({"SESSION_MAX_SECONDS": "59"}, "SESSION_MAX_SECONDS", False, id="off-short"),
    pytest.param({"SESSION_CONTROL": "off"}, "SESSION_CONTROL", False, id="off"),
    pytest.param(ON | {"SESSION_RENEWAL": "python"}, "SESSION_RENEWAL", False, id="on-renewal"),
    pytest.param(REVOKE | {"SESSION_RENEWAL": "python"}, "SESSION_RENEWAL", True, id="revoke-renewal"),
    pytest.param(ON, "SESSION_LABEL", False, id="on-label"),
    pytest.param(ON | {"SESSION_LABEL": "off"}, "SESSION_LABEL", True, id="on-without-label"),
    pytest.param(ON | {"SESSION_MAX_SECONDS": "59"}, "SESSION_MAX_SECONDS", True, id="on-short"),
    pytest.param(ON | {"SESSION_MAX_SECONDS": "60"}, "SESSION_MAX_SECONDS", False, id="on-long"),
    pytest.param(
        ON | {"SESSION_MAX_SECONDS": "59", "SESSION_RENEWAL": "off"},
        "SESSION_MAX_SECONDS",
        False,
        id="short-no-renewal",
    ),
    pytest.param(REVOKE | {"SESSION_MAX_SECONDS": "59"}, "SESSION_MAX_SECONDS", False, id="revoke-short"),
    pytest.param(ON, "SESSION_RELEASE", True, id="nobodys"),
    pytest.param(ON | {"SESSION_RELEASE": "b"}, "SESSION_RELEASE", False, id="ours"),
    pytest.param({"SESSION_LABLE": "off"}, "SESSION_LABLE", True, id="unknown"),
    pytest.param({"SESSION_MANAGER": "local/desktop"}, "SESSION_MANAGER", False, id="a-desktops"),
]


@pytest.mark.parametrize(("env", "name", "expected"), WARNINGS)
def test_warnings(env: dict[str, str], name: str, expected: bool) -> None:
    """What has no effect is told, and so is what costs a client its session."""
    assert expected == warned(CONFIG | env, name)


PROBLEMS = [
    pytest.param(
        CONFIG | ON | {"SHADOW": "true"},
        "SESSION_CONTROL: excludes SHADOW: who answers nobody has no sessions",
        id="shadow",
    ),
    pytest.param(
        OPERATOR | ON | {"NATS_SYSTEM_CREDS_FILE": "/user.seed"},
        "NATS_SYSTEM_CREDS_FILE: operator mode needs a whole creds file; this one holds a seed only",
        id="operator-mode-seed-only",
    ),
    pytest.param(
        OPERATOR | ON | SYSTEM_SEED,
        "NATS_SYSTEM_NKEY_FILE: is for config mode: operator mode needs NATS_SYSTEM_CREDS_FILE",
        id="operator-mode-nkey",
    ),
    pytest.param(
        CONFIG | ON | SYSTEM_SEED | {"NATS_SYSTEM_CREDS_FILE": "/creds"},
        "NATS_SYSTEM_CREDS_FILE: excludes NATS_SYSTEM_NKEY_FILE: one login only",
        id="two-logins",
    ),
    pytest.param(CONFIG | {"SESSION_CONTROL": "x"}, "SESSION_CONTROL: must be one of off, revoke, on", id="control"),
    pytest.param(CONFIG | {"SESSION_LABEL": "x"}, "SESSION_LABEL: must be on or off", id="label"),
    pytest.param(
        CONFIG | ON | {"SESSION_RELEASE": "B;r=x"},
        "SESSION_RELEASE: must be a-z, 0-9 and '-', at most 73 characters",
        id="release",
    ),
    pytest.param(
        CONFIG | ON | {"SESSION_SUBJECTS": "nko.*"},
        "SESSION_SUBJECTS: must be one token of a subject: letters, digits, '-' and '_', at most 64 characters",
        id="subjects",
    ),
]


@pytest.mark.parametrize(("env", "expected"), PROBLEMS)
def test_problems(env: dict[str, str], expected: str) -> None:
    """What cannot work is an error."""
    assert [expected] == problems(env)


def own(name: str, uid: str) -> dict[str, bytes | None]:
    account = {"kubernetes.io": {"serviceaccount": {"name": name, "uid": uid}}}
    return FILES | {f"{MOUNT}/token": token({"iss": "https://issuer.example"} | account)}


@pytest.mark.parametrize(
    ("env", "files", "expected"),
    [
        pytest.param({}, own("nats.callout", "u-1"), "nats-callout-a24a7f", id="ours"),
        pytest.param({"SESSION_RELEASE": "b"}, own("nats.callout", "u-1"), "b-a24a7f", id="told"),
        pytest.param({}, own("a" * 253, "u-1"), "a" * 73 + "-a24a7f", id="long"),
        pytest.param({}, own("nats", ""), "nats", id="no-uid"),
        pytest.param({}, FILES, "nats-k8s-oidc-callout", id="no-pod"),
    ],
)
def test_release(env: dict[str, str], files: dict[str, bytes | None], expected: str) -> None:
    """Releases of one name in two clusters are told apart by our uid: printf u-1 | sha256sum."""
    assert expected == load(CONFIG | ON | env, files).session_release
