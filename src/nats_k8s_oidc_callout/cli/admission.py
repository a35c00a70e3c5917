"""`policy check --admission`: the ValidatingAdmissionPolicy, as YAML that people can read before they apply it."""

import os
from collections.abc import Callable
from typing import Any, TypeVar

import click
import yaml

from nats_k8s_oidc_callout.cli.configuration import give_up
from nats_k8s_oidc_callout.cli.output import say
from nats_k8s_oidc_callout.core.grants import admission
from nats_k8s_oidc_callout.core.grants.filter import JetStreamGrants
from nats_k8s_oidc_callout.errors import ConfigurationError
from nats_k8s_oidc_callout.settings import values
from nats_k8s_oidc_callout.settings.permissions import PermissionVariables

T = TypeVar("T")


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


def _print(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    """Print the policy and its binding by the three variables that they hang on, and end."""
    if not wanted:
        return
    problems: list[str] = []

    def variable(name: str, read: Callable[[str], T], default: T) -> T:
        try:
            return read(os.environ[name]) if os.environ.get(name) else default
        except ValueError as error:
            problems.append(f"{name}: {error}")
            return default

    plain = PermissionVariables()
    prefix = variable("SA_ANNOTATION_PREFIX", values.annotation_prefix, plain.sa_annotation_prefix)
    grants = variable("JETSTREAM_GRANTS", values.choice(JetStreamGrants), plain.jetstream_grants)
    everywhere: tuple[str, ...] = ()
    namespaces = variable("K8S_NAMESPACES", values.namespaces, everywhere)
    if problems:
        give_up(ConfigurationError(problems))
    say(*as_yaml(admission.policy(prefix, grants), admission.binding(namespaces)).splitlines())
    context.exit()


option = click.option(
    "--admission",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print,
    help="Print, and do nothing else, a ValidatingAdmissionPolicy for Kubernetes 1.30 and later: it refuses in an annotation "
    "what would be left out at every login. Reads SA_ANNOTATION_PREFIX, JETSTREAM_GRANTS and K8S_NAMESPACES.",
)
