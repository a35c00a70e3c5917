"""The callout protocol: a server's question in, our answer out, both as bytes. What to answer is decide.

How nats-server writes a request and checks a response: NATS_FACTS 1 and 2, and its source, server/auth_callout.go.
"""

from collections.abc import Callable, Container, Sequence
from typing import Annotated, Literal

import msgspec

from nats_k8s_oidc_callout.core import base64url
from nats_k8s_oidc_callout.core.model import Allow, ConnectionKind, Deny, DropReason, Request, Token
from nats_k8s_oidc_callout.core.nats import natsjwt, nkeys, xkey
from nats_k8s_oidc_callout.core.nats.nkeys import Kind
from nats_k8s_oidc_callout.core.nats.signers import Signer, Signers
from nats_k8s_oidc_callout.core.nats.xkey import CurveKey
from nats_k8s_oidc_callout.core.strangers import reader
from nats_k8s_oidc_callout.errors import BadBox, BadKey, BadToken, CalloutError, Unreadable

AUDIENCE = "nats-authorization-request"
# The one text a server hears with a refusal: it stands in the server's log, and nobody may learn from it why.
REFUSAL = "not authorized"
# The server tells "sealed or not" by the same three bytes: base64url of `{"`.
_CLEAR = b"eyJ"


# Whoever may publish in the callout account can sign a question with a key of their own making. A number without a
# bound does not fit into the float that time is here, and hosts are kept in memory for a while.
_Seconds = Annotated[int, msgspec.Meta(ge=0, le=1 << 53)]
_Cid = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]
_Host = Annotated[str, msgspec.Meta(max_length=256)]


class _ServerId(msgspec.Struct):
    id: str
    name: str = ""
    xkey: str = ""


class _ClientInfo(msgspec.Struct):
    host: _Host = ""
    id: _Cid = 0
    kind: str = ""
    type: str = ""


class _ConnectOptions(msgspec.Struct):
    # `jwt` and `user` are not even read: config mode drops the one, operator mode puts the sentinel there,
    # and the other is whatever the client likes.
    auth_token: str = ""
    password: str = msgspec.field(name="pass", default="")
    name: str = ""


class _Question(msgspec.Struct):
    server_id: _ServerId
    user_nkey: str
    client_info: _ClientInfo
    connect_opts: _ConnectOptions
    type: Literal["authorization_request"]
    version: Literal[2]


class _RequestClaims(msgspec.Struct):
    aud: str
    iss: str
    sub: str
    iat: _Seconds
    exp: _Seconds
    nats: _Question


_request_claims = reader(_RequestClaims)


class _Hint(msgspec.Struct):
    client_info: _ClientInfo


class _HintClaims(msgspec.Struct):
    nats: _Hint


_hint = reader(_HintClaims)


def claimed_host(data: bytes) -> str:
    """Return the client host that a clear request names, or nothing. Unverified: good for choosing who waits only."""
    if not data.startswith(_CLEAR) or len(data) > natsjwt.MAX_BYTES:
        return ""
    try:
        return _hint(base64url.decode(data.split(b".", 2)[1])).nats.client_info.host
    except (IndexError, ValueError, Unreadable):
        return ""


class Unanswerable(CalloutError):
    """A message that no server we serve can have meant: it is counted, logged and left without an answer."""

    def __init__(self, reason: DropReason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


class NoSigner(CalloutError):
    """Nobody signs for the account of a verdict: its key went between deciding and signing."""


def open_request(
    data: bytes, server_xkey: str, subjects: Container[str], xkeys: Sequence[CurveKey], clear_allowed: bool
) -> tuple[Request, CurveKey | None]:
    """Return the question in `data`, and the curve key that opened it; raise Unanswerable when it is not for us.

    `subjects` are the keys by which we answer. `server_xkey` is the header `Nats-Server-Xkey` or empty; `clear_allowed` says whether an unsealed request may
    pass although we hold xkeys.
    """
    opened_by: CurveKey | None = None
    if data.startswith(_CLEAR):
        if not clear_allowed:
            raise Unanswerable(
                DropReason.ENCRYPTION_MISMATCH, "the request is not sealed, but NATS_XKEY_MODE is required"
            )
        server_xkey = ""
    else:
        data, opened_by = _unseal(data, server_xkey, xkeys)
    try:
        claims = natsjwt.verify(data, Kind.SERVER, _request_claims)
        nkeys.decode_public(claims.nats.user_nkey, Kind.USER)
    except BadToken as error:
        raise Unanswerable(DropReason.MALFORMED_REQUEST, f"the request {error}") from None
    except BadKey as error:
        raise Unanswerable(DropReason.MALFORMED_REQUEST, f"its user_nkey {error}") from None
    question = claims.nats
    if claims.aud != AUDIENCE:
        raise Unanswerable(DropReason.MALFORMED_REQUEST, "the request has another audience")
    if claims.iss != question.server_id.id:
        raise Unanswerable(DropReason.MALFORMED_REQUEST, "the request is not signed by the server it names")
    if opened_by and question.server_id.xkey != server_xkey:
        raise Unanswerable(DropReason.ENCRYPTION_MISMATCH, "the request's xkey is not the one in its header")
    if claims.sub not in subjects:
        raise Unanswerable(
            DropReason.MALFORMED_REQUEST, f"the server needs an answer signed by {claims.sub[:56]}, which is not ours"
        )
    client, options = question.client_info, question.connect_opts
    credential = options.auth_token or options.password
    request = Request(
        subject=claims.sub,
        server_id=question.server_id.id,
        server_name=question.server_id.name,
        server_xkey=server_xkey,
        user_nkey=question.user_nkey,
        token=Token.of(credential),
        client_host=client.host,
        client_id=client.id,
        client_name=options.name,
        client_kind=_kind_of(client),
        expires_at=claims.exp,
    )
    return request, opened_by


_KINDS = {kind.value: kind for kind in ConnectionKind if kind is not ConnectionKind.LEAFNODE}


def _kind_of(client: _ClientInfo) -> ConnectionKind | None:
    """Return how a client connects, as nats-server writes it: kindStringMap and clientTypeString in server/client.go."""
    return ConnectionKind.LEAFNODE if client.kind == "Leafnode" else _KINDS.get(client.type)


def _unseal(data: bytes, server_xkey: str, xkeys: Sequence[CurveKey]) -> tuple[bytes, CurveKey]:
    """Return what the box holds and which of our keys opened it."""
    if not xkeys:
        raise Unanswerable(DropReason.ENCRYPTION_MISMATCH, "the request is sealed, but NATS_XKEY_FILE is not set")
    detail = "the request cannot be decrypted with our xkeys"
    for key in xkeys:
        try:
            return key.open(server_xkey, data), key
        except BadBox as error:
            detail = f"the request {error}"
    raise Unanswerable(DropReason.ENCRYPTION_MISMATCH, detail)


class _UserClaims(msgspec.Struct, omit_defaults=True):
    iat: int
    iss: str
    sub: str
    exp: int
    name: str
    nats: msgspec.Raw
    aud: str = ""


class _Answer(msgspec.Struct, omit_defaults=True):
    type: str
    version: int
    jwt: str = ""
    error: str = ""
    issuer_account: str = ""


class _ResponseClaims(msgspec.Struct):
    aud: str
    iat: int
    iss: str
    sub: str
    nats: _Answer


_encode = msgspec.json.Encoder().encode


def encode(
    request: Request,
    verdict: Allow | Deny,
    signers: Signers,
    opened_by: CurveKey | None,
    iat: int,
    nonce: Callable[[int], bytes],
) -> bytes:
    """Return the signed answer to a request, sealed if the request was (`opened_by` says by which key).

    Raises NoSigner rather than placing the client anywhere else.
    """
    signer = signers.answers[request.subject]
    if isinstance(verdict, Allow):
        signs_for_user = signers.user(request.subject, verdict.account)
        if signs_for_user is None:
            raise NoSigner(f"no key for {verdict.account}")
        user = _user(request, verdict, signs_for_user, iat)
        response = _respond(request, signer, iat, jwt=user.decode("ascii"))
    else:
        # One text for everybody, whatever the reason.
        response = _respond(request, signer, iat, error=REFUSAL)
    return response if opened_by is None else opened_by.seal(request.server_xkey, nonce(xkey.NONCE_BYTES), response)


def _user(request: Request, verdict: Allow, signer: Signer, iat: int) -> bytes:
    """Return the JWT that lets the client in with the verdict's grant, name and expiry."""
    grant = verdict.grant
    if signer.issuer_account:
        # The grant is a JSON object we wrote ourselves; adding a member at its end spares decoding it again.
        grant = b'%b,"issuer_account":"%b"}' % (grant[:-1], signer.issuer_account.encode())
    user = _UserClaims(
        iat=iat,
        iss=signer.key.public,
        sub=request.user_nkey,
        exp=verdict.expires_at,
        name=verdict.user or verdict.workload.username,
        nats=msgspec.Raw(grant),
        aud=signer.audience,
    )
    return natsjwt.sign(_encode(user), signer.key)


def _respond(request: Request, signer: Signer, iat: int, *, jwt: str = "", error: str = "") -> bytes:
    answer = _Answer(
        type="authorization_response", version=2, jwt=jwt, error=error, issuer_account=signer.issuer_account
    )
    claims = _ResponseClaims(aud=request.server_id, iat=iat, iss=signer.key.public, sub=request.user_nkey, nats=answer)
    return natsjwt.sign(_encode(claims), signer.key)
