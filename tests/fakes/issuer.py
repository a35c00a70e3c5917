"""A Kubernetes issuer for tests: keys of every kind, tokens as an API server writes them, and their key set.

`Issuer().token()` is a whole valid token of `team-a/orders` at NOW; a test overrides only what it is about.
"""

import base64
import functools
import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from joserfc import jws
from joserfc.jwk import ECKey, OctKey, RSAKey

NOW = 1_800_000_000
ISSUER = "https://kubernetes.default.svc.cluster.local"
AUDIENCE = "nats"
UID = "1f0e6c1e-8b0d-4a52-9d6b-2f1f5f0c7a11"
POD = "orders-7d9c5b5c8d-abcde"
POD_UID = "8d1f7a60-53a4-4c0e-8a53-0d9b6f4f2c22"
JTI = "5b8f4c1a-2f7e-4b43-9a52-6d1c0e9a3f33"

CURVES = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}
_PRIVATE = ("d", "p", "q", "dp", "dq", "qi", "oth", "k")
_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "ES512", "HS256")


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def compact(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


@dataclass(frozen=True)
class IssuerKey:
    """A private key and the one algorithm that its issuer uses it with."""

    alg: str
    private: RSAKey | ECKey | OctKey = field(repr=False)

    @property
    def kid(self) -> str:
        """Kubernetes' own name for a key: a hash of the public half in DER."""
        if isinstance(self.private, OctKey):
            return "symmetric"
        return b64(hashlib.sha256(self.private.as_der(private=False)).digest())

    def jwk(self, **members: object) -> dict[str, Any]:
        """Return the public half as a key set lists it, with these members put over it (None: left out)."""
        key = self.private.as_dict(private=isinstance(self.private, OctKey))
        whole = {**key, "use": "sig", "alg": self.alg, "kid": self.kid, **members}
        return {name: value for name, value in whole.items() if value is not None}

    def private_jwk(self) -> dict[str, Any]:
        return {**self.jwk(), **self.private.as_dict(private=True)}

    def sign(self, header: Mapping[str, object] | bytes, payload: Mapping[str, object] | bytes, alg: str = "") -> str:
        """Return the token over exactly these bytes (a mapping becomes JSON), however wrong they are."""
        parts = (part if isinstance(part, bytes) else compact(part) for part in (header, payload))
        signed = ".".join(b64(part) for part in parts)
        return f"{signed}.{b64(self.raw_signature(signed.encode(), alg))}"

    def raw_signature(self, message: bytes, alg: str = "") -> bytes:
        model = jws.JWSRegistry(algorithms=_ALGORITHMS).get_alg(alg or self.alg)
        return model.sign(message, self.private)


@functools.cache
def issuer_key(alg: str = "RS256", number: int = 0, bits: int = 2048) -> IssuerKey:
    """Return the `number`th key for this algorithm; the same one for the whole run, since RSA keys are slow to make."""
    del number  # it only tells the cache which one is meant
    if alg.startswith("RS"):
        return IssuerKey(alg, RSAKey.generate_key(bits))
    if alg in CURVES:
        return IssuerKey(alg, ECKey.generate_key(CURVES[alg]))
    return IssuerKey(alg, OctKey.generate_key(256))


def jwks(*keys: IssuerKey | Mapping[str, object]) -> bytes:
    """Return a key set of these keys, or of JWKs as they are."""
    return compact({"keys": [key.jwk() if isinstance(key, IssuerKey) else key for key in keys]})


@dataclass
class Issuer:
    """One cluster's API server, as far as tokens go. The first key signs, all are published."""

    url: str = ISSUER
    keys: list[IssuerKey] = field(default_factory=lambda: [issuer_key()])

    def jwks(self) -> bytes:
        return jwks(*self.keys)

    def claims(
        self,
        namespace: str = "team-a",
        name: str = "orders",
        uid: str = UID,
        pod: str = POD,
        audience: str = AUDIENCE,
        now: float = NOW,
        lifetime: int = 3600,
    ) -> dict[str, Any]:
        """Return the claims of a token that was issued 10 seconds before `now`; no pod: `kubectl create token`."""
        issued = int(now) - 10
        kubernetes: dict[str, Any] = {"namespace": namespace}
        if pod:
            kubernetes["node"] = {"name": "node-1", "uid": "c0ffee00-0000-4000-8000-000000000001"}
            kubernetes["pod"] = {"name": pod, "uid": POD_UID}
        kubernetes["serviceaccount"] = {"name": name, "uid": uid}
        return {
            "aud": [audience],
            "exp": issued + lifetime,
            "iat": issued,
            "iss": self.url,
            "jti": JTI,
            "kubernetes.io": kubernetes,
            "nbf": issued,
            "sub": f"system:serviceaccount:{namespace}:{name}",
        }

    def token(
        self,
        *,
        namespace: str = "team-a",
        name: str = "orders",
        uid: str = UID,
        pod: str = POD,
        audience: str = AUDIENCE,
        now: float = NOW,
        lifetime: int = 3600,
        claims: Mapping[str, object] | None = None,
        without: Collection[str] = (),
        header: Mapping[str, object] | None = None,
        key: IssuerKey | None = None,
    ) -> str:
        """Return a signed token; `claims` and `header` go over the valid ones, `without` names claims left out."""
        key = key or self.keys[0]
        whole = {**self.claims(namespace, name, uid, pod, audience, now, lifetime), **(claims or {})}
        payload = {claim: value for claim, value in whole.items() if claim not in without}
        return key.sign({"alg": key.alg, "kid": key.kid, **(header or {})}, payload)
