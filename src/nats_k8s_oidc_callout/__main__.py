"""`python -m nats_k8s_oidc_callout` is the command `nats-k8s-oidc-callout`."""

from nats_k8s_oidc_callout.cli import main

main()
