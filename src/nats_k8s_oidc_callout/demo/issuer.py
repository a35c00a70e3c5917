"""A token issuer as a Kubernetes API server is one, for a machine that has none."""

import hashlib
import json
import time
from dataclasses import dataclass, field

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from nats_k8s_oidc_callout.core import base64url

ISSUER = "https://kubernetes.default.svc"
_EXPONENT = 65537


def _key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=_EXPONENT, key_size=2048)


@dataclass(slots=True)
class Issuer:
    """Signs ServiceAccount tokens and publishes the key that proves them."""

    _private: rsa.RSAPrivateKey = field(default_factory=_key, repr=False)

    @property
    def kid(self) -> str:
        """Kubernetes' own name for a key: the hash of its public half."""
        public = self._private.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return base64url.encode(hashlib.sha256(public).digest()).decode()

    def jwks(self) -> bytes:
        """Return the key set as the API server's /openid/v1/jwks gives it."""
        n = self._private.public_key().public_numbers().n
        key = {
            "use": "sig",
            "kty": "RSA",
            "kid": self.kid,
            "alg": "RS256",
            "n": base64url.encode(n.to_bytes(256, "big")).decode(),
            "e": base64url.encode(_EXPONENT.to_bytes(3, "big")).decode(),
        }
        return json.dumps({"keys": [key]}).encode()

    def token(
        self, namespace: str, name: str, uid: str, *, seconds: int = 600, audience: str = "nats", kid: str = ""
    ) -> str:
        """Return what `kubectl create token NAME --audience …` returns; negative seconds make an expired one.

        `kid` is another key's name, for a forged one.
        """
        now = int(time.time())
        issued = min(now, now + seconds - 1)
        claims = {
            "iss": ISSUER,
            "aud": [audience],
            "sub": f"system:serviceaccount:{namespace}:{name}",
            "exp": now + seconds,
            "iat": issued,
            "nbf": issued,
            "kubernetes.io": {"namespace": namespace, "serviceaccount": {"name": name, "uid": uid}},
        }
        head = base64url.encode(json.dumps({"alg": "RS256", "kid": kid or self.kid}).encode())
        signed = head + b"." + base64url.encode(json.dumps(claims).encode())
        signature = self._private.sign(signed, padding.PKCS1v15(), hashes.SHA256())
        return (signed + b"." + base64url.encode(signature)).decode()
