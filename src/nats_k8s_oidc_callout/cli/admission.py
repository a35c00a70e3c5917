"""The ValidatingAdmissionPolicy as YAML that people can read before they apply it."""

from collections.abc import Sequence
from typing import Any

import yaml

from nats_k8s_oidc_callout.core.grants import admission
from nats_k8s_oidc_callout.core.grants.filter import JetStreamGrants


class _Blocks(yaml.SafeDumper):
    """Writes a text of several lines as one, and lists as people do."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002  # the library's
        super().increase_indent(flow, indentless=False)


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Blocks.add_representer(str, _text)


def as_yaml(*documents: Any) -> str:  # noqa: ANN401  # what YAML takes
    """Return them in the order of their keys; only texts are broken into lines."""
    written: str = yaml.dump_all(documents, Dumper=_Blocks, sort_keys=False, width=2**20, allow_unicode=True)
    return written


def printed(prefix: str, grants: JetStreamGrants, namespaces: Sequence[str]) -> str:
    """Return the policy and its binding for annotations under this prefix, in these namespaces or in all."""
    return as_yaml(admission.policy(prefix, grants), admission.binding(namespaces))
