"""The values of the official NATS chart for config mode, filled in with public keys: what `keys --format nats-values` prints.

examples/nats/config-mode-values.yaml is the same with names in angle brackets; a test compares the two.
"""

import json
import re
from collections.abc import Sequence

from nats_k8s_oidc_callout.cli.session_rights import RESPONDER, Plan, listed

_VALUES = """\
config:
  cluster:
    enabled: true
    replicas: 3
  jetstream:
    enabled: true
  merge:
    accounts:
      # The callout account. Nobody but the responder lives here.
      {callout}:
{imports}        users:
          - nkey: {user}
            permissions:
{publish}              subscribe: {subscribe}
              allow_responses: {{max: 1, expires: 5s}}
      # Where workloads land: nats.account of our chart. JetStream is per account, and off where nobody says so.
      {target}:
        jetstream: enabled
{system}    system_account: SYS
    authorization:
      # Seconds. Over 2 s clients take the server's first PING for the answer to their login.
      timeout: 1.5
      auth_callout:
        account: {callout}
        # An account key (A…), never a user's.
        issuer: {issuer}
{xkey}        # Add every other user of this file: who is not listed is delegated to the responder.
        auth_users: [{bypass}]
podTemplate:
  # A reload cannot turn the callout on: the pods have to restart, and this makes them.
  configChecksumAnnotation: true
natsBox:
  # Its context has no credentials, so it could not get in any more.
  enabled: false
"""
_USER = """\
          # {what}
          - nkey: {key}
            permissions:
              publish: {publish}
              subscribe: {subscribe}
"""
# What YAML reads as the text that it is; what it may read as anything else (NO, 1e3, a colon) goes into quotation marks.
_PLAIN = re.compile(r"<[A-Z-]+>|(?!(?:y|n|yes|no|on|off|true|false|null)$)[a-z_][a-z0-9_-]*", re.IGNORECASE)


def nats_values(callout: str, target: str, user: str, issuer: str, plan: Plan, curve: str) -> str:
    """Return the values as YAML: names of the callout and the target account, then public keys.

    Without `curve` (`X…`) requests are not sealed.
    """
    rights = RESPONDER[plan.way]
    return _VALUES.format(
        callout=_scalar(callout),
        target=_scalar(target),
        user=user,
        issuer=issuer,
        imports=_list("imports", plan.imports("- ")),
        publish=f"              publish: {listed(rights.publish)}\n" if rights.publish else "",
        subscribe=listed(rights.subscribe),
        system=_system(_scalar(callout), plan),
        xkey=f"        # Seals requests, which carry tokens.\n        xkey: {curve}\n" if curve else "",
        bypass=", ".join(key for key in (user, plan.people, plan.session) if key),
    )


def _system(callout: str, plan: Plan) -> str:
    above = "".join(f"      # {comment}\n" for comment in plan.comments)
    users = "".join(
        _USER.format(what=what, key=key, publish=listed(rights.publish), subscribe=_one(rights.subscribe))
        for _, key, what, rights in plan.users
    )
    inside = _list("exports", plan.exports(callout, "- ")) + (f"        users:\n{users}" if users else "")
    return f"{above}      SYS:\n{inside}" if inside else f"{above}      SYS: {{}}\n"


def _list(name: str, lines: Sequence[str]) -> str:
    return "\n".join((f"        {name}:", *(f"          {line}" for line in lines), "")) if lines else ""


def _one(subjects: list[str]) -> str:
    """Return a list, or its only member as it is."""
    return subjects[0] if len(subjects) == 1 else listed(subjects)


def _scalar(text: str) -> str:
    return text if _PLAIN.fullmatch(text) else json.dumps(text)
