"""What the variables must be to each other, and the defaults that follow from other variables or from files.

Each function looks at a draft, in which variables that are bad stand at their defaults, and returns the fields that it
settled. What NATS demands in the two modes: NATS_FACTS 2.3, 4.1, 5.1.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nats_k8s_oidc_callout.core.identity.own_token import Trust, trust_for
from nats_k8s_oidc_callout.core.nats.names import GLOBAL_ACCOUNT, SYSTEM_ACCOUNTS
from nats_k8s_oidc_callout.core.nats.natsjwt import Creds
from nats_k8s_oidc_callout.settings import keyfiles, values
from nats_k8s_oidc_callout.settings.choices import Mode
from nats_k8s_oidc_callout.settings.findings import Findings
from nats_k8s_oidc_callout.settings.kubernetes import KUBERNETES_ISSUER, KUBERNETES_JWKS_URL, KubernetesVariables
from nats_k8s_oidc_callout.settings.nats import QUEUE_GROUP, NatsVariables
from nats_k8s_oidc_callout.settings.permissions import PermissionVariables

# Past this, clients take the server's first PING for the answer to their login.
_LONG_TIMEOUT_SECONDS = 2.0

# Whose keys sign, beside the seed of the login.
_SIGNERS = {
    Mode.CONFIG: ("NATS_SIGNING_KEY_FILE",),
    Mode.OPERATOR: ("NATS_SIGNING_KEY_FILE", "NATS_ACCOUNT_SIGNING_KEY_FILE"),
}

Settled = dict[str, Any]


def queue_group(account: str, namespaces: Sequence[str]) -> str:
    """Return the default queue group: one for each account and set of namespaces, one for all that are not scoped."""
    if not namespaces:
        return QUEUE_GROUP
    scope = "".join(f"{part}\n" for part in (account, *sorted(namespaces)))
    return f"{QUEUE_GROUP}.{hashlib.sha256(scope.encode()).hexdigest()[:8]}"


def nats(draft: NatsVariables, namespaces: Sequence[str], shadow: bool, found: Findings) -> Settled:
    """Login, signing keys, accounts and encryption."""
    creds = found.contents("NATS_CREDS_FILE", draft.nats_creds_file, keyfiles.read_creds)
    found.contents("NATS_SIGNING_KEY_FILE", draft.nats_signing_key_file, keyfiles.read_signing_keys)
    found.contents("NATS_ACCOUNT_SIGNING_KEY_FILE", draft.nats_account_signing_key_file, keyfiles.read_signing_keys)
    found.contents("SELF_TEST_TOKEN_FILE", draft.self_test_token_file, keyfiles.check_self_test_token)
    found.contents("NATS_SENTINEL_CREDS_FILE", draft.nats_sentinel_creds_file, keyfiles.read_sentinel)
    _login(draft, found)
    _encryption(draft, found)
    settled: Settled = {"nats_token": draft.nats_token or draft.nats_url.token}
    if not found.is_set("NATS_ACCOUNT"):
        found.problem("NATS_ACCOUNT", "is required: the account that clients land in, its public key (A…) or its name")
    if found.is_good("NATS_ACCOUNT"):
        operator = draft.mode is Mode.OPERATOR
        settled["nats_auth_account"] = _operator_mode(draft, creds, found) if operator else _config_mode(draft, found)
        _accounts(draft.nats_account, settled["nats_auth_account"], found)
        for variable in () if shadow else _SIGNERS[draft.mode]:
            _derived_key(variable, found)
    group = draft.nats_queue_group or queue_group(draft.nats_account, namespaces)
    # Never the group of those who answer: a shadow would take their requests away from them.
    settled["nats_queue_group"] = f"{group}.shadow" if shadow else group
    if shadow:
        found.warn("SHADOW", "is true, so nobody is answered; another responder must do that")
        if found.is_set("SELF_TEST_TOKEN_FILE"):
            found.warn("SELF_TEST_TOKEN_FILE", "has no effect with SHADOW")
    if draft.nats_auth_timeout_seconds > _LONG_TIMEOUT_SECONDS:
        found.warn("NATS_AUTH_TIMEOUT_SECONDS", "over 2 s clients misread the server's first PING; 1.5 is recommended")
    return settled


def _login(draft: NatsVariables, found: Findings) -> None:
    logins = [name for name in ("NATS_CREDS_FILE", "NATS_TOKEN") if found.is_set(name)]
    logins += ["NATS_URL"] if draft.nats_url.has_login() else []
    if len(logins) > 1:
        others = ("the user info in NATS_URL" if name == "NATS_URL" else name for name in logins[1:])
        found.problem(logins[0], f"excludes {' and '.join(others)}: one login only")
    if not logins and found.is_good("NATS_URL") and not draft.nats_tls_cert_file:
        found.warn("NATS_CREDS_FILE", "no login is set, nor NATS_TOKEN or user info in NATS_URL")


def _encryption(draft: NatsVariables, found: Findings) -> None:
    found.contents("NATS_XKEY_FILE", draft.nats_xkey_file, keyfiles.read_xkeys)
    if found.is_set("NATS_XKEY_MODE") and found.is_good("NATS_XKEY_MODE") and not found.is_set("NATS_XKEY_FILE"):
        # Somebody who asks for encryption must not silently run without.
        found.problem("NATS_XKEY_MODE", "wants NATS_XKEY_FILE")
    found.contents("NATS_TLS_CA_FILE", draft.nats_tls_ca_file, keyfiles.check_certificates)
    found.contents("NATS_TLS_CERT_FILE", draft.nats_tls_cert_file, keyfiles.check_certificates)
    found.contents("NATS_TLS_KEY_FILE", draft.nats_tls_key_file, keyfiles.check_private_key)
    pair = "NATS_TLS_CERT_FILE", "NATS_TLS_KEY_FILE"
    for one, other in (pair, pair[::-1]):
        if found.is_set(one) and not found.is_set(other):
            found.problem(one, f"wants {other}")


def _config_mode(draft: NatsVariables, found: Findings) -> str:
    """Return the name of the callout account, if we were told."""
    if values.looks_like_account_key(draft.nats_auth_account):
        found.problem("NATS_AUTH_ACCOUNT", "is a public key (operator mode), but NATS_ACCOUNT a name (config mode)")
    if found.is_set("NATS_ACCOUNT_SIGNING_KEY_FILE"):
        found.warn("NATS_ACCOUNT_SIGNING_KEY_FILE", "has no effect in config mode (NATS_ACCOUNT is a name)")
    if found.is_set("NATS_ACCOUNTS_DIR"):
        # No mere warning: whoever sets it takes it for the list of accounts that are open.
        found.problem(
            "NATS_ACCOUNTS_DIR",
            "is for operator mode: in config mode one issuer signs for all accounts, and the folder would keep nobody out",
        )
    if found.is_set("NATS_SENTINEL_CREDS_FILE"):
        found.warn("NATS_SENTINEL_CREDS_FILE", "has no effect in config mode, which knows no sentinel")
    if found.is_set("POLICY_FILE") and not found.is_set("NATS_AUTH_ACCOUNT"):
        found.warn(
            "NATS_AUTH_ACCOUNT",
            "is not set: a policy's template could place clients in the callout account, whose name nats-server 2.11 "
            "does not tell us",
        )
    return draft.nats_auth_account


def _operator_mode(draft: NatsVariables, creds: Creds | None, found: Findings) -> str:
    """Return the public key of the callout account."""
    if draft.nats_accounts_dir is not None:
        found.folder("NATS_ACCOUNTS_DIR", draft.nats_accounts_dir)
        if not found.is_set("POLICY_FILE"):
            found.warn("NATS_ACCOUNTS_DIR", "has no effect without POLICY_FILE: everybody lands in NATS_ACCOUNT")
    if creds is not None and not creds.jwt:
        found.problem("NATS_CREDS_FILE", "operator mode needs a whole creds file; this one holds a seed only")
    own = creds.account if creds else ""
    account = draft.nats_auth_account
    if account and not values.looks_like_account_key(account):
        found.problem("NATS_AUTH_ACCOUNT", "must be a public key (A…), as NATS_ACCOUNT is one (operator mode)")
    elif account and own and account != own:
        found.warn("NATS_AUTH_ACCOUNT", "is not the account of NATS_CREDS_FILE, where the servers will look for us")
    elif not found.is_set("NATS_AUTH_ACCOUNT") and not found.is_set("NATS_CREDS_FILE"):
        found.problem("NATS_AUTH_ACCOUNT", "is required in operator mode without NATS_CREDS_FILE")
    return account or own


def _derived_key(variable: str, found: Findings) -> None:
    """Without a key of its own the login's seed signs: fine for a start, if there is one."""
    if found.is_set(variable):
        return
    if found.is_set("NATS_CREDS_FILE"):
        found.warn(
            variable,
            "is not set, so the seed of the login signs in account form; a separate key is recommended, since whoever "
            "holds the login can then sign as well",
        )
    else:
        found.problem(variable, "is required without NATS_CREDS_FILE")


def _accounts(target: str, callout: str, found: Findings) -> None:
    if target in SYSTEM_ACCOUNTS:
        found.problem("NATS_ACCOUNT", "is the system account, where no client may land")
    elif target == GLOBAL_ACCOUNT and callout in ("", GLOBAL_ACCOUNT):
        found.warn(
            "NATS_ACCOUNT",
            "$G is the callout account too, unless the servers say otherwise: every client there can read the tokens "
            "of the others; for tests only",
        )
    elif target == callout:
        found.problem("NATS_ACCOUNT", "is the callout account, where every client could read the tokens of the others")


def kubernetes(draft: KubernetesVariables, found: Findings) -> Settled:
    """Which cluster, whose ServiceAccounts, whose keys."""
    settled = _cluster(draft, found)
    own_token = found.peek(draft.k8s_credentials_dir / "token")
    own_issuer = keyfiles.own_issuer(own_token or b"")
    settled["jwt_issuer"] = draft.jwt_issuer or (own_issuer or KUBERNETES_ISSUER,)
    if settled["kubeconfig"] and not draft.jwt_issuer and not own_issuer:
        found.warn(
            "JWT_ISSUER",
            f"is not set, and {KUBERNETES_ISSUER} is a guess outside a cluster; compare: "
            "kubectl get --raw /.well-known/openid-configuration",
        )
    settled["jwks_url"] = _keys(draft, settled, found)
    if settled["k8s_in_cluster"] and (not draft.service_accounts_dir or _asks_api_server(draft, settled["jwks_url"])):
        _credentials(draft, found)
    if draft.service_accounts_dir:
        found.folder("SERVICE_ACCOUNTS_DIR", draft.service_accounts_dir)
        found.warn("SERVICE_ACCOUNTS_DIR", "is the only source; manifests without a uid are matched by name alone")
    return settled


def _asks_api_server(draft: KubernetesVariables, url: str) -> bool:
    return bool(url) and trust_for(url, draft.kubernetes_service_host, draft.kubernetes_service_port) is Trust.CLUSTER


def _credentials(draft: KubernetesVariables, found: Findings) -> None:
    if found.is_good("K8S_CREDENTIALS_DIR"):
        found.contents("K8S_CREDENTIALS_DIR", draft.k8s_credentials_dir / "token", keyfiles.check_token)
        found.contents("K8S_CREDENTIALS_DIR", draft.k8s_credentials_dir / "ca.crt", keyfiles.check_certificates)


def _cluster(draft: KubernetesVariables, found: Findings) -> Settled:
    in_cluster = draft.k8s_in_cluster
    if in_cluster is None:
        in_cluster = bool(draft.kubernetes_service_host)
    if in_cluster:
        if found.is_set("KUBECONFIG"):
            found.warn("KUBECONFIG", "has no effect in a cluster; K8S_IN_CLUSTER=false makes it count")
        return {"k8s_in_cluster": True, "kubeconfig": ""}
    if draft.service_accounts_dir and (draft.jwks_file or draft.jwks_url):
        # Nothing to ask a cluster for. A developer's kubeconfig may well name a production cluster.
        return {"k8s_in_cluster": False, "kubeconfig": ""}
    kubeconfig = draft.kubeconfig
    if kubeconfig:
        # As for kubectl, some files of the list may be missing.
        if all(found.peek(Path(path)) is None for path in kubeconfig.split(":") if path):
            found.problem("KUBECONFIG", f"{kubeconfig} cannot be read")
    elif draft.home and not draft.service_accounts_dir and found.peek(draft.home / ".kube" / "config") is not None:
        kubeconfig = str(draft.home / ".kube" / "config")
    sources = "K8S_IN_CLUSTER", "KUBERNETES_SERVICE_HOST", "KUBECONFIG", "SERVICE_ACCOUNTS_DIR"
    if not kubeconfig and not draft.service_accounts_dir and found.is_good(*sources):
        found.problem(
            "SERVICE_ACCOUNTS_DIR",
            "no source of ServiceAccounts: this is no pod (KUBERNETES_SERVICE_HOST is not set), KUBECONFIG is not set, "
            "and there is no folder of manifests",
        )
    return {"k8s_in_cluster": False, "kubeconfig": kubeconfig}


def _keys(draft: KubernetesVariables, settled: Settled, found: Findings) -> str:
    """Return the URL of the issuer's keys; empty for a file, and for the server in a kubeconfig."""
    if found.is_set("JWKS_URL") and found.is_set("JWKS_FILE"):
        found.problem("JWKS_URL", f"is set and {found.names['JWKS_FILE']} too; one of them only")
    found.contents("JWKS_CA_FILE", draft.jwks_ca_file, keyfiles.check_certificates)
    found.contents("JWKS_FILE", draft.jwks_file, keyfiles.check_jwks)
    if found.is_set("JWKS_CA_FILE") and found.is_good("JWKS_URL") and not draft.jwks_url:
        found.warn("JWKS_CA_FILE", "has no effect without JWKS_URL")
    if found.is_set("JWKS_FILE") or found.is_set("JWKS_URL"):
        return draft.jwks_url
    if settled["k8s_in_cluster"]:
        return KUBERNETES_JWKS_URL
    if not settled["kubeconfig"] and draft.service_accounts_dir:
        found.problem("JWKS_FILE", "is required without a cluster, or JWKS_URL")
    return ""


def permissions(draft: PermissionVariables, found: Findings) -> None:
    """What is void without another variable, and what is not wrong but should be known."""
    if draft.inbox_mode == "shared" and found.is_good("INBOX_MODE"):
        found.warn("INBOX_MODE", "is shared, so every workload of an account can read every reply in it; see private")
    if found.is_good("REPLY_MODE"):
        _replies(draft, found)
    if draft.jetstream_grants == "admin":
        found.warn("JETSTREAM_GRANTS", "is admin: by a stream, whoever may annotate a ServiceAccount can read all")


def _replies(draft: PermissionVariables, found: Findings) -> None:
    if draft.reply_mode == "responses":
        found.warn(
            "REPLY_MODE",
            "is responses, so a workload can publish on every subject of its account: it answers a message that it sent to "
            "itself, with a reply subject of its choice",
        )
        return
    for variable in ("ALLOW_RESPONSES_MAX", "ALLOW_RESPONSES_TTL_SECONDS"):
        if found.is_set(variable) and found.is_good(variable):
            found.problem(variable, f"is for REPLY_MODE=responses only, and REPLY_MODE is {draft.reply_mode.value}")
    if draft.reply_mode == "inbox":
        found.warn(
            "REPLY_MODE",
            "is inbox, so the inbox prefix _INBOX_<namespace>_<name> gets no answer (only with responses): clients use "
            "_INBOX_SA.<namespace>.<name>",
        )
    else:
        found.warn("REPLY_MODE", "is none, so no workload may answer into an inbox")
