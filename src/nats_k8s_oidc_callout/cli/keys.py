"""The public keys of a creds file, and the NATS configuration that they go into."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click

from nats_k8s_oidc_callout.cli import EXIT_BAD_USE, FILE
from nats_k8s_oidc_callout.cli.nats_values import nats_values
from nats_k8s_oidc_callout.cli.output import say
from nats_k8s_oidc_callout.core.nats.nkeys import Kind, decode_public
from nats_k8s_oidc_callout.errors import BadKey
from nats_k8s_oidc_callout.settings import read_creds, read_signing_keys, read_xkeys

T = TypeVar("T")

# In both: under 2 s, or clients take the server's first PING for the answer to their login.
_CONFIG_MODE = """\
# Config mode: into nats-server's configuration, then restart it (a reload cannot turn the callout on).
accounts {{
  # Nobody but the responder lives here.
  {callout} {{
    users: [ {{ nkey: {user},
               permissions: {{ subscribe: ["$SYS.REQ.USER.AUTH", "$SYS.ACCOUNT.CLIENT.AUTH.ERR"],
                              allow_responses: {{ max: 1, expires: "5s" }} }} }} ]
  }}
  # Clients land here: NATS_ACCOUNT={target}
  {target} {{}}
{system}}}
system_account: SYS
authorization {{
  timeout: 1.5
  auth_callout {{
    issuer: {issuer}
    account: {callout}
    # Add every other user of this file: who is not listed is delegated to the responder.
    auth_users: [ {bypass} ]
{xkey}  }}
}}
"""

_SYSTEM_USER = """\
  # Who can list sessions and end them (docs/INCIDENTS.md).
  SYS {{
    users: [ {{ nkey: {key},
               permissions: {{ publish: ["$SYS.REQ.SERVER.PING", "$SYS.REQ.SERVER.PING.CONNZ", "$SYS.REQ.SERVER.*.KICK"],
                              subscribe: "_INBOX.>" }} }} ]
  }}
"""
_NO_SYSTEM_USER = """\
  # Nobody can list sessions or end them yet: `keys --system-user U…` adds who can (docs/INCIDENTS.md).
  SYS {}
"""

_OPERATOR_MODE = """\
# Operator mode: nsc commands, in an operator whose accounts {callout} and {target} exist. A shell can run all of this.
# auth-service is the user of the creds file: say its name if it is another.
nsc edit user --account {callout} --name auth-service --allow-sub '$SYS.REQ.USER.AUTH,$SYS.ACCOUNT.CLIENT.AUTH.ERR' --allow-pub-response
nsc edit account --name {callout} --sk {issuer}
nsc edit account --name {target} --sk {issuer}
nsc add user --account {callout} --name sentinel --deny-pubsub '>' --bearer
nsc edit authcallout --account {callout} --auth-user {user} --allowed-account "$(nsc describe account --name {target} --field sub | tr -d '"')"{curve}
# Then write the creds file again (nsc generate creds), since nsc edit user changed the rights in its JWT.
# Servers that hold the accounts already are told by:  nsc push -A -u nats://<a server>:4222
# Into their configuration, the second so that clients need nothing but their token (nats-server 2.11.2 or later):
#   authorization {{ timeout: 1.5 }}
#   default_sentinel: <what this prints: nsc describe user --account {callout} --name sentinel --raw>
# Who can list sessions and end them (docs/INCIDENTS.md):
#   nsc add user --account SYS --name incidents --allow-pub '$SYS.REQ.SERVER.PING,$SYS.REQ.SERVER.PING.CONNZ,$SYS.REQ.SERVER.*.KICK' --allow-sub '_INBOX.>'
"""


@click.command("keys", short_help="Print public keys, and the NATS configuration they go into.")
@click.option(
    "--creds-file",
    "creds_file",
    required=True,
    type=FILE,
    help="The responder's login: a creds file, or a file with its seed (SU…).",
)
@click.option("--signing-key-file", type=FILE, help="SA… seeds.")
@click.option("--xkey-file", type=FILE, help="SX… seeds.")
@click.option(
    "--system-user",
    metavar="U…",
    callback=lambda _context, _option, value: _user_key(value),
    help="Public key of the user who may list and end sessions, in config mode: nats auth nkey show SEED_FILE.",
)
@click.option("--callout-account", default="AUTH_SERVICE", show_default=True, help="Name of the callout account.")
@click.option(
    "--mode",
    type=click.Choice(["config", "operator", "both"]),
    default="both",
    show_default=True,
    help="Print one mode's configuration only, ready to be redirected into a file.",
)
@click.option("--account", default="AUTH_ACCOUNT", show_default=True, help="Name of the account clients land in.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["server", "nats-values"]),
    default="server",
    show_default=True,
    help="nats-values: values for the official NATS chart, ready to use, in config mode.",
)
def command(
    creds_file: Path,
    signing_key_file: Path | None,
    xkey_file: Path | None,
    system_user: str | None,
    callout_account: str,
    mode: str,
    account: str,
    form: str,
) -> None:
    """Print the public keys that go into the NATS configuration, and that configuration.

    No secret is printed. Without --signing-key-file the seed of the login signs too, in account form (A…).
    """
    creds = _read(creds_file, read_creds)
    signing = _read(signing_key_file, read_signing_keys) if signing_key_file else (creds.key.in_form(Kind.ACCOUNT),)
    xkeys = _read(xkey_file, read_xkeys) if xkey_file else ()
    curve = xkeys[0].public if xkeys else ""
    if form == "nats-values":
        if mode == "operator":
            raise click.UsageError("--format nats-values is for config mode; for operator mode: docs/OPERATOR_SETUP.md")
        say(
            *nats_values(callout_account, account, creds.key.public, signing[0].public, system_user, curve).splitlines()
        )
        return
    # All of it can go into a file: what is not configuration is a comment, in both languages.
    say(f"# user    {creds.key.public}  (auth_users)")
    for signer in signing:
        say(f"# issuer  {signer.public}  (issuer, or signing key of {callout_account} and {account})")
    for key in xkeys:
        say(f"# xkey    {key.public}  (xkey)")
    if creds.account:
        say(f"# account {creds.account}  (the account of the creds)")
    if system_user:
        say(f"# system  {system_user}  (a user of SYS, and auth_users)")
    names = {"user": creds.key.public, "issuer": signing[0].public, "callout": callout_account, "target": account}
    if mode != "operator":
        system = _SYSTEM_USER.format(key=system_user) if system_user else _NO_SYSTEM_USER
        bypass = ", ".join(key for key in (creds.key.public, system_user) if key)
        xkey = f"    xkey: {curve}\n" if curve else ""
        say("", *_CONFIG_MODE.format(**names, system=system, bypass=bypass, xkey=xkey).splitlines())
    if mode != "config":
        say("", *_OPERATOR_MODE.format(**names, curve=f" --curve {curve}" if curve else "").splitlines())
        if not creds.jwt:
            say("# Operator mode needs a whole creds file; this one holds a seed only.")


def _user_key(value: str | None) -> str | None:
    """Return what stands for --system-user if it is a user's public key; a seed there is not repeated."""
    if value is not None:
        try:
            decode_public(value, Kind.USER)
        except BadKey:
            raise click.BadParameter("must be a user's public key (U and 55 more characters), never a seed") from None
    return value


def _read(path: Path, parse: Callable[[bytes], T]) -> T:
    try:
        # Whoever calls may hand in a pipe, such as <(kubectl get secret …).
        return parse(path.read_bytes())
    except (BadKey, OSError) as error:
        why = error if isinstance(error, BadKey) else error.strerror
        say(f"{path} {why}", err=True)
        sys.exit(EXIT_BAD_USE)
