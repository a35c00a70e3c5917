"""A policy file: bytes in, what the platform decides out, or every problem at once with its line.

review     warnings about a file that is right
neighbours who is together in an account
loading    a whole file
rules      rules, with nothing left open
base       what the settings say where a file is silent
grants     the lists of a rule or a role
values     one value: a node in, its type out
fields     every field, once, for the loader, the JSON schema and the reference
shapes     what a value may look like
strict     YAML without its surprises
findings   problems and warnings, collected
codes      what each of their codes stands for
"""

from nats_k8s_oidc_callout.settings.policy.base import Base
from nats_k8s_oidc_callout.settings.policy.findings import Finding
from nats_k8s_oidc_callout.settings.policy.loading import PolicyFile, load

__all__ = ["Base", "Finding", "PolicyFile", "load"]
