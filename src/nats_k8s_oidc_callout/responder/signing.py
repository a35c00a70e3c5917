"""The signed answer to a login, and what it tells when the verdict itself cannot be sent."""

import structlog

from nats_k8s_oidc_callout.core.model import Allow, Deny, Reason
from nats_k8s_oidc_callout.core.nats import callout
from nats_k8s_oidc_callout.core.nats.callout import NoSigner
from nats_k8s_oidc_callout.core.nats.signers import Signers
from nats_k8s_oidc_callout.responder.login import Login
from nats_k8s_oidc_callout.responder.ports import World

log = structlog.get_logger("responder")


def sign(
    login: Login, signers: Signers, verdict: Allow | Deny, max_payload: int, world: World
) -> tuple[bytes, Allow | Deny]:
    """Return the answer to a login, of at most `max_payload` bytes, and the verdict that it really tells."""
    refused: tuple[Reason, str]
    try:
        payload = _encode(login, signers, verdict, world)
        if len(payload) <= max_payload:
            return payload, verdict
        refused = Reason.ANSWER_TOO_LARGE, f"{len(payload)} bytes"
    except NoSigner as error:
        refused = Reason.NO_ACCOUNT, str(error)
    except Exception:
        log.exception("answer could not be written")
        refused = Reason.INTERNAL, ""
    verdict = Deny(*refused, verdict.workload, verdict.rule)
    return _encode(login, signers, verdict, world), verdict


def _encode(login: Login, signers: Signers, verdict: Allow | Deny, world: World) -> bytes:
    return callout.encode(login.request, verdict, signers, login.opened_by, int(world.clock()), world.nonce)
