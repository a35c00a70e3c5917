"""The NATS server's side of the callout, without a server: it asks as a server asks, and reads our answers."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nats_k8s_oidc_callout.core import base64url
from nats_k8s_oidc_callout.core.nats import natsjwt, nkeys
from nats_k8s_oidc_callout.core.nats.nkeys import Kind, SigningKey
from nats_k8s_oidc_callout.core.nats.xkey import CurveKey

ISSUER = SigningKey(Kind.ACCOUNT, bytes([1] * 32))
USER_NKEY = SigningKey(Kind.USER, bytes([2] * 32)).public
NOW = 1_800_000_000
NONCE = bytes(24)


def claims_of(token: str | bytes) -> dict[str, Any]:
    """Return a JWT's claims, unchecked."""
    body = (token if isinstance(token, bytes) else token.encode()).split(b".")[1]
    decoded: dict[str, Any] = json.loads(base64.urlsafe_b64decode(body + b"=" * (-len(body) % 4)))
    return decoded


@dataclass
class Answer:
    """What a server finds in our response."""

    response: dict[str, Any]
    user: dict[str, Any] | None

    @property
    def error(self) -> str:
        return str(self.response["nats"].get("error", ""))


@dataclass
class Server:
    """One server process: its identity key and its curve key."""

    key: SigningKey = field(default_factory=lambda: SigningKey(Kind.SERVER, bytes([3] * 32)))
    curve: CurveKey = field(default_factory=lambda: CurveKey(bytes([4] * 32)))
    sub: str = ISSUER.public

    def claims(self, token: str = "", sealed: bool = False, options: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Return the claims of a question about a client that presents this token."""
        server_id = {"name": "S1", "host": "127.0.0.1", "id": self.key.public, "version": "2.15.1"}
        if sealed:
            server_id["xkey"] = self.curve.public
        chosen = {**({"auth_token": token} if token else {}), **(options or {})}
        return {
            "aud": "nats-authorization-request",
            "exp": NOW + 1,
            "iat": NOW,
            "jti": "ANY",
            "iss": self.key.public,
            "sub": self.sub,
            "nats": {
                "server_id": server_id,
                "user_nkey": USER_NKEY,
                "client_info": {"host": "10.0.0.9", "id": 10, "user": "[REDACTED]", "kind": "Client", "type": "nats"},
                "connect_opts": {"name": "conn", "lang": "raw", "version": "0", "protocol": 1, **chosen},
                "type": "authorization_request",
                "version": 2,
            },
        }

    def sign(self, claims: dict[str, Any], key: SigningKey | None = None) -> bytes:
        """Return these claims as the server's JWT."""
        return natsjwt.sign(json.dumps(claims).encode(), key or self.key)

    def ask(self, token: str = "", **options: str) -> bytes:
        """Return the question as it comes over the wire, in clear."""
        return self.sign(self.claims(token, options=options))

    def ask_sealed(self, ours: CurveKey, token: str = "", **options: str) -> bytes:
        """Return the question sealed for us."""
        return self.curve.seal(ours.public, NONCE, self.sign(self.claims(token, sealed=True, options=options)))

    def read(self, answer: bytes, ours: CurveKey | None = None) -> Answer:
        """Return what our answer says, after the checks that every server makes (NATS_FACTS 2.1)."""
        if ours is not None:
            answer = self.curve.open(ours.public, answer)
        response = _verified(answer)
        assert USER_NKEY == response["sub"]
        assert self.key.public == response["aud"]
        body = response["nats"]
        assert ("authorization_response", 2) == (body["type"], body["version"])
        assert ("jwt" in body) != ("error" in body)
        return Answer(response, _verified(body["jwt"].encode()) if "jwt" in body else None)


def _verified(token: bytes) -> dict[str, Any]:
    head, body, signature = token.split(b".")
    claims = claims_of(token)
    assert nkeys.verify(claims["iss"], Kind.ACCOUNT, head + b"." + body, base64url.decode(signature))
    return claims
