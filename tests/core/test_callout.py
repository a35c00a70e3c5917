"""The protocol with a NATS server: which questions are heard, and what our answers say."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nats_k8s_oidc_callout.core.grants import annotations
from nats_k8s_oidc_callout.core.model import Allow, Deny, DropReason, Reason, Request, Workload
from nats_k8s_oidc_callout.core.nats import callout, natsjwt, signers, user
from nats_k8s_oidc_callout.core.nats.callout import Unanswerable
from nats_k8s_oidc_callout.core.nats.nkeys import Kind, SigningKey
from nats_k8s_oidc_callout.core.nats.xkey import CurveKey
from tests.fakes.rules import PREFIX, TERMS
from tests.fakes.server import ISSUER, NONCE, NOW, USER_NKEY, Server

SERVER = Server()
OURS = CurveKey(bytes([5] * 32))
OLD = CurveKey(bytes([6] * 32))
SIGNERS = signers.config_mode("APP", [ISSUER])
GRANT = user.encode(annotations.compile_grant("shop", "web", None, TERMS, PREFIX).permissions)
WORKLOAD = Workload("shop", "web", "uid-1")


def opened(data: bytes, xkey: str = "", xkeys: tuple[CurveKey, ...] = (), clear: bool = True) -> Request:
    return callout.open_request(data, xkey, SIGNERS.answers, xkeys, clear)[0]


def dropped(data: bytes, xkey: str = "", xkeys: tuple[CurveKey, ...] = (), clear: bool = True) -> DropReason:
    with pytest.raises(Unanswerable) as raised:
        opened(data, xkey, xkeys, clear)
    return raised.value.reason


def signed_bytes(payload: bytes) -> bytes:
    """Return these bytes as a server's JWT, whatever they are."""
    return natsjwt.sign(payload, SERVER.key)


def test_a_server_is_heard() -> None:
    """A question of a server is read field by field."""
    request = opened(SERVER.ask("tok"))

    assert request.token is not None
    assert "tok" == request.token.reveal()
    assert (ISSUER.public, SERVER.key.public, USER_NKEY) == (request.subject, request.server_id, request.user_nkey)
    assert ("10.0.0.9", 10, "conn", "S1") == (
        request.client_host,
        request.client_id,
        request.client_name,
        request.server_name,
    )
    assert (NOW + 1, "") == (request.expires_at, request.server_xkey)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        pytest.param({"auth_token": "one", "pass": "two"}, "one", id="token before password"),
        pytest.param({"pass": "two", "user": "web"}, "two", id="password"),
        pytest.param({"auth_token": "", "pass": "two"}, "two", id="empty token"),
        pytest.param({"jwt": "sentinel", "user": "u"}, None, id="jwt and user are never read"),
        pytest.param({"auth_token": " \n"}, None, id="white space"),
        pytest.param({}, None, id="nothing"),
    ],
)
def test_where_the_token_is_looked_for(options: dict[str, str], expected: str | None) -> None:
    """The credential is `auth_token`, else `pass`, and nothing else."""
    token = opened(SERVER.ask(**options)).token

    assert expected == (token and token.reveal())


def changed(path: str, value: Any, key: SigningKey | None = None) -> bytes:
    """Return a question in which one claim was changed before it was signed."""
    claims = SERVER.claims(token="tok")
    *parents, last = path.split(".")
    place = claims
    for name in parents:
        place = place[name]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return SERVER.sign(claims, key)


@pytest.mark.parametrize(
    "question",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"eyJ", id="only a start"),
        pytest.param(SERVER.ask("tok")[:-3] + b"AAA", id="bad signature"),
        pytest.param(changed("aud", "other"), id="audience"),
        pytest.param(changed("sub", SigningKey(Kind.ACCOUNT, bytes([9] * 32)).public), id="somebody else's answer"),
        pytest.param(changed("nats.server_id.id", Server(SigningKey(Kind.SERVER, bytes(32))).key.public), id="server"),
        pytest.param(changed("nats.type", "authorization_response"), id="type"),
        pytest.param(changed("nats.version", 1), id="version"),
        pytest.param(changed("nats.user_nkey", None), id="no user_nkey"),
        pytest.param(changed("nats.user_nkey", ISSUER.public), id="user_nkey of another kind"),
        pytest.param(changed("nats.user_nkey", USER_NKEY[:-1] + "A"), id="user_nkey with a wrong checksum"),
        pytest.param(changed("iss", ISSUER.public, ISSUER), id="signed by an account"),
        pytest.param(changed("exp", "soon"), id="exp is text"),
        pytest.param(changed("exp", 10**400), id="exp no float can hold"),
        pytest.param(changed("iat", -1), id="iat before time began"),
        pytest.param(changed("nats.client_info.id", 1 << 64), id="cid no log line can hold"),
        pytest.param(changed("nats.client_info.host", "h" * 257), id="host to fill memory with"),
        pytest.param(signed_bytes(b'{"iss":"\xff"}'), id="iss is no UTF-8"),
        pytest.param(changed("nats", []), id="nats is a list"),
        pytest.param(SERVER.ask("tok") + b"\n", id="trailing newline"),
    ],
)
def test_malformed_questions(question: bytes) -> None:
    """What no server of ours can have meant is dropped as malformed, or as not sealed as it should be."""
    assert dropped(question) in (DropReason.MALFORMED_REQUEST, DropReason.ENCRYPTION_MISMATCH)


@given(st.binary(max_size=300))
def test_any_bytes_are_dropped(data: bytes) -> None:
    """Any bytes end as Unanswerable, sealed or not, never as another exception."""
    dropped(data)
    dropped(b"eyJ" + data)
    dropped(data, SERVER.curve.public, (OURS,))


def test_a_sealed_question_is_opened() -> None:
    """A sealed question opens with our key, and says which of our keys that was."""
    request, key = callout.open_request(
        SERVER.ask_sealed(OURS, "tok"), SERVER.curve.public, SIGNERS.answers, (OLD, OURS), False
    )

    assert OURS is key
    assert SERVER.curve.public == request.server_xkey


@pytest.mark.parametrize(
    ("data", "xkey", "xkeys", "clear"),
    [
        pytest.param(SERVER.ask("tok"), "", (OURS,), False, id="clear although an xkey is required"),
        pytest.param(SERVER.ask("tok"), SERVER.curve.public, (OURS,), False, id="clear with an xkey header"),
        pytest.param(SERVER.ask_sealed(OURS, "tok"), SERVER.curve.public, (), True, id="sealed, but we have no key"),
        pytest.param(SERVER.ask_sealed(OURS, "tok"), SERVER.curve.public, (OLD,), True, id="sealed for another"),
        pytest.param(SERVER.ask_sealed(OURS, "tok"), OURS.public, (OURS,), True, id="wrong header"),
        pytest.param(SERVER.ask_sealed(OURS, "tok"), "", (OURS,), True, id="no header"),
        pytest.param(
            SERVER.curve.seal(OURS.public, NONCE, SERVER.ask("tok")),
            SERVER.curve.public,
            (OURS,),
            True,
            id="no xkey claim",
        ),
    ],
)
def test_encryption_mismatches(data: bytes, xkey: str, xkeys: tuple[CurveKey, ...], clear: bool) -> None:
    """A question that is not sealed as configured is dropped: nobody can talk us down to clear text."""
    assert DropReason.ENCRYPTION_MISMATCH == dropped(data, xkey, xkeys, clear)


def test_clear_questions_pass_while_an_xkey_is_rolled_out() -> None:
    """In mode `optional` a clear question is heard although we hold an xkey."""
    assert ISSUER.public == opened(SERVER.ask("tok"), xkeys=(OURS,), clear=True).subject


def test_allow_in_config_mode() -> None:
    """An Allow names the workload, the account and the expiry, for the user key of this very login."""
    answer = SERVER.read(
        callout.encode(opened(SERVER.ask("tok")), Allow(WORKLOAD, "APP", GRANT, NOW + 600), SIGNERS, None, NOW, bytes)
    )

    assert answer.user is not None
    assert "system:serviceaccount:shop:web" == answer.user["name"]
    assert ("APP", NOW + 600, NOW, USER_NKEY) == tuple(answer.user[claim] for claim in ("aud", "exp", "iat", "sub"))
    assert {"allow": ["shop.>", "_INBOX.>", "_INBOX_SA.>"]} == answer.user["nats"]["pub"]
    assert "issuer_account" not in answer.user["nats"]
    assert "issuer_account" not in answer.response["nats"]


def test_allow_in_operator_mode_with_signing_keys() -> None:
    """With signing keys each JWT names the account its signer belongs to, and the user JWT no audience."""
    target, auth = (SigningKey(Kind.ACCOUNT, bytes([n] * 32)) for n in (11, 12))
    target_signing, auth_signing = (SigningKey(Kind.ACCOUNT, bytes([n] * 32)) for n in (13, 14))
    placed = signers.operator_mode(target.public, target_signing, auth.public, auth_signing)
    server = Server(sub=auth.public)
    request, _ = callout.open_request(server.ask("tok"), "", placed.answers, (), True)
    answer = server.read(
        callout.encode(request, Allow(WORKLOAD, target.public, GRANT, NOW + 600), placed, None, NOW, bytes)
    )

    assert answer.user is not None
    assert (target_signing.public, target.public) == (answer.user["iss"], answer.user["nats"]["issuer_account"])
    assert (auth_signing.public, auth.public) == (answer.response["iss"], answer.response["nats"]["issuer_account"])
    assert "aud" not in answer.user


@pytest.mark.parametrize("account", ["SHOP", "app", "", "AUTH"])
def test_nobody_lands_in_an_account_without_a_key(account: str) -> None:
    """An account that nobody signs for is an error, and no other account takes its place."""
    target, auth = (SigningKey(Kind.ACCOUNT, bytes([n] * 32)) for n in (11, 12))
    placed = signers.operator_mode(target.public, target, auth.public, auth)
    request, _ = callout.open_request(Server(sub=auth.public).ask("tok"), "", placed.answers, (), True)

    with pytest.raises(callout.NoSigner, match=f"no key for {account}"):
        callout.encode(request, Allow(WORKLOAD, account, GRANT, NOW + 600), placed, None, NOW, bytes)


def test_deny_has_one_text() -> None:
    """A refusal carries the one constant text and no user."""
    answer = SERVER.read(callout.encode(opened(SERVER.ask("tok")), Deny(Reason.EXPIRED), SIGNERS, None, NOW, bytes))

    assert (callout.REFUSAL, None) == (answer.error, answer.user)


def test_requests_have_no_repr_of_the_token() -> None:
    """Printing a request does not print the client's token."""
    assert "s3cr3t-token" not in repr(opened(SERVER.ask("s3cr3t-token")))


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(Server().ask("x"), "10.0.0.9", id="a question"),
        pytest.param(Server().ask("x")[:-20] + b"A" * 20, "10.0.0.9", id="not signed"),
        pytest.param(b"eyJ", "", id="one part"),
        pytest.param(b"eyJ.@.x", "", id="no base64url"),
        pytest.param(b"eyJ.e30.x", "", id="no claims"),
        pytest.param(b"xkv1 sealed", "", id="sealed"),
        pytest.param(b"eyJ." + b"A" * natsjwt.MAX_BYTES, "", id="huge"),
    ],
)
def test_the_host_that_a_question_claims(data: bytes, expected: str) -> None:
    """The client's host can be read before anything is proved, and reading it never fails."""
    assert expected == callout.claimed_host(data)
