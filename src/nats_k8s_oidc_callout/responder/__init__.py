"""A request's bytes in, its answer's bytes out. The only place where deciding meets waiting.

`turns` has the queue and sends the answers, `settle` decides and fetches what that needs, `signing` writes the answer, `ports`
is the world.
"""

from nats_k8s_oidc_callout.responder.ports import Keys, Observers, Ports, Voice, World
from nats_k8s_oidc_callout.responder.settle import settle
from nats_k8s_oidc_callout.responder.turns import QUEUE_BYTES, Responder

__all__ = ["QUEUE_BYTES", "Keys", "Observers", "Ports", "Responder", "Voice", "World", "settle"]
