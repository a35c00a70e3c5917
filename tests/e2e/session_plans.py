"""Three nodes on which a responder may look after its sessions: both modes, and both ways to the system account.

`imports`: the system account exports what is needed and the callout account imports it, so that the responder's own login
is enough. `login`: the responder has a second login, a user of the system account.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from nats_k8s_oidc_callout.core.nats.nkeys import Kind
from tests.e2e import plans
from tests.e2e.plans import Plan
from tests.fakes.nats_modes import ERRORS, PASSWORD, Pair, config_mode, creds_text, mint, operator_mode
from tests.fakes.nats_world import free_port
from tests.leaks import SECRETS

PREFIX = "nko"
MODES, WAYS = ("config", "operator"), ("imports", "login")
FOREIGN = "system:serviceaccount:team-a:gone;e=1;u=;g=00000000;k=000000;t=00000000;i=0;p=000000;r=ours"
"""A configured user whose name only looks like a label of ours."""

_CONNZ, _KICK = "$SYS.REQ.ACCOUNT.*.CONNZ", "$SYS.REQ.SERVER.*.KICK"
_EVENTS = ("$SYS.ACCOUNT.*.CONNECT", "$SYS.ACCOUNT.*.DISCONNECT")
_INBOX = "_INBOX_sess.>"
_HEARS = ("$SYS.REQ.USER.AUTH", ERRORS, "_INBOX.>", f"{PREFIX}.control")
_LOCAL = {
    _CONNZ: f"{PREFIX}.connz.*",
    _KICK: f"{PREFIX}.kick.*",
    _EVENTS[0]: f"{PREFIX}.ev.*.CONNECT",
    _EVENTS[1]: f"{PREFIX}.ev.*.DISCONNECT",
}


def _rights(way: str) -> tuple[list[str], list[str]]:
    """Return what the responder's login in the callout account may publish, and subscribe to."""
    if way == "login":
        return [f"{PREFIX}.control"], [*_HEARS]
    return [_LOCAL[_CONNZ], _LOCAL[_KICK], f"{PREFIX}.control"], [*_HEARS, _INBOX, f"{PREFIX}.ev.>"]


def _quoted(subjects: Sequence[str]) -> str:
    return "[" + ", ".join(f'"{subject}"' for subject in subjects) + "]"


def _config_text(text: str, way: str, system: Pair) -> str:
    """Let the responder through to the system account, an administrator, too, and configured users into APP."""
    users = ", ".join(f'{{ user: "{name}", password: "{PASSWORD}" }}' for name in ("platform", FOREIGN))
    rights = f'{{ publish: ["{_CONNZ}", "{_KICK}"], subscribe: {_quoted([_INBOX, *_EVENTS])} }}'
    logins = [
        f'{{ user: system, password: "{PASSWORD}" }}',
        f'{{ user: sessions, password: "{PASSWORD}", permissions: {rights} }}',
    ]
    delegated = f'platform, "{FOREIGN}", system, sessions'
    exports = imports = ""
    if way == "login":
        logins.append(f"{{ nkey: {system.public}, permissions: {rights} }}")
        delegated += f", {system.public}"
    else:
        kinds = {_CONNZ: "service", _KICK: "service", **dict.fromkeys(_EVENTS, "stream")}
        listed = {_CONNZ: ", response_type: stream"}
        exports = ", ".join(
            f'{{ {kind}: "{one}"{listed.get(one, "")}, accounts: [AUTH] }}' for one, kind in kinds.items()
        )
        imports = ", ".join(
            f'{{ {kind}: {{ account: SYS, subject: "{one}" }}, to: "{_LOCAL[one]}" }}' for one, kind in kinds.items()
        )
    for old, new in {
        "  APP {": f"  APP {{ users: [ {users} ]",
        "auth_users: [": f"auth_users: [ {delegated},",
        "  SYS { users: [": f"  SYS {{ exports: [ {exports} ], users: [ {', '.join(logins)},",
        "  AUTH { users": f"  AUTH {{ imports: [ {imports} ], users",
    }.items():
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text.replace(f'"{PASSWORD}" }} ] jetstream', f'"{PASSWORD}" }} ], jetstream')


def _config(folder: Path, way: str, *, jetstream: bool = False) -> Plan:
    user, system = Pair.new(Kind.USER), Pair.new(Kind.USER)
    publish, subscribe = _rights(way)
    answers = 'allow_responses: { max: 1, expires: "5s" }'
    mode = config_mode(
        responder=user,
        issuer=user.in_form(Kind.ACCOUNT),
        max_control_line=plans.CONTROL_LINE,
        permissions=f"{{ publish: {_quoted(publish)}, subscribe: {_quoted(subscribe)}, {answers} }}",
        jetstream=jetstream,
    )
    variables = {
        "NATS_ACCOUNT": "APP",
        "NATS_AUTH_ACCOUNT": "AUTH",
        "NATS_CREDS_FILE": plans.write_creds(folder / "responder.creds", plans.seed_as_creds(user)),
    }
    if way == "login":
        variables["NATS_SYSTEM_NKEY_FILE"] = plans.write_seeds(folder / "system.seed", system)
    foreign = {"user": FOREIGN, "pass": PASSWORD}
    return Plan([_config_text(mode.text, way, system)], "APP", foreign, variables)


def one_node(folder: Path) -> Plan:
    """One node in config mode with JetStream, and imports: what clients with one URL meet."""
    return _config(folder, "imports", jetstream=True)


def stale_keys(folder: Path) -> Plan:
    """The same, with keys from an endpoint that a test can take away."""
    return replace(one_node(folder), keys_by_url=True)


def islands(ports: Sequence[int], seen: Sequence[int]) -> Callable[[Path], Plan]:
    """Return the plan of three nodes with JetStream; the first and the others see each other through `seen` alone.

    These ports stand for `ports`, where the nodes listen for routes. The second and the third are also joined directly.
    """

    def plan(folder: Path) -> Plan:
        one = _config(folder, "imports", jetstream=True)
        routes: Sequence[Sequence[int]] = ([seen[1], seen[2]], [seen[0], ports[2]], [seen[0], ports[1]])
        texts = [
            f"{one.texts[0]}server_name: n{number}\n"
            f"cluster {{ name: c, listen: 127.0.0.1:{ports[number]}, advertise: 127.0.0.1:{seen[number]}, "
            f"routes: [ {', '.join(f'nats-route://127.0.0.1:{port}' for port in routes[number])} ] }}\n"
            for number in range(3)
        ]
        return replace(one, texts=texts)

    plan.__name__ = "sessions-islands"
    return plan


def one_node_over_tls(folder: Path) -> Plan:
    """One node in config mode with TLS, and imports."""
    return plans.over_tls(_config(folder, "imports"), folder)


_Claims = Sequence[Mapping[str, object]]


def _claims(way: str, system: Pair) -> tuple[_Claims, _Claims]:
    """Return what the system account exports, and what the callout account imports."""
    if way == "login":
        return (), ()
    kinds = {_CONNZ: "service", _KICK: "service", **dict.fromkeys(_EVENTS, "stream")}
    # More than one server answers a list.
    many = {_CONNZ: {"response_type": "Stream"}}
    return [{"subject": one, "type": kind, **many.get(one, {})} for one, kind in kinds.items()], [
        {"subject": one, "account": system.public, "local_subject": _by_number(_LOCAL[one]), "type": kind}
        for one, kind in kinds.items()
    ]


def _by_number(subject: str) -> str:
    """Write a subject as a JWT's `local_subject` names what stands for a wildcard."""
    return subject.replace("*", "$1")


def _operator(folder: Path, way: str) -> Plan:
    system, tenant = Pair.new(Kind.ACCOUNT), (Pair.new(Kind.ACCOUNT), Pair.new(Kind.ACCOUNT))
    (publish, subscribe), (exports, imports) = _rights(way), _claims(way, system)
    mode = operator_mode(
        system=system,
        tenants=[tenant],
        may_publish=publish,
        may_subscribe=subscribe,
        max_control_line=plans.CONTROL_LINE,
        system_exports=exports,
        auth_imports=imports,
    )
    keys = folder / "keys"
    keys.mkdir()
    (keys / "OTHER").write_text(f"{tenant[0].public}\n{SECRETS.register('seed', tenant[1].seed)}\n")
    plan = plans._operator(folder, mode, mode.auth_signing, mode.app_signing)
    variables = {**plan.variables, "NATS_ACCOUNTS_DIR": str(keys)}
    if way == "login":
        user = Pair.new(Kind.USER)
        rights = {"pub": {"allow": [_CONNZ, _KICK]}, "sub": {"allow": [_INBOX, *_EVENTS]}}
        claims = {"subs": -1, "data": -1, "payload": -1, "type": "user", **rights}
        creds = creds_text(mint(system, user.public, "sessions", claims), user)
        variables["NATS_SYSTEM_CREDS_FILE"] = plans.write_creds(folder / "system.creds", creds)
    (folder / "admin.creds").write_text(SECRETS.register("creds", mode.sys_creds))
    return replace(plan, variables=variables)


def session_plan(mode: str, way: str) -> Callable[[Path], Plan]:
    """Return the plan of three nodes; OTHER is a second target account by its name in a policy."""

    def plan(folder: Path) -> Plan:
        one = {"config": _config, "operator": _operator}[mode](folder, way)
        ports = [free_port() for _ in range(3)]
        routes = ", ".join(f'"nats-route://127.0.0.1:{port}"' for port in ports)
        texts = [
            f"{one.texts[0]}server_name: n{number}\n"
            f"cluster {{ name: c, listen: 127.0.0.1:{port}, routes: [ {routes} ] }}\n"
            for number, port in enumerate(ports)
        ]
        return replace(one, texts=texts)

    plan.__name__ = f"sessions-{mode}-{way}"
    return plan
