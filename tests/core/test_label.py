"""What a session's name says to every replica."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nats_k8s_oidc_callout.core.identity.issuers import Proved
from nats_k8s_oidc_callout.core.model import Workload
from nats_k8s_oidc_callout.core.sessions import label
from nats_k8s_oidc_callout.core.sessions.label import Label, parse, plain, written

LABEL = Label(
    "shop", "web.v2", 1789003600, "0b7a3c2e", "00c0ffee", "abc123", "deadbeef", 1789000000, "a1b2c3", "prod-1"
)
TEXT = str(LABEL)


def test_a_label_says_itself() -> None:
    """What is written is read again, behind the name that Kubernetes gives the workload."""
    assert TEXT.startswith("system:serviceaccount:shop:web.v2;e=1789003600;")
    assert LABEL == parse(TEXT)
    assert "system:serviceaccount:shop:web.v2" == plain(TEXT)
    assert msgspec.structs.replace(LABEL, uid="") == parse(TEXT.replace("u=0b7a3c2e", "u="))


def test_sessions_of_a_workload_share_what_they_say() -> None:
    """Twenty thousand labels hold the words of their two thousand workloads once."""
    one, other = parse(TEXT), parse(TEXT.replace("t=deadbeef", "t=00000000"))

    assert one
    assert other
    for word in ("namespace", "name", "uid", "grant", "kid", "policy", "release"):
        assert getattr(one, word) is getattr(other, word)


@pytest.mark.parametrize(
    ("uid", "jti", "kid"),
    [
        pytest.param("0b7a3c2e-1111-4222-8333-444444444444", "5b8f4c1a-2f7e-4b43-9a52-000000000001", "k1", id="usual"),
        pytest.param("x;r=other", "", "a;r=other;k=abc123", id="injecting"),
        pytest.param("é" * 128, "\ud800", "=" * 256, id="not-ascii"),
    ],
)
def test_a_token_writes_no_field_of_its_own(uid: str, jti: str, kid: str) -> None:
    """Whatever stands in a token's claims, the label has its own fields only, and reads as it was written."""
    proved = Proved(Workload("shop", "web", uid, jti=jti), 1789003600, 1789000000, kid=kid, issued=1789000000)
    text = written(proved, 1789003600, "00c0ffee", "a1b2c3", "prod-1")
    found = parse(text)
    assert found is not None

    assert ("shop", "web", "prod-1", "a1b2c3") == (found.namespace, found.name, found.release, found.policy)
    assert (text, 8) == (str(found), text.count(";"))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "system:serviceaccount:shop:web",
        "admin;e=1;u=;g=00c0ffee;k=abc123;t=deadbeef;i=1;p=a1b2c3;r=x",
        TEXT + "\n",
        TEXT + ";x=1",
        TEXT.replace("e=1789003600", "e=-1"),
        TEXT.replace("e=1789003600", "e=" + "9" * 13),
        TEXT.replace("e=1789003600", "e=١"),
        TEXT.replace("00c0ffee", "00C0FFEE"),
        TEXT.replace("shop", "Shop"),
        TEXT.replace("web.v2", "web..v2"),
        TEXT.replace("r=prod-1", "r="),
        TEXT.replace("r=prod-1", "r=" + "a" * 600),
    ],
)
def test_what_is_not_ours_is_no_label(text: str) -> None:
    """Whatever differs in one character is somebody else's name."""
    assert parse(text) is None


@given(st.text(max_size=300))
def test_no_name_raises(text: str) -> None:
    """A name is an administrator's, or a stranger's: reading it never fails."""
    assert parse(text) is None
    found = parse(TEXT[:60] + text)
    assert found is None or str(found) == TEXT[:60] + text
    assert len(plain(text)) <= len(text)


@pytest.mark.parametrize(
    ("uid", "said"),
    [("0b7a3c2e-5f7b", "0b7a3c2e"), ("uid-1", "uid-1"), ("", ""), ("a;b=c", label.digest("a;b=c", 8))],
)
def test_any_uid_is_told_apart(uid: str, said: str) -> None:
    """A uid that is no uuid stands there by its digest."""
    changed: Any = msgspec.structs.replace(LABEL, uid=label.of_uid(uid))

    assert said == label.of_uid(uid)
    assert changed == parse(str(changed))


@pytest.mark.parametrize(
    ("user", "names"),
    [
        ("system:serviceaccount:shop:web.v2", ("shop", "web.v2")),
        ("system:serviceaccount:shop:web;e=1", None),
        ("system:serviceaccount:shop", None),
        ("system:serviceaccount:Shop:web", None),
        ("shop:web", None),
    ],
)
def test_a_name_without_a_label(user: str, names: tuple[str, str] | None) -> None:
    """A ServiceAccount's plain name tells whose session it is, and nothing more."""
    found = label.named(user, 0.0)

    assert names == (found and (found.namespace, found.name))
    assert found is None or ("", 0) == (found.release, found.expires)
