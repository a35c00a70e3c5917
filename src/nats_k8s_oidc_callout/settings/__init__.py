"""The configuration: environment in, Settings out, or every problem at once. Nothing else reads the environment.

`Settings` has every variable; `load` parses, checks and builds. In order of use:

    nats, kubernetes, permissions, sessions, process   the variables
    declaring     how a variable is declared
    choices       the words that some choose from
    values        the grammar of one value
    keyfiles      the grammar of one file of keys
    consistency   what the variables must be to each other, and defaults that follow from others
    findings      problems and warnings, collected
"""

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from nats_k8s_oidc_callout.bounded.files import read_file
from nats_k8s_oidc_callout.core.grants.policy import Policy
from nats_k8s_oidc_callout.core.identity.own_token import claims_of
from nats_k8s_oidc_callout.errors import BadPolicy, ConfigurationError
from nats_k8s_oidc_callout.settings import consistency, sessions, values
from nats_k8s_oidc_callout.settings.choices import (
    Cluster,
    LogFormat,
    LogLevel,
    Mode,
    SessionControl,
    SessionRenewal,
    XkeyMode,
)
from nats_k8s_oidc_callout.settings.consistency import queue_group
from nats_k8s_oidc_callout.settings.declaring import declared_in, readers_of
from nats_k8s_oidc_callout.settings.findings import Findings, Read
from nats_k8s_oidc_callout.settings.keyfiles import (
    Sentinel,
    read_account_signer,
    read_creds,
    read_sentinel,
    read_signing_keys,
    read_xkeys,
)
from nats_k8s_oidc_callout.settings.kubernetes import KubernetesVariables
from nats_k8s_oidc_callout.settings.nats import NatsVariables
from nats_k8s_oidc_callout.settings.permissions import PermissionVariables
from nats_k8s_oidc_callout.settings.process import ProcessVariables
from nats_k8s_oidc_callout.settings.sessions import SessionVariables
from nats_k8s_oidc_callout.settings.values import NatsServers, Secret

__all__ = [
    "VARIABLES",
    "Cluster",
    "LogFormat",
    "LogLevel",
    "Mode",
    "NatsServers",
    "Secret",
    "Sentinel",
    "SessionControl",
    "SessionRenewal",
    "Settings",
    "XkeyMode",
    "load",
    "part",
    "queue_group",
    "read_account_signer",
    "read_creds",
    "read_policy",
    "read_sentinel",
    "read_signing_keys",
    "read_xkeys",
]

_OURS = ("NATS_", "JWT_", "JWKS_", "K8S_", "SESSION_")
# For a Service `nats` the kubelet sets NATS_SERVICE_HOST, NATS_PORT_4222_TCP_ADDR and the like in every pod.
_FROM_KUBELET = re.compile(r".*_SERVICE_(HOST|PORT(_\w+)?)|.*_PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?")
# The Go service read these and used neither.
_WITHOUT_EFFECT = {"K8S_NAMESPACE": "K8S_NAMESPACES", "CACHE_CLEANUP_INTERVAL": ""}


@dataclass(frozen=True)
class Settings(ProcessVariables, SessionVariables, PermissionVariables, KubernetesVariables, NatsVariables):
    """The configuration, checked whole; docs/CONFIGURATION.md is made from it. Only `load` makes one; secrets have no repr."""

    warnings: tuple[str, ...] = ()
    """What works but should be said at the start; no variable, `load` fills it."""
    policy: Policy | None = None
    """What POLICY_FILE held at the start; None without one."""


VARIABLES = declared_in(Settings)
"""What is a variable, by its field of Settings."""
_READERS = readers_of(Settings)
_NAMES = {one.names[0]: one.names for one in VARIABLES.values()}


def load(env: Mapping[str, str], read: Read = read_file) -> Settings:
    """Return the settings in `env`, files checked through `read`; else raise ConfigurationError with every problem.

    An empty variable counts as not set.
    """
    given = {first: [name for name in names if env.get(name)] for first, names in _NAMES.items()}
    found = Findings(read, {first: names[0] for first, names in given.items() if names})
    for first, names in given.items():
        if len({env[name] for name in names}) > 1:
            found.problem(first, f"has another value in {', '.join(names[1:])}, and both are names of one setting")
    draft = _parse({first: env[name] for first, name in found.names.items()}, found)
    settled = consistency.nats(draft, draft.k8s_namespaces, draft.shadow, found) | consistency.kubernetes(draft, found)
    settled |= _sessions(draft, found)
    consistency.permissions(draft, found)
    policy = _policy(draft, found)
    if found.problems:
        raise ConfigurationError(found.problems)
    _warn_of_strangers(env, found)
    return replace(draft, **settled, warnings=tuple(found.warnings), policy=policy)


def _sessions(draft: Settings, found: Findings) -> consistency.Settled:
    if draft.shadow and draft.session_control is not SessionControl.OFF:
        found.problem("SESSION_CONTROL", "excludes SHADOW: who answers nobody has no sessions")
    own = claims_of(found.peek(draft.k8s_credentials_dir / "token") or b"")
    return sessions.settle(draft, draft.mode, draft.session_max_seconds, own, found)


def read_policy(content: bytes, settings: Settings) -> Policy:
    """Return what a policy file decides, where its rules are silent by the settings; raise BadPolicy with every problem."""
    # Without a file nothing reads YAML.
    from nats_k8s_oidc_callout.settings.policy import Base, PolicyFile  # noqa: PLC0415
    from nats_k8s_oidc_callout.settings.policy import load as load_policy  # noqa: PLC0415

    found = load_policy(content, Base.of(settings))
    if isinstance(found, PolicyFile):
        return found.policy
    raise BadPolicy([str(finding) for finding in found if finding.is_error])


def _policy(draft: Settings, found: Findings) -> Policy | None:
    content = found.contents("POLICY_FILE", draft.policy_file, bytes)
    if content is None:
        return None
    try:
        return read_policy(content, draft)
    except BadPolicy as error:
        for problem in error.problems:
            found.problem("POLICY_FILE", f"{draft.policy_file} line {problem}")
    return None


def part(env: Mapping[str, str]) -> Settings:
    """Return settings of which `env` has some, for what asks no server; raise ConfigurationError with every problem.

    What else `load` requires stands at its default.
    """
    found = Findings(read_file, {name: name for name in env})
    draft = _parse(env, found)
    consistency.permissions(draft, found)
    if found.problems:
        raise ConfigurationError(found.problems)
    return draft


def _parse(texts: Mapping[str, str], found: Findings) -> Settings:
    """Return what parses, with the rest at its defaults and noted as problems."""
    parsed: dict[str, Any] = {}
    for field, variable in VARIABLES.items():
        name = variable.names[0]
        if name in texts and name not in found.bad:
            try:
                parsed[field] = value = _READERS[field](values.text(texts[name]))
                variable.check(value)
            except ValueError as error:
                parsed.pop(field, None)
                found.problem(name, str(error))
    return Settings(**parsed)


def _warn_of_strangers(env: Mapping[str, str], found: Findings) -> None:
    """Tell of variables that nobody reads. They may be another program's, so they cannot be errors."""
    known = [name for names in _NAMES.values() for name in names]
    for name in sorted(env):
        # The last one is the desktop's.
        if name in known or not env[name] or name == "SESSION_MANAGER":
            continue
        if name in _WITHOUT_EFFECT:
            instead = _WITHOUT_EFFECT[name]
            found.warn(name, "has no effect, and had none in the Go service" + (f"; see {instead}" if instead else ""))
        elif name.startswith(_OURS) and not _FROM_KUBELET.fullmatch(name):
            close = difflib.get_close_matches(name, known, n=1)
            found.warn(name, "is no setting of this program" + (f"; is {close[0]} meant?" if close else ""))
