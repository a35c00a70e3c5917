"""The port of health and metrics. Any pod may connect to it, and logins share the loop with it."""

from nats_k8s_oidc_callout.adapters.http.server import Check, HttpServer

__all__ = ["Check", "HttpServer"]
