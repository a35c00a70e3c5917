"""The link to NATS: nats-py, and nothing that decides. Beside it a bare socket, for logins that are only tried."""

from nats_k8s_oidc_callout.adapters.nats.link import Link
from nats_k8s_oidc_callout.adapters.nats.logins import (
    CredsLogin,
    Login,
    NkeyLogin,
    NoLogin,
    PasswordLogin,
    TokenLogin,
    WorkloadLogin,
)
from nats_k8s_oidc_callout.adapters.nats.probe import Probe, open_probe
from nats_k8s_oidc_callout.adapters.nats.requests import answer_requests
from nats_k8s_oidc_callout.adapters.nats.service import Duty, Ear, Timing
from nats_k8s_oidc_callout.adapters.nats.whoami import Landing, log_in_as_client
from nats_k8s_oidc_callout.adapters.nats.wire import Message, Refused, ServerInfo, Untrusted, read_complaint

__all__ = [
    "CredsLogin",
    "Duty",
    "Ear",
    "Landing",
    "Link",
    "Login",
    "Message",
    "NkeyLogin",
    "NoLogin",
    "PasswordLogin",
    "Probe",
    "Refused",
    "ServerInfo",
    "Timing",
    "TokenLogin",
    "Untrusted",
    "WorkloadLogin",
    "answer_requests",
    "log_in_as_client",
    "open_probe",
    "read_complaint",
]
