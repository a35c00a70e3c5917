"""The commands of `nsc` that add and edit: what they change in the store, and what they say."""

import json
import re
from pathlib import Path
from typing import Any

from nats_k8s_oidc_callout.core import base64url
from nats_k8s_oidc_callout.core.nats import nkeys
from nats_k8s_oidc_callout.core.nats.nkeys import Kind
from nats_k8s_oidc_callout.errors import BadKey
from tests.fakes.nats_modes import Pair, mint
from tests.guides.nsc_flags import Call, Refused
from tests.guides.nsc_store import NO_LIMITS, Store, new, new_account, tell

_JETSTREAM = {
    "js-mem-storage": "mem_storage",
    "js-disk-storage": "disk_storage",
    "js-streams": "streams",
    "js-consumer": "consumer",
}
_MONITORING = (
    {
        "name": "account-monitoring-streams",
        "subject": "$SYS.ACCOUNT.*.>",
        "type": "stream",
        "account_token_position": 3,
    },
    {"name": "account-monitoring-services", "subject": "$SYS.REQ.ACCOUNT.*.*", "type": "service"}
    | {"response_type": "Stream", "account_token_position": 4},
)
"""What nsc lets SYS export: each account may import what is said of itself."""
_SECONDS = re.compile(r"(\d+)(ms|s|m|h)")
_UNITS = {"ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}


def _grant(nats: dict[str, Any], call: Call) -> None:
    for side in ("pub", "sub"):
        rules = nats.setdefault(side, {})
        for verb in ("allow", "deny"):
            added = call.all(f"{verb}-{side}") + call.all(f"{verb}-pubsub")
            kept = [one for one in rules.get(verb, []) + added if one not in call.all("rm")]
            if kept:
                rules[verb] = sorted(set(kept))
            else:
                rules.pop(verb, None)
    if call.has("rm-response-perms"):
        nats.pop("resp", None)
    if call.has("allow-pub-response"):
        nats.setdefault("resp", {})["max"] = int(call.one("allow-pub-response"))
    if call.has("response-ttl"):
        match = _SECONDS.fullmatch(call.one("response-ttl"))
        if not match:
            raise Refused(f'time: invalid duration "{call.one("response-ttl")}"')
        nats.setdefault("resp", {"max": 0})["ttl"] = int(match[1]) * _UNITS[match[2]]


def _public(value: str, kind: Kind) -> str:
    """Return the public key that a key, a seed or a file with a seed stands for."""
    text = Path(value).read_text().split()[0] if Path(value).is_file() else value
    try:
        if text.startswith("S"):
            found, raw = nkeys.decode_seed(text)
            public = Pair(found, raw).public
        else:
            found, public = kind, nkeys.encode_public(kind, nkeys.decode_public(text, kind))
    except BadKey:
        raise Refused(f'"{value}" is not a valid {kind.name.lower()} key') from None
    if found is not kind:
        raise Refused(f'"{value}" is not a valid {kind.name.lower()} key')
    return public


def _generated(store: Store, kind: Kind) -> str:
    pair = Pair.new(kind)
    store.keys[pair.public] = pair.seed
    return pair.public


def add_operator(store: Store, call: Call) -> None:
    if store.operator is not None:
        raise Refused(f"operator named {store.operator.name} exists already")
    if not call.name:
        raise Refused("operator name is required")
    store.operator = new(Kind.OPERATOR, call.name, {"type": "operator"})
    tell(f'generated and stored operator key "{store.operator.public}"', f'added operator "{call.name}"')
    if call.has("sys"):
        store.accounts["SYS"] = new_account("SYS")
        store.accounts["SYS"].nats["exports"] = [dict(one) for one in _MONITORING]
        store.users["SYS"] = {"sys": new(Kind.USER, "sys", dict(NO_LIMITS, type="user"))}
        store.operator.nats["system_account"] = store.accounts["SYS"].public
        tell(f"created system_account: name:SYS id:{store.accounts['SYS'].public}")
        tell(f"created system account user: name:sys id:{store.users['SYS']['sys'].public}")


def edit_operator(store: Store, call: Call) -> None:
    nats = store.the_operator.nats
    if call.has("system-account"):
        nats["system_account"] = store.the_account(call.one("system-account")).public
        tell(f'set system account "{nats["system_account"]}"')
    if call.has("account-jwt-server-url"):
        nats["account_server_url"] = call.one("account-jwt-server-url")
        tell(f'set account jwt server url to "{nats["account_server_url"]}"')
    tell(f'edited operator "{store.the_operator.name}"')


def add_account(store: Store, call: Call) -> None:
    if not call.name:
        raise Refused("account name is required")
    if call.name.lower() in {name.lower() for name in store.accounts}:
        raise Refused(f'the account "{call.name}" already exists')
    _ = store.the_operator
    store.accounts[call.name] = new_account(call.name)
    store.account = call.name
    tell(f'generated and stored account key "{store.accounts[call.name].public}"', f'added account "{call.name}"')


def edit_account(store: Store, call: Call) -> None:
    account = store.the_account(call.name)
    if not call.flags.keys() - {"name"}:
        raise Refused("specify an edit option")
    keys = account.nats.setdefault("signing_keys", [])
    for value in call.all("sk"):
        public = _generated(store, Kind.ACCOUNT) if value == "generate" else _public(value, Kind.ACCOUNT)
        if public not in keys:
            keys.append(public)
        tell(f'added signing key "{public}"')
    for value in call.all("rm-sk"):
        keys.remove(value)
        tell(f'removed signing key "{value}"')
    for flag, member in _JETSTREAM.items():
        if call.has(flag):
            if account.public == store.the_operator.nats.get("system_account"):
                raise Refused("jetstream not available for system account")
            # Once one of them is set, the others are unlimited.
            account.nats["limits"].setdefault("streams", -1)
            account.nats["limits"].setdefault("consumer", -1)
            account.nats["limits"][member] = _bytes(call.one(flag))
    tell(f'edited account "{account.name}"')


def _bytes(text: str) -> int:
    match = re.fullmatch(r"(-?\d+)([kmgt]?)", text.lower())
    if not match:
        raise Refused(f"couldn't parse data size: {text}")
    return int(match[1]) * int(1000 ** " kmgt".index(match[2] or " "))


def add_user(store: Store, call: Call) -> None:
    account = store.the_account(call.one("account"))
    if not call.name:
        raise Refused("user name is required")
    users = store.users.setdefault(account.name, {})
    if call.name in users:
        raise Refused(f'the user "{call.name}" already exists')
    user = new(Kind.USER, call.name, dict(NO_LIMITS, type="user"))
    _grant(user.nats, call)
    if call.has("bearer"):
        user.nats["bearer_token"] = True
    users[call.name] = user
    tell(f'generated and stored user key "{user.public}"', f'added user "{call.name}" to account "{account.name}"')


def edit_user(store: Store, call: Call) -> None:
    _, user = store.the_user(call)
    if not call.flags.keys() - {"name", "account"}:
        raise Refused("specify an edit option")
    _grant(user.nats, call)
    if call.has("bearer"):
        user.nats["bearer_token"] = call.one("bearer") != "false"
    tell(f'edited user "{user.name}"')


def _list(call: Call, callout: dict[str, Any], flag: str, kind: Kind) -> None:
    listed = callout.setdefault(f"{flag.replace('-', '_')}s", [])
    for value in call.all(flag):
        public = value if value == "*" and kind is Kind.ACCOUNT else _public(value, kind)
        if public not in listed:
            listed.append(public)
        tell(f'added {flag.partition("-")[2]} "{public}"')
    for value in call.all(f"rm-{flag}"):
        listed.remove(value)


def edit_authcallout(store: Store, call: Call) -> None:
    account = store.the_account(call.name or call.one("account"))
    asked = call.flags.keys() - {"account"}
    if not asked:
        raise Refused("please specify some options")
    if call.has("disable"):
        if asked != {"disable"}:
            raise Refused("--disable is exclusive of all other options")
        account.nats.pop("authorization", None)
        return tell("removed external authorization configuration")
    callout = account.nats.setdefault("authorization", {})
    _list(call, callout, "auth-user", Kind.USER)
    _list(call, callout, "allowed-account", Kind.ACCOUNT)
    if call.has("curve"):
        value = call.one("curve")
        callout["xkey"] = _generated(store, Kind.CURVE) if value == "generate" else _public(value, Kind.CURVE)
        tell(f"set curve key {callout['xkey']}")
    if call.has("rm-curve"):
        callout.pop("xkey", None)
    if callout["allowed_accounts"] and not callout["auth_users"]:
        raise Refused("External authorization cannot have accounts without users specified")
    return None


def _covers(wide: str, narrow: str) -> bool:
    ours, theirs = wide.split("."), narrow.split(".")
    if ours[-1] == ">" and len(theirs) >= len(ours):
        ours, theirs = ours[:-1], theirs[: len(ours) - 1]
    return len(ours) == len(theirs) and all(one in ("*", other) for one, other in zip(ours, theirs, strict=True))


def add_export(store: Store, call: Call) -> None:
    account, subject = store.the_account(call.one("account")), call.one("subject")
    if not subject:
        raise Refused("a subject is required")
    kind = "service" if call.has("service") else "stream"
    exports = account.nats.setdefault("exports", [])
    for other in exports:
        if other["type"] == kind and _covers(other["subject"], subject):
            raise Refused(f'{kind} export subject "{other["subject"]}" already exports "{subject}"')
    one: dict[str, object] = {"name": call.one("name") or subject, "subject": subject, "type": kind}
    if kind == "service":
        one["response_type"] = call.one("response-type", "Singleton")
    if call.has("private"):
        one["token_req"] = True
    exports.append(one)
    tell(f'added {"private" if call.has("private") else "public"} {kind} export "{one["name"]}"')


def delete_export(store: Store, call: Call) -> None:
    account, subject = store.the_account(call.one("account")), call.one("subject")
    exports = account.nats.get("exports", [])
    for one in exports:
        if one["subject"] == subject:
            exports.remove(one)
            return tell(f'deleted {one["type"]} export "{subject}"')
    raise Refused(f'no export matching "{subject}" found')


def activation(store: Store, call: Call) -> str:
    """Return the JWT by which an account may import a private export."""
    account, subject = store.the_account(call.one("account")), call.one("subject")
    found = [one for one in account.nats.get("exports", []) if one["subject"] == subject and one.get("token_req")]
    if not found:
        raise Refused(f'a private export for "{subject}" was not found in account "{account.name}"')
    claims = {"subject": subject, "kind": found[0]["type"], "type": "activation"}
    return mint(account.pair, _public(call.one("target-account"), Kind.ACCOUNT), subject, claims)


def add_import(store: Store, call: Call) -> None:
    account = store.the_account(call.one("account"))
    if call.has("token"):
        token = next(line for line in Path(call.one("token")).read_text().splitlines() if line.startswith("ey"))
        claims = json.loads(base64url.decode(token.split(".")[1].encode()))
        if claims["sub"] != account.public:
            raise Refused(f'activation is not intended for this account - it is for "{claims["sub"]}"')
        source, subject, kind = claims["iss"], claims["nats"]["subject"], claims["nats"]["kind"]
    else:
        if not (call.has("src-account") and call.has("remote-subject")):
            raise Refused("public imports require src-account, remote-subject")
        source = store.the_account(call.one("src-account")).public
        subject, kind, token = call.one("remote-subject"), "service" if call.has("service") else "stream", ""
    if source == account.public:
        raise Refused("export issuer is this account")
    one = {"name": call.one("name") or subject, "subject": subject, "account": source, "type": kind}
    if token:
        one["token"] = token
    if call.has("local-subject"):
        one["local_subject"] = call.one("local-subject")
    account.nats.setdefault("imports", []).append(one)
    tell(f'added {kind} import "{subject}"')
