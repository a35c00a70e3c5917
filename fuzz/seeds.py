"""Writes the first inputs of each corpus, which show the fuzzer the shape of a good one: python -m fuzz.seeds"""

import gzip
import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from fuzz.logins import KEY, KUBERNETES, OUR_ISSUER, OURS, SERVER, THEIRS
from nats_k8s_oidc_callout.core.nats import natsjwt, nkeys
from nats_k8s_oidc_callout.core.nats.nkeys import Kind
from tests.fakes.issuer import NOW, compact, issuer_key, jwks

CORPUS = Path(__file__).parent / "corpus"


def _question(token: str = "", **server: str) -> bytes:
    return compact(
        {
            "aud": "nats-authorization-request",
            "exp": NOW + 1,
            "iat": NOW,
            "iss": SERVER.public,
            "sub": OUR_ISSUER.public,
            "nats": {
                "server_id": {"name": "S1", "id": SERVER.public, **server},
                "user_nkey": nkeys.encode_public(Kind.USER, bytes([2] * 32)),
                "client_info": {"host": "10.0.0.9", "id": 10, "kind": "Client"},
                "connect_opts": {"name": "conn", "auth_token": token, "pass": "x"},
                "type": "authorization_request",
                "version": 2,
            },
        }
    )


def _line(kind: str, name: str = "orders", **meta: object) -> bytes:
    metadata = {"name": name, "namespace": "team-a", "uid": "uid-1", "resourceVersion": "7", **meta}
    return compact({"type": kind, "object": {"kind": "ServiceAccount", "metadata": metadata}})


def _creds() -> bytes:
    user, account = (nkeys.SigningKey(kind, bytes([9] * 32)) for kind in (Kind.USER, Kind.ACCOUNT))
    jwt = natsjwt.sign(compact({"iss": account.public, "sub": user.public, "nats": {"issuer_account": "A"}}), account)
    seed = nkeys.encode_seed(Kind.USER, bytes([9] * 32))
    return (
        f"-----BEGIN NATS USER JWT-----\n{jwt.decode()}\n------END NATS USER JWT------\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
    ).encode()


def _connections() -> tuple[bytes, ...]:
    server = {"id": "NA2", "name": "n0", "time": "2026-11-26T21:00:00Z"}
    user = "system:serviceaccount:a:b;e=1795732500;u=0b7a3c2e;g=0123abcd;k=012345;t=01234567;i=1795728900;p=012345;r=r"
    client = {
        "id": 7,
        "start": "2026-11-26T21:00:00.5+01:00",
        "acc": "A",
        "user": user,
        "name": "\u2028<",
        "lang": "go",
    }
    row = {
        "cid": 7,
        "start": "2026-11-26T21:00:00.5Z",
        "account": "A",
        "authorized_user": user,
        "name": "n",
        "kind": "Client",
    }
    page = compact({"server": server, "data": {"now": "2026-11-26T21:00:00Z", "total": 9, "connections": [row]}})
    event = {"server": server, "client": client, "timestamp": "2026-11-26T21:00:01Z"}
    gone = {"code": 500, "description": "no such client or leafnode id"}
    return (
        b"e" + compact(event),
        b"e" + compact({**event, "reason": "Kicked"}),
        b"p" + page,
        b"z" + gzip.compress(page, mtime=0),
        b"k" + compact({"server": server, "error": gone}),
    )


def seeds() -> Mapping[str, Iterable[bytes]]:
    """Return inputs by target."""
    header = compact({"alg": "ES256", "kid": KEY.kid})
    claims = KUBERNETES.claims()
    token = KUBERNETES.token()
    question, sealed = _question(token), _question(token, xkey=THEIRS.public)
    item = {"metadata": {"name": "web", "namespace": "team-b", "uid": "u", "annotations": {"nats.io/x": "y"}}}
    page = {"kind": "ServiceAccountList", "metadata": {"resourceVersion": "9", "continue": "c"}, "items": [item]}
    account = "apiVersion: v1\nkind: ServiceAccount\nmetadata:\n  name: web\n  namespace: team-b\n  uid: u\n"
    return {
        "token": (
            b"r" + token.encode(),
            b"s" + header + b"\n" + compact(claims),
            b"s" + compact({"alg": "ES256", "kid": KEY.kid, "crit": ["b64"], "b64": False}) + b"\n" + compact(claims),
            b"s" + header + b"\n" + compact({**claims, "aud": "nats", "exp": 1 << 62}),
            b"uA.\xed\xa0\x80.B",
        ),
        "request": (
            b"r" + natsjwt.sign(question, SERVER),
            b"s" + question,
            b's{"iss":"\xff"}',
            b"s" + question.replace(b'"id":10', b'"id":99999999999999999999'),
            b"s" + question.replace(str(NOW + 1).encode(), b"9" * 400),
            b'h{"alg":"ed25519-nkey","typ":"jwt"}\n' + question,
            b'h{"typ":"\xff","alg":"x"}\n' + question,
        ),
        "box": (
            b"s" + natsjwt.sign(sealed, SERVER),
            b"r" + THEIRS.public.encode() + b"\n" + THEIRS.seal(OURS.public, bytes(24), natsjwt.sign(sealed, SERVER)),
            b"r" + nkeys.encode_public(Kind.CURVE, bytes(32)).encode() + b"\nxkv1" + bytes(60),
            b"r\n" + natsjwt.sign(question, SERVER),
        ),
        "key_set": (
            jwks(KEY, issuer_key()),
            jwks({**KEY.jwk(), "alg": "HS256"}, {"kty": "oct", "k": "AAAA", "kid": "a"}, KEY.jwk()),
            jwks(KEY.jwk(), {**KEY.jwk(), "x": KEY.jwk()["y"]}),
            jwks(KEY, {**issuer_key().jwk(), "kid": KEY.kid}, {**KEY.jwk(), "key_ops": ["sign"], "use": "enc"}),
            jwks(KEY, KEY, {**issuer_key().jwk(), "e": "AQ"}, {**issuer_key().jwk(), "d": "AAAA"}),
            jwks({"kty": "AKP", "alg": "ML-DSA-65", "kid": "m", "pub": "AAAA"}, KEY.jwk()),
        ),
        "watch": (
            b"\n".join((_line("ADDED", uid="uid-2"), _line("DELETED"), _line("DELETED", uid="uid-2"))),
            b"\n".join((_line("ADDED", "web"), _line("MODIFIED", annotations={"nats.io/a": "b"}), _line("DELETED"))),
            _line("MODIFIED", deletionTimestamp="2026-01-01T00:00:00Z"),
            b'{"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired"}}',
            b'{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"8"}}}\n' + _line("DELETED", uid="other"),
        ),
        "list_page": (compact(page), compact({**page, "items": [item, {"metadata": 1}]}), b'{"kind":"Status"}'),
        "annotation": (
            b"0orders.created,orders.*.done,$JS.API.CONSUMER.CREATE.S.>,$KV.B.>\n$JS.ACK.S.>",
            b"1>,*.>,_INBOX.>,$SYS.>,foo..bar,a b,\xc2\xa0x\xc2\xa0,$JS.API.>,$js.api.>",
        ),
        "manifest": (
            account.encode(),
            f"{account}---\n{json.dumps({'kind': 'List', 'items': [{'kind': 'ServiceAccount', **item}]})}".encode(),
            b"a: &a [x, x]\nb: &b [*a, *a]\n<<: *b\n",
            b"kind: ServiceAccount\nmetadata: {name: 2026-13-45, annotations: {a: !!binary AA==}}\n",
        ),
        "secret_file": (
            _creds(),
            nkeys.encode_seed(Kind.ACCOUNT, bytes([1] * 32)).encode() + b"\n# comment\n",
            nkeys.encode_seed(Kind.CURVE, bytes([1] * 32)).encode(),
        ),
        "log_text": (
            b"r" + token.encode(),
            b"rnats://user:p%40ss@host:4222,nats://token@other password=x\x1b[31m",
            b"u\xed\xa0\x80\xe2\x80\xae",
        ),
        "connections": _connections(),
    }


def main() -> None:
    """Write them, each under a name that says that it was made by hand."""
    for target, inputs in seeds().items():
        folder = CORPUS / target
        folder.mkdir(parents=True, exist_ok=True)
        for number, data in enumerate(inputs):
            (folder / f"seed-{number}").write_bytes(data)


if __name__ == "__main__":
    main()
