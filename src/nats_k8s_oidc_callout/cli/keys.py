"""The public keys of a creds file, and the NATS configuration that they go into."""

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import click

from nats_k8s_oidc_callout.cli import EXIT_BAD_USE, FILE, session_rights
from nats_k8s_oidc_callout.cli.nats_values import nats_values
from nats_k8s_oidc_callout.cli.output import say
from nats_k8s_oidc_callout.cli.session_rights import LOGIN, RESPONDER, WAYS, Plan, listed
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
{imports}    users: [ {{ nkey: {user},
               permissions: {{ {publish}subscribe: {subscribe},
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

_USER = """\
{{ nkey: {key},
               permissions: {{ publish: {publish},
                              subscribe: {subscribe} }} }}"""

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
@click.option(
    "--sessions",
    metavar="imports|login|U…",
    callback=lambda _context, _option, value: value if value in (None, *WAYS) else _user_key(value),
    help="Add what SESSION_CONTROL needs: imports from the system account, or a login there; in config mode by its public "
    "key (U…).",
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
    sessions: str | None,
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
    if form == "nats-values" and mode == "operator":
        raise click.UsageError("--format nats-values is for config mode; for operator mode: docs/OPERATOR_SETUP.md")
    plan = _plan(system_user, sessions, creds.key.public, in_file=mode != "operator")
    names = {"user": creds.key.public, "issuer": signing[0].public, "callout": callout_account, "target": account}
    if form == "nats-values":
        say(*nats_values(**names, plan=plan, curve=curve).splitlines())
        return
    # All of it can go into a file: what is not configuration is a comment, in both languages.
    say(f"# user    {creds.key.public}  (auth_users)")
    for signer in signing:
        say(f"# issuer  {signer.public}  (issuer, or signing key of {callout_account} and {account})")
    for key in xkeys:
        say(f"# xkey    {key.public}  (xkey)")
    if creds.account:
        say(f"# account {creds.account}  (the account of the creds)")
    for name, public, _, _ in plan.users:
        say(f"# {name:7} {public}  (a user of SYS, and auth_users)")
    if mode != "operator":
        say("", *_config_mode(names, plan, curve).splitlines())
    if mode != "config":
        say("", *_OPERATOR_MODE.format(**names, curve=f" --curve {curve}" if curve else "").splitlines())
        say(*session_rights.commands(plan.way, callout_account))
        if not creds.jwt:
            say("# Operator mode needs a whole creds file; this one holds a seed only.")


def _plan(people: str | None, sessions: str | None, user: str, *, in_file: bool) -> Plan:
    if sessions == LOGIN and in_file:
        raise click.UsageError(
            "config mode names that login by its key: --sessions U… (nats auth nkey gen user makes one)"
        )
    if sessions and sessions in (user, people):
        raise click.UsageError("--sessions must be a key of its own: each user of the file has another")
    key = sessions if sessions and sessions not in WAYS else ""
    return Plan(LOGIN if key else sessions or "", people or "", key)


def _config_mode(names: Mapping[str, str], plan: Plan, curve: str) -> str:
    rights = RESPONDER[plan.way]
    return _CONFIG_MODE.format(
        **names,
        imports=_list("imports", plan.imports()),
        publish=f"publish: {listed(rights.publish)},\n                              " if rights.publish else "",
        subscribe=listed(rights.subscribe),
        system=_system(names["callout"], plan),
        bypass=", ".join(key for key in (names["user"], plan.people, plan.session) if key),
        xkey=f"    xkey: {curve}\n" if curve else "",
    )


def _system(callout: str, plan: Plan) -> str:
    above = "".join(f"  # {comment}\n" for comment in (*plan.comments, *(what for _, _, what, _ in plan.users)))
    users = "\n             ".join(
        _USER.format(key=key, publish=listed(rights.publish), subscribe=_one(rights.subscribe))
        for _, key, _, rights in plan.users
    )
    inside = _list("exports", plan.exports(callout))
    inside += f"    users: [ {users} ]\n" if users else ""
    return f"{above}  SYS {{\n{inside}  }}\n" if inside else f"{above}  SYS {{}}\n"


def _one(subjects: list[str]) -> str:
    """Return a list, or its only member."""
    return f'"{subjects[0]}"' if len(subjects) == 1 else listed(subjects)


def _list(name: str, lines: Sequence[str]) -> str:
    return "\n".join((f"    {name}: [", *(f"      {line}" for line in lines), "    ]\n")) if lines else ""


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
