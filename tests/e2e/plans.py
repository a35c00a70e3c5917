"""The ways to set up NATS with the callout: texts for the servers, variables for the responder, words for clients."""

import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from nats_k8s_oidc_callout.core.nats.nkeys import Kind
from tests.fakes import nats_modes
from tests.fakes.nats_modes import Pair, config_mode, creds_text, mint, operator_mode
from tests.fakes.nats_tls import mint_tls
from tests.fakes.nats_world import free_port
from tests.leaks import SECRETS

# Room for a token of 20 KiB in CONNECT, so that it is the responder that says no.
CONTROL_LINE = 65536


@dataclass(frozen=True)
class Plan:
    """What a setting comes to: texts for the servers, and variables for the responder."""

    texts: Sequence[str]
    target: str
    """The account that clients land in, as connz names it."""
    other: Mapping[str, str]
    """CONNECT options of somebody in another account."""
    variables: Mapping[str, str]
    sentinel: str = ""
    """What clients present beside their token, where the servers do not do it for them."""
    user: str = ""
    """User info for NATS_URL."""
    tls: ssl.SSLContext | None = None
    keys_by_url: bool = False


def write_seeds(path: Path, *pairs: Pair) -> str:
    """Write seeds, one a line, as a key file of the responder; return its path."""
    path.write_text("".join(SECRETS.register("seed", pair.seed) + "\n" for pair in pairs))
    return str(path)


def write_creds(path: Path, text: str) -> str:
    path.write_text(SECRETS.register("creds", text))
    return str(path)


def seed_as_creds(user: Pair) -> str:
    """Return a creds file as nsc makes it; config mode looks at nothing but the seed."""
    account = Pair.new(Kind.ACCOUNT)
    return creds_text(mint(account, user.public, "responder", {"type": "user"}), user)


def with_other(text: str) -> str:
    """Let a user of its own into OTHER, past the callout."""
    login = f'{{ users: [ {{ user: other, password: "{nats_modes.PASSWORD}" }} ] }}'
    changed = text.replace("  OTHER {}", f"  OTHER {login}").replace("auth_users: [", "auth_users: [ other,")
    assert changed.count("other") == 2
    return changed


_OTHER_USER = {"user": "other", "pass": nats_modes.PASSWORD}


def config_creds(folder: Path, extra: str = "", *, jetstream: bool = False) -> Plan:
    """Config mode, run by one creds file: its nkey logs in, and signs in account form."""
    user = Pair.new(Kind.USER)
    mode = config_mode(
        responder=user,
        issuer=user.in_form(Kind.ACCOUNT),
        max_control_line=CONTROL_LINE,
        jetstream=jetstream,
        extra=extra,
    )
    creds = write_creds(folder / "responder.creds", seed_as_creds(user))
    variables = {"NATS_ACCOUNT": "APP", "NATS_AUTH_ACCOUNT": "AUTH", "NATS_CREDS_FILE": creds}
    return Plan([with_other(mode.text)], "APP", _OTHER_USER, variables)


def config_jetstream(folder: Path) -> Plan:
    """The same with JetStream in the domain `hub`, acknowledgements of the second form, and a user `platform` in APP."""
    plan = config_creds(folder, "feature_flags { js_ack_fc_v2: true }\n", jetstream=True)
    platform = f'{{ user: platform, password: "{nats_modes.PASSWORD}" }}'
    text = plan.texts[0].replace("APP { jetstream: enabled }", f"APP {{ jetstream: enabled, users: [ {platform} ] }}")
    text = text.replace("auth_users: [", "auth_users: [ platform,").replace(
        "max_file: 10M }", "max_file: 10M, domain: hub }"
    )
    assert (text.count("platform"), text.count("domain: hub")) == (2, 1)
    return replace(plan, texts=[text])


def config_xkey(folder: Path) -> Plan:
    """Config mode: a signing key of its own, login by user and password, everything sealed."""
    xkey = Pair.new(Kind.CURVE)
    mode = config_mode(xkey=xkey, max_control_line=CONTROL_LINE)
    variables = {
        "NATS_ACCOUNT": "APP",
        "NATS_AUTH_ACCOUNT": "AUTH",
        "NATS_SIGNING_KEY_FILE": write_seeds(folder / "signing.seed", mode.issuer),
        "NATS_XKEY_FILE": write_seeds(folder / "xkey.seed", xkey),
    }
    user = f"responder:{nats_modes.PASSWORD}@"
    return Plan([with_other(mode.text)], "APP", _OTHER_USER, variables, user=user, keys_by_url=True)


def _operator(
    folder: Path, mode: nats_modes.OperatorMode, callout: Pair, target: Pair, xkey: Pair | None = None
) -> Plan:
    somebody = Pair.new(Kind.USER)
    bearer = {"subs": -1, "data": -1, "payload": -1, "type": "user", "bearer_token": True}
    other = {"jwt": mint(mode.other, somebody.public, "other", bearer)}
    variables = {
        "NATS_ACCOUNT": mode.app.public,
        "NATS_CREDS_FILE": write_creds(folder / "responder.creds", mode.creds),
        "NATS_SIGNING_KEY_FILE": write_seeds(folder / "signing.seed", callout),
        "NATS_ACCOUNT_SIGNING_KEY_FILE": write_seeds(folder / "account.seed", target),
    }
    if xkey:
        variables["NATS_XKEY_FILE"] = write_seeds(folder / "xkey.seed", xkey)
    return Plan([mode.text], mode.app.public, other, variables)


def operator_identity(folder: Path) -> Plan:
    """Operator mode: the accounts' own keys sign, clients present a sentinel."""
    mode = operator_mode(default_sentinel=False, max_control_line=CONTROL_LINE)
    plan = _operator(folder, mode, mode.auth, mode.app)
    return replace(plan, sentinel=mode.sentinel)


def operator_signing(folder: Path) -> Plan:
    """Operator mode: signing keys, the servers' default sentinel, everything sealed."""
    xkey = Pair.new(Kind.CURVE)
    mode = operator_mode(xkey=xkey, creds_by_signing_key=True, max_control_line=CONTROL_LINE)
    plan = _operator(folder, mode, mode.auth_signing, mode.app_signing, xkey)
    return replace(plan, keys_by_url=True)


def cluster(folder: Path) -> Plan:
    """Three nodes in config mode: the responder sits on the first, clients on the last."""
    ports = [free_port() for _ in range(3)]
    routes = ", ".join(f'"nats-route://127.0.0.1:{port}"' for port in ports)
    plan = config_creds(folder)
    texts = [
        f"{plan.texts[0]}server_name: n{number}\n"
        f"cluster {{ name: c, listen: 127.0.0.1:{port}, routes: [ {routes} ] }}\n"
        for number, port in enumerate(ports)
    ]
    return replace(plan, texts=texts)


def tls(folder: Path) -> Plan:
    """Config mode over TLS; clients and responder show a certificate."""
    return over_tls(config_creds(folder), folder)


def over_tls(plan: Plan, folder: Path) -> Plan:
    """Return a plan of one server with TLS."""
    files = mint_tls(folder)
    variables = {
        "NATS_TLS_CA_FILE": str(files.path("ca.pem")),
        "NATS_TLS_CERT_FILE": str(files.path("client.pem")),
        "NATS_TLS_KEY_FILE": str(files.path("client.key")),
    }
    texts = [f"{text}\n{files.server_text()}" for text in plan.texts]
    return replace(plan, texts=texts, variables={**plan.variables, **variables}, tls=files.context())


SETTINGS: Mapping[str, Callable[[Path], Plan]] = {
    "config-creds": config_creds,
    "config-xkey": config_xkey,
    "operator-identity": operator_identity,
    "operator-signing": operator_signing,
    "cluster": cluster,
    "tls": tls,
}
