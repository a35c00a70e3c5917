"""The Kubernetes API server over aiohttp: who we are to it, list and watch, and the one live look.

No Python client can be used for the watch: each one loops hot, loses deletes or waits for ever somewhere.
"""

from nats_k8s_oidc_callout.adapters.kubernetes.api import ApiServer
from nats_k8s_oidc_callout.adapters.kubernetes.credentials import (
    Credentials,
    CredentialSource,
    MountedCredentials,
)
from nats_k8s_oidc_callout.adapters.kubernetes.informer import Informer
from nats_k8s_oidc_callout.adapters.kubernetes.kubeconfig import KubeconfigCredentials
from nats_k8s_oidc_callout.adapters.kubernetes.lookup import LiveLookup
from nats_k8s_oidc_callout.adapters.kubernetes.pace import Pace
from nats_k8s_oidc_callout.adapters.kubernetes.preflight import ask
from nats_k8s_oidc_callout.adapters.kubernetes.reflector import Reflector

__all__ = [
    "ApiServer",
    "CredentialSource",
    "Credentials",
    "Informer",
    "KubeconfigCredentials",
    "LiveLookup",
    "MountedCredentials",
    "Pace",
    "Reflector",
    "ask",
]
