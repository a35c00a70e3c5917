"""The link to NATS: nats-py, and nothing that decides."""

from nats_k8s_oidc_callout.adapters.nats.link import Link
from nats_k8s_oidc_callout.adapters.nats.logins import CredsLogin, Login, NkeyLogin, NoLogin, PasswordLogin, TokenLogin
from nats_k8s_oidc_callout.adapters.nats.session import Timing

__all__ = ["CredsLogin", "Link", "Login", "NkeyLogin", "NoLogin", "PasswordLogin", "Timing", "TokenLogin"]
