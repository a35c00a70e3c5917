"""The cryptography in a decision with nothing else around it: PyNaCl and `cryptography` alone, on the very bytes."""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import nacl.public
import nacl.signing
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, utils

from nats_k8s_oidc_callout.core import base64url
from nats_k8s_oidc_callout.core.model import Reason
from nats_k8s_oidc_callout.core.nats import nkeys
from nats_k8s_oidc_callout.core.nats.nkeys import Kind

if TYPE_CHECKING:
    from bench.decide import Case


def bare(case: "Case") -> Callable[[], None]:
    """Return the cryptography in answering all of a case's questions, with nothing else around it."""
    server_key = nacl.signing.VerifyKey(nkeys.decode_public(case.server.key.public, Kind.SERVER))
    box = nacl.public.Box(
        nacl.public.PrivateKey(bytes([5] * 32)),
        nacl.public.PublicKey(nkeys.decode_public(case.server.curve.public, Kind.CURVE)),
    )
    # Which seed signs makes no difference in time.
    signer = nacl.signing.SigningKey(bytes([1] * 32))
    work = []
    for data in case.questions:
        answer = case.answer(data)
        clear, reply = (
            (box.decrypt(data[28:], data[4:28]), box.decrypt(answer[28:], answer[4:28]))
            if case.sealed
            else (data, answer)
        )
        asked, _, by = clear.rpartition(b".")
        signed = [reply.rpartition(b".")[0]]
        nats = json.loads(base64url.decode(clear.split(b".")[1]))["nats"]
        user = json.loads(base64url.decode(reply.split(b".")[1]))["nats"].get("jwt", "")
        if user:
            signed.append(user.rpartition(".")[0].encode())
        token = nats["connect_opts"].get("auth_token", "").encode() if case.token_alg else b""
        work.append((data, asked, base64url.decode(by), signed, token_check(case, token), reply))

    def run() -> None:
        for data, asked, by, signed, check, reply in work:
            if case.sealed:
                box.decrypt(data[28:], data[4:28])
            server_key.verify(asked, by)
            if check is not None:
                try:
                    check()
                except InvalidSignature:
                    assert case.expected is Reason.BAD_SIGNATURE
            for message in signed:
                signer.sign(message)
            if case.sealed:
                box.encrypt(reply, bytes(24))

    return run


def token_check(case: "Case", token: bytes) -> Callable[[], None] | None:
    """Return the verification of a token's signature, everything decoded beforehand."""
    if not token:
        return None
    kid = json.loads(base64url.decode(token.split(b".")[0]))["kid"]
    found = case.facts.keys.find(kid, 0.0)
    assert found is not None
    public: Any = found.key.public_key
    message, _, text = token.rpartition(b".")
    signature = base64url.decode(text)
    if case.token_alg == "RS256":
        return lambda: public.verify(signature, message, padding.PKCS1v15(), hashes.SHA256())
    half = len(signature) // 2
    r, s = (int.from_bytes(part, "big") for part in (signature[:half], signature[half:]))
    encoded = utils.encode_dss_signature(r, s)
    return lambda: public.verify(encoded, message, ec.ECDSA(hashes.SHA256()))
