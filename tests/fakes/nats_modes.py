"""nats-server configurations with the callout in both modes, and the keys and JWTs that belong to them."""

import json
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nats_k8s_oidc_callout.core.nats import natsjwt, nkeys
from nats_k8s_oidc_callout.core.nats.nkeys import Kind, SigningKey
from nats_k8s_oidc_callout.core.nats.xkey import CurveKey

ERRORS = "$SYS.ACCOUNT.CLIENT.AUTH.ERR"
MAY_ANSWER = (
    f'{{ subscribe: ["$SYS.REQ.USER.AUTH", "{ERRORS}", "_INBOX.>"], allow_responses: {{ max: 1, expires: "5s" }} }}'
)
"""The least that a responder needs, and the ear."""
AS_IN_THE_GUIDE = '{ publish: ["$SYS.REQ.USER.AUTH"], subscribe: ["_INBOX.>"] }'
"""The rights that the guide gives: the wrong way round."""
PASSWORD = "pass-word"


@dataclass(frozen=True)
class Pair:
    """A key with its secret at hand, as tests need it."""

    kind: Kind
    raw: bytes

    @classmethod
    def new(cls, kind: Kind) -> "Pair":
        return cls(kind, secrets.token_bytes(32))

    def in_form(self, kind: Kind) -> "Pair":
        return Pair(kind, self.raw)

    @property
    def seed(self) -> str:
        return nkeys.encode_seed(self.kind, self.raw)

    @property
    def key(self) -> SigningKey:
        return SigningKey(self.kind, self.raw)

    @property
    def curve(self) -> CurveKey:
        return CurveKey(self.raw)

    @property
    def public(self) -> str:
        return self.curve.public if self.kind is Kind.CURVE else self.key.public


def mint(signer: Pair, subject: str, name: str, nats: dict[str, Any], **claims: object) -> str:
    """Return a NATS JWT of version 2; `claims` are added at the top."""
    body = {"iat": int(time.time()), "iss": signer.public, "sub": subject, "name": name, **claims}
    return natsjwt.sign(json.dumps(body | {"nats": nats | {"version": 2}}).encode(), signer.key).decode()


def creds_text(jwt: str, user: Pair) -> str:
    """Return a creds file as nsc writes it."""
    return (
        f"-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n"
        "************************* IMPORTANT *************************\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{user.seed}\n------END USER NKEY SEED------\n"
    )


@dataclass(frozen=True)
class ConfigMode:
    """Config mode. `text` is the file; the responder logs in by `responder` (nkey) or as user `responder`."""

    text: str
    issuer: Pair
    responder: Pair
    sys_user: Pair


def config_mode(
    *,
    issuer: Pair | None = None,
    responder: Pair | None = None,
    xkey: Pair | None = None,
    timeout: float = 1.5,
    permissions: str = MAY_ANSWER,
    max_control_line: int | None = None,
    jetstream: bool = False,
    extra: str = "",
) -> ConfigMode:
    """Accounts AUTH (the callout's), APP, OTHER and SYS; `extra` (TLS, a cluster) is put at the end."""
    issuer = issuer or Pair.new(Kind.ACCOUNT)
    responder = responder or Pair.new(Kind.USER)
    sys_user = Pair.new(Kind.USER)
    lines = [
        "system_account: SYS",
        "accounts {",
        f"  AUTH {{ users: [ {{ nkey: {responder.public}, permissions: {permissions} }}",
        f'                  {{ user: responder, password: "{PASSWORD}", permissions: {permissions} }} ] }}',
        "  APP { jetstream: enabled }" if jetstream else "  APP {}",
        "  OTHER {}",
        f"  SYS {{ users: [ {{ nkey: {sys_user.public} }} ] }}",
        "}",
        'jetstream { store_dir: "@DIR@/js", max_mem: 10M, max_file: 10M }' if jetstream else "",
        f"max_control_line: {max_control_line}" if max_control_line else "",
        f"authorization {{ timeout: {timeout}",
        f"  auth_callout {{ issuer: {issuer.public}, account: AUTH",
        f"                 auth_users: [ {responder.public}, responder, {sys_user.public} ]",
        f"                 xkey: {xkey.public}" if xkey else "",
        "  } }",
        extra,
    ]
    return ConfigMode("\n".join(line for line in lines if line) + "\n", issuer, responder, sys_user)


@dataclass(frozen=True)
class OperatorMode:
    """Operator mode. `text` is the file; `creds` the responder's login, `sentinel` the clients'."""

    text: str
    auth: Pair
    app: Pair
    other: Pair
    auth_signing: Pair
    app_signing: Pair
    responder: Pair
    creds: str
    sentinel: str
    sentinel_creds: str
    sys_creds: str


_LIMITS = {
    "subs": -1,
    "data": -1,
    "payload": -1,
    "imports": -1,
    "exports": -1,
    "wildcards": True,
    "conn": -1,
    "leaf": -1,
}
_JETSTREAM = {"mem_storage": -1, "disk_storage": -1, "streams": -1, "consumer": -1}
_USER = {"subs": -1, "data": -1, "payload": -1, "type": "user"}
_NOTHING = {"pub": {"deny": [">"]}, "sub": {"deny": [">"]}}


def operator_mode(
    *,
    responder: Pair | None = None,
    xkey: Pair | None = None,
    timeout: float = 1.5,
    default_sentinel: bool = True,
    allowed_accounts: Sequence[str] | None = None,
    extra_auth_signing: Sequence[str] = (),
    extra_app_signing: Sequence[str] = (),
    tenants: Sequence[tuple[Pair, Pair]] = (),
    delegated: bool = True,
    creds_by_signing_key: bool = False,
    creds_expire_at: int | None = None,
    may_subscribe: Sequence[str] = ("$SYS.REQ.USER.AUTH", ERRORS, "_INBOX.>"),
    may_publish: Sequence[str] = (),
    system: Pair | None = None,
    system_exports: Sequence[Mapping[str, object]] = (),
    auth_imports: Sequence[Mapping[str, object]] = (),
    max_control_line: int | None = None,
    jetstream: bool = False,
    extra: str = "",
) -> OperatorMode:
    """Accounts AUTH (the callout's), APP (allowed), OTHER (not, unless named) and SYS, each with a signing key or none.

    `tenants` are further ones, each with its signing key, and allowed.

    The quick start's derived key is `responder.in_form(Kind.ACCOUNT)`, named in both `extra_…_signing`.
    """
    operator, auth, app, other, auth_signing, app_signing = (
        Pair.new(kind) for kind in (Kind.OPERATOR, *[Kind.ACCOUNT] * 5)
    )
    system = system or Pair.new(Kind.ACCOUNT)
    responder, sentinel, sys_user = responder or Pair.new(Kind.USER), Pair.new(Kind.USER), Pair.new(Kind.USER)

    def account(pair: Pair, name: str, signing: Sequence[str] = (), **more: object) -> str:
        limits = _LIMITS | (_JETSTREAM if jetstream and pair is not system else {})
        return mint(
            operator, pair.public, name, {"limits": limits, "signing_keys": list(signing), "type": "account"} | more
        )

    callout: dict[str, object] = {
        "auth_users": [responder.public],
        "allowed_accounts": [
            *([app.public] if allowed_accounts is None else allowed_accounts),
            *(tenant.public for tenant, _ in tenants),
        ],
    }
    if xkey:
        callout["xkey"] = xkey.public
    accounts = {
        system: account(system, "SYS", exports=[*system_exports]),
        auth: account(
            auth,
            "AUTH",
            [auth_signing.public, *extra_auth_signing],
            **({"authorization": callout} if delegated else {}),
            imports=[*auth_imports],
        ),
        app: account(app, "APP", [app_signing.public, *extra_app_signing]),
        other: account(other, "OTHER"),
        **{tenant: account(tenant, f"TENANT-{n}", [key.public]) for n, (tenant, key) in enumerate(tenants)},
    }
    may_answer: dict[str, object] = {"sub": {"allow": list(may_subscribe)}, "resp": {"max": 1, "ttl": 5_000_000_000}}
    may_answer["pub"] = {"allow": list(may_publish)} if may_publish else {}
    more: dict[str, object] = {"exp": creds_expire_at} if creds_expire_at else {}
    signed_for = {"issuer_account": auth.public} if creds_by_signing_key else {}
    login = mint(
        auth_signing if creds_by_signing_key else auth,
        responder.public,
        "responder",
        _USER | may_answer | signed_for,
        **more,
    )
    nobody = mint(auth, sentinel.public, "sentinel", _USER | _NOTHING | {"bearer_token": True})
    lines = [
        f"operator: {mint(operator, operator.public, 'OP', {'type': 'operator'})}",
        f"system_account: {system.public}",
        "resolver: MEMORY",
        "resolver_preload: {",
        *(f"  {pair.public}: {jwt}" for pair, jwt in accounts.items()),
        "}",
        'jetstream { store_dir: "@DIR@/js", max_mem: 10M, max_file: 10M }' if jetstream else "",
        f"max_control_line: {max_control_line}" if max_control_line else "",
        f"authorization {{ timeout: {timeout} }}",
        f"default_sentinel: {nobody}" if default_sentinel else "",
        extra,
    ]
    return OperatorMode(
        text="\n".join(line for line in lines if line) + "\n",
        auth=auth,
        app=app,
        other=other,
        auth_signing=auth_signing,
        app_signing=app_signing,
        responder=responder,
        creds=creds_text(login, responder),
        sentinel=nobody,
        sentinel_creds=creds_text(nobody, sentinel),
        sys_creds=creds_text(mint(system, sys_user.public, "sys", _USER | {"pub": {}, "sub": {}}), sys_user),
    )
