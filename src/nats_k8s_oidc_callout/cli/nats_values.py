"""The values of the official NATS chart for config mode, filled in with public keys: what `keys --format nats-values` prints.

examples/nats/config-mode-values.yaml is the same with names in angle brackets; a test compares the two.
"""

import json
import re

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
        users:
          - nkey: {user}
            permissions:
              subscribe: ["$SYS.REQ.USER.AUTH", "$SYS.ACCOUNT.CLIENT.AUTH.ERR"]
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
_SYSTEM_USER = """\
      SYS:
        users:
          # Who can list sessions and end them (docs/INCIDENTS.md).
          - nkey: {key}
            permissions:
              publish: ["$SYS.REQ.SERVER.PING", "$SYS.REQ.SERVER.PING.CONNZ", "$SYS.REQ.SERVER.*.KICK"]
              subscribe: _INBOX.>
"""
_NO_SYSTEM_USER = """\
      # Nobody can list sessions or end them yet: `keys --system-user U…` adds who can (docs/INCIDENTS.md).
      SYS: {}
"""
# What YAML reads as the text that it is; what it may read as anything else (NO, 1e3, a colon) goes into quotation marks.
_PLAIN = re.compile(r"<[A-Z-]+>|(?!(?:y|n|yes|no|on|off|true|false|null)$)[a-z_][a-z0-9_-]*", re.IGNORECASE)


def nats_values(callout: str, target: str, user: str, issuer: str, system: str | None, curve: str) -> str:
    """Return the values as YAML: names of the callout and the target account, then public keys.

    Without `system` (`U…`) nobody may list sessions and end them; without `curve` (`X…`) requests are not sealed.
    """
    return _VALUES.format(
        callout=_scalar(callout),
        target=_scalar(target),
        user=user,
        issuer=issuer,
        system=_SYSTEM_USER.format(key=system) if system else _NO_SYSTEM_USER,
        xkey=f"        # Seals requests, which carry tokens.\n        xkey: {curve}\n" if curve else "",
        bypass=", ".join(key for key in (user, system) if key),
    )


def _scalar(text: str) -> str:
    return text if _PLAIN.fullmatch(text) else json.dumps(text)
