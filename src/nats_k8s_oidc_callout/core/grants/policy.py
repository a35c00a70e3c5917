"""Which terms the platform gives to which workload."""

from dataclasses import dataclass

from nats_k8s_oidc_callout.core.grants.terms import Terms


@dataclass(frozen=True, slots=True)
class Policy:
    """One rule, which everybody matches."""

    terms: Terms

    def terms_of(self, namespace: str, name: str) -> Terms:  # noqa: ARG002  # a policy of one rule
        """Return the terms of a ServiceAccount. Not asked at each login: they are kept with the grant."""
        return self.terms
