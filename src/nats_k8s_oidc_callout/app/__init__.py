"""The composition root: where parts meet. Start reading at `composition`; `questions` answers single questions."""

from nats_k8s_oidc_callout.app.composition import App

__all__ = ["App"]
