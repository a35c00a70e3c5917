"""Stands in for `nsc`, which is no module that tests could build: the same commands and flags, the same JWTs, minted by our own code.

    python -m tests.guides.nsc add account AUTH_SERVICE

What it keeps lies in $NSC_HOME, else in the folder of the document that is walked ($WALK), else in ./.nsc. Reports go to
standard error in nsc's words. `push` really pushes: it logs in as a user of the system account, as nsc does.
"""

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from nats_k8s_oidc_callout.core import base64url
from nats_k8s_oidc_callout.core.nats.nkeys import Kind
from tests.fakes.nats_modes import Pair, creds_text
from tests.guides import nsc_edit
from tests.guides.nsc_flags import Call, Refused, parse
from tests.guides.nsc_store import Store, tell

_KINDS = {"operator": Kind.OPERATOR, "account": Kind.ACCOUNT, "user": Kind.USER, "curve": Kind.CURVE}
_RESOLVER = """\
resolver {
  type: full
  dir: "./jwt"
  allow_delete: false
  interval: "2m"
  timeout: "1.9s"
}
"""


def generate_creds(store: Store, call: Call) -> None:
    account, user = store.the_user(call)
    _write(call.one("output-file", "--"), creds_text(store.jwt(user, account), user.pair), secret=True)


def generate_activation(store: Store, call: Call) -> None:
    text = f"-----BEGIN NATS ACTIVATION JWT-----\n{nsc_edit.activation(store, call)}\n------END NATS ACTIVATION JWT------\n"
    _write(call.one("output-file", "--"), text)


def generate_nkey(store: Store, call: Call) -> None:
    chosen = [kind for name, kind in _KINDS.items() if call.has(name)]
    if not chosen:
        raise Refused("no key type specified")
    for kind in chosen:
        pair = Pair.new(kind)
        if call.has("store"):
            store.keys[pair.public] = pair.seed
        click.echo(f"{pair.seed}\n{pair.public}")


def generate_config(store: Store, call: Call) -> None:
    kinds = [name for name in ("mem-resolver", "nats-resolver", "nats-resolver-cache") if call.has(name)]
    if len(kinds) != 1:
        raise Refused("can only generate one config at a time" if kinds else "specify a config type option")
    system = store.the_account(call.one("sys-account")) if call.has("sys-account") else store.system_account
    lines = [f"# Operator named {store.the_operator.name}", f"operator: {store.jwt(store.the_operator)}"]
    if system:
        lines += [f"# System Account named {system.name}", f"system_account: {system.public}"]
    memory = kinds[0] == "mem-resolver"
    lines += ["resolver: MEMORY" if memory else _RESOLVER.rstrip(), "resolver_preload: {"]
    for one in store.accounts.values():
        if memory or one is system:
            lines += [f"  # Account {one.name}", f"  {one.public}: {store.jwt(one)}"]
    target = call.one("config-file", "--")
    if target != "--" and Path(target).exists() and not call.has("force"):
        raise Refused(f"`{Path(target).resolve()}` already exists")
    _write(target, "\n".join([*lines, "}", ""]))
    if target != "--":
        tell(f"wrote server configuration to `{target}`")
        click.echo(f"Success!! - generated `{target}`", err=True)


def describe_operator(store: Store, call: Call) -> None:
    _describe(call, store.jwt(store.the_operator))


def describe_account(store: Store, call: Call) -> None:
    _describe(call, store.jwt(store.the_account(call.name)))


def describe_user(store: Store, call: Call) -> None:
    account, user = store.the_user(call)
    _describe(call, store.jwt(user, account))


def _describe(call: Call, jwt: str) -> None:
    claims: Any = json.loads(base64url.decode(jwt.split(".")[1].encode()))
    if call.has("field"):
        # nsc prints the JSON of the member, so a text comes with its quotes.
        for part in call.one("field").split("."):
            name, _, index = part.partition("[")
            claims = claims[name] if not index else claims[name][int(index.rstrip("]"))]
    elif call.has("raw"):
        return _write(call.one("output-file", "--"), f"{jwt}\n")
    elif not call.has("json"):
        raise Refused("the table that nsc draws here is not drawn by its stand-in: print --json, --raw or --field")
    return _write(call.one("output-file", "--"), json.dumps(claims, indent=1) + "\n")


def export_keys(store: Store, call: Call) -> None:
    if not call.has("dir"):
        raise Refused('required flag(s) "dir" not set')
    folder = Path(call.one("dir"))
    folder.mkdir(exist_ok=True)
    chosen: dict[str, str] = {}
    if call.has("accounts") or call.has("all"):
        accounts = [store.the_account(call.one("account"))] if call.has("account") else list(store.accounts.values())
        for one in accounts:
            signing = {
                public: store.keys[public] for public in one.nats.get("signing_keys", ()) if public in store.keys
            }
            chosen |= {one.public: one.seed, **signing}
    if call.has("curves"):
        chosen |= {public: seed for public, seed in store.keys.items() if public.startswith("X")}
    chosen = {public: seed for public, seed in chosen.items() if call.one("filter") in public}
    if not chosen:
        raise Refused("no keys found to export")
    for public, seed in chosen.items():
        _write(str(folder / f"{public}.nk"), seed, secret=True)
        tell(f'exported "{public}"')


def push(store: Store, call: Call) -> None:
    url = call.one("account-jwt-server-url") or store.the_operator.nats.get("account_server_url", "")
    if not url:
        raise Refused("no account server url or nats-server url was provided by the operator jwt or to nsc")
    if store.system_account is None:
        raise Refused("no system account is set in the operator")
    accounts = list(store.accounts.values()) if call.has("all") else [store.the_account(call.one("account"))]
    # Only here: importing a NATS client takes longer than all else that a command does.
    from tests.guides.nsc_push import push_all

    try:
        for name in push_all(url, store.jwt, store.system_account, accounts):
            tell(f"push to nats-server of account {name}")
    except OSError as error:
        raise Refused(f"failed to push: {error}") from None


def _write(target: str, text: str, *, secret: bool = False) -> None:
    if target == "--":
        click.echo(text, nl=False)
        return
    path = Path(target)
    path.touch(0o600 if secret else 0o644)
    path.write_text(text)


_COMMANDS: Mapping[tuple[str, ...], Callable[[Store, Call], None]] = {
    ("add", "operator"): nsc_edit.add_operator,
    ("add", "account"): nsc_edit.add_account,
    ("add", "user"): nsc_edit.add_user,
    ("add", "export"): nsc_edit.add_export,
    ("add", "import"): nsc_edit.add_import,
    ("edit", "operator"): nsc_edit.edit_operator,
    ("edit", "account"): nsc_edit.edit_account,
    ("edit", "user"): nsc_edit.edit_user,
    ("edit", "authcallout"): nsc_edit.edit_authcallout,
    ("generate", "creds"): generate_creds,
    ("generate", "activation"): generate_activation,
    ("delete", "export"): nsc_edit.delete_export,
    ("generate", "config"): generate_config,
    ("generate", "nkey"): generate_nkey,
    ("describe", "operator"): describe_operator,
    ("describe", "account"): describe_account,
    ("describe", "user"): describe_user,
    ("export", "keys"): export_keys,
    ("push",): push,
}


def home(env: Mapping[str, str]) -> Path:
    """Return where it keeps what it has made."""
    if env.get("NSC_HOME"):
        return Path(env["NSC_HOME"])
    return Path(env["WALK"]) / "nsc" if env.get("WALK") else Path.cwd() / ".nsc"


def run(arguments: Sequence[str], folder: Path) -> int:
    """Do what nsc does with these arguments; return its exit code."""
    try:
        call = parse(arguments)
        store = Store.load(folder / "nsc.json")
        _COMMANDS[call.command](store, call)
    except Refused as refused:
        click.echo(f"Error: {refused}", err=True)
        return 1
    store.save()
    return 0


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:], home(os.environ)))
