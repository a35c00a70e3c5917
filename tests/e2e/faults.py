"""Set-ups of NATS that do not work, one fault each: what the self-test must notice and doctor must name."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from nats_k8s_oidc_callout.core.nats.nkeys import Kind
from tests.e2e import plans
from tests.e2e.plans import Plan
from tests.fakes import nats_modes
from tests.fakes.nats_modes import AS_IN_THE_GUIDE, OperatorMode, Pair, config_mode, operator_mode
from tests.fakes.nats_tls import mint_tls


def _config(
    folder: Path, permissions: str = nats_modes.MAY_ANSWER, *, issuer: Pair | None = None, **variables: str
) -> Plan:
    """Config mode run by one creds file, whose user has these permissions; `issuer` stands in the server's file."""
    user = Pair.new(Kind.USER)
    mode = config_mode(responder=user, issuer=issuer or user.in_form(Kind.ACCOUNT), permissions=permissions)
    creds = plans.write_creds(folder / "responder.creds", plans.seed_as_creds(user))
    return Plan([mode.text], "APP", {}, {"NATS_ACCOUNT": "APP", "NATS_CREDS_FILE": creds, **variables})


def answers_refused(folder: Path) -> Plan:
    """The responder may hear requests and not answer them."""
    return _config(folder, '{ subscribe: ["$SYS.REQ.USER.AUTH", "_INBOX.>"], publish: { deny: ">" } }')


def other_issuer(folder: Path) -> Plan:
    """The server's file names another key than the one that signs."""
    return _config(folder, issuer=Pair.new(Kind.ACCOUNT))


def reversed_permissions(folder: Path) -> Plan:
    """The rights of the guide as given: publish what is to be subscribed."""
    return _config(folder, AS_IN_THE_GUIDE)


_RIGHTS = '{{ subscribe: ["{}", "$SYS.ACCOUNT.CLIENT.AUTH.ERR"], allow_responses: {{ max: 1, expires: "5s" }} }}'


def queue_only(folder: Path) -> Plan:
    """Nothing is wrong: the responder's user may subscribe in the one queue group only."""
    return _config(folder, _RIGHTS.format("$SYS.REQ.USER.AUTH nats-k8s-oidc-callout"))


def as_keys_prints(folder: Path) -> Plan:
    """Nothing is wrong: the responder's user has the permissions that the command `keys` prints, and no others."""
    return _config(folder, _RIGHTS.format("$SYS.REQ.USER.AUTH"), NATS_AUTH_ACCOUNT="AUTH")


def target_unknown(folder: Path) -> Plan:
    """The account that we place clients in is none of the server's."""
    plan = plans.config_creds(folder)
    return replace(plan, variables={**plan.variables, "NATS_ACCOUNT": "AP"})


def callout_off(folder: Path) -> Plan:
    """The server has the users and the accounts, but no auth_callout."""
    plan = plans.config_creds(folder)
    text = plan.texts[0]
    begin = text.index("  auth_callout {")
    end = text.index("} }", begin) + 1
    return replace(plan, texts=[text[:begin] + text[end:]])


def sealed_for_another(folder: Path) -> Plan:
    """The server seals for a key that is not ours."""
    mode = config_mode(xkey=Pair.new(Kind.CURVE))
    keys = {
        "NATS_SIGNING_KEY_FILE": plans.write_seeds(folder / "signing.seed", mode.issuer),
        "NATS_XKEY_FILE": plans.write_seeds(folder / "xkey.seed", Pair.new(Kind.CURVE)),
    }
    return Plan([mode.text], "APP", {}, {"NATS_ACCOUNT": "APP", **keys}, user=f"responder:{nats_modes.PASSWORD}@")


def _operator(
    folder: Path,
    *,
    callout: Pair | None = None,
    target: Pair | None = None,
    mode: OperatorMode | None = None,
    **options: Any,
) -> Plan:
    mode = mode or operator_mode(**options)
    found = {
        "NATS_ACCOUNT": mode.app.public,
        "NATS_CREDS_FILE": plans.write_creds(folder / "responder.creds", mode.creds),
        "NATS_SIGNING_KEY_FILE": plans.write_seeds(folder / "signing.seed", callout or mode.auth_signing),
        "NATS_ACCOUNT_SIGNING_KEY_FILE": plans.write_seeds(folder / "account.seed", target or mode.app_signing),
    }
    return Plan([mode.text], mode.app.public, {}, found)


def not_allowed(folder: Path) -> Plan:
    return _operator(folder, allowed_accounts=[Pair.new(Kind.ACCOUNT).public])


def callout_key_unknown(folder: Path) -> Plan:
    return _operator(folder, callout=Pair.new(Kind.ACCOUNT))


def target_key_unknown(folder: Path) -> Plan:
    return _operator(folder, target=Pair.new(Kind.ACCOUNT))


def sentinel_missing(folder: Path) -> Plan:
    return _operator(folder, default_sentinel=False)


def name_for_an_operator(folder: Path) -> Plan:
    """The servers are in operator mode, and NATS_ACCOUNT is a name."""
    plan = _operator(folder)
    return replace(plan, variables={"NATS_ACCOUNT": "APP", "NATS_CREDS_FILE": plan.variables["NATS_CREDS_FILE"]})


def separate_key_unused(folder: Path) -> Plan:
    """There is a signing key of its own, and `issuer` in the server's file still names the login's."""
    plan = plans.config_creds(folder)
    seed = plans.write_seeds(folder / "signing.seed", Pair.new(Kind.ACCOUNT))
    return replace(plan, variables={**plan.variables, "NATS_SIGNING_KEY_FILE": seed})


def _with_text(folder: Path, old: str, new: str) -> Plan:
    plan = plans.config_creds(folder)
    assert old in plan.texts[0]
    return replace(plan, texts=[plan.texts[0].replace(old, new)])


def callout_account_another(folder: Path) -> Plan:
    return _with_text(folder, "account: AUTH", "account: OTHER")


def not_in_auth_users(folder: Path) -> Plan:
    """Our user is there, and auth_users names others only."""
    plan = plans.config_creds(folder)
    text = plan.texts[0]
    begin = text.index("auth_users: [") + len("auth_users: [")
    return replace(plan, texts=[text[:begin] + " other ]" + text[text.index("]", begin) + 1 :]])


def wrong_password(folder: Path) -> Plan:
    plan = plans.config_xkey(folder)
    return replace(plan, user="responder:wrong-password@")


def scoped(folder: Path) -> Plan:
    """The target account knows our key as a scoped one."""
    key = Pair.new(Kind.ACCOUNT)
    template = {"pub": {"allow": ["x.>"]}, "sub": {"allow": ["x.>"]}, "subs": -1, "data": -1, "payload": -1}
    scope = {"kind": "user_scope", "key": key.public, "role": "r", "template": template}
    return _operator(folder, target=key, extra_app_signing=[scope])


def good_sentinel(folder: Path) -> Plan:
    """Nothing is wrong: the servers have no default sentinel, and we have one."""
    mode = operator_mode(default_sentinel=False)
    plan = _operator(folder, mode=mode)
    sentinel = plans.write_creds(folder / "sentinel.jwt", mode.sentinel)
    return replace(plan, variables={**plan.variables, "NATS_SENTINEL_CREDS_FILE": sentinel})


def other_ca(folder: Path) -> Plan:
    plan = plans.tls(folder)
    (folder / "other").mkdir()
    other = mint_tls(folder / "other")
    return replace(plan, variables={**plan.variables, "NATS_TLS_CA_FILE": str(other.path("ca.pem"))})


def no_certificate(folder: Path) -> Plan:
    plan = plans.tls(folder)
    return replace(plan, variables={n: t for n, t in plan.variables.items() if "CERT" not in n and "TLS_KEY" not in n})


def timeout_of(seconds: float) -> Any:
    def plan(folder: Path) -> Plan:
        return _with_text(folder, "timeout: 1.5", f"timeout: {seconds}")

    return plan
