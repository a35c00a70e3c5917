"""The check whether the login's own key still signs, although another one was meant to."""

from nats_k8s_oidc_callout.core.nats.signers import Origin
from nats_k8s_oidc_callout.doctor.diagnosis import Setup
from nats_k8s_oidc_callout.doctor.observed_login import Trial
from nats_k8s_oidc_callout.doctor.report import Cause, Finding, failed, ok, skipped


def signing_key(trial: Trial, setup: Setup) -> Finding:
    """Say whose key signs: config mode learns it from the server's question, operator mode chooses it."""
    check = "signing key"
    asked = trial.question.wants if trial.question else ""
    origin = next(iter(setup.origins.values()), None) if setup.operator else setup.origins.get(asked)
    if setup.derived and (setup.target_derived or not setup.operator):
        return skipped(check, "NATS_SIGNING_KEY_FILE is not set: the key of our login signs")
    if origin is None:
        return skipped(check, "unknown: no request of the server was seen that we could answer")
    if origin is not Origin.LOGIN_INSTEAD:
        return ok(check, "an account's own key" if origin is Origin.ACCOUNT else "a key of its own")
    if setup.operator:
        return failed(
            check,
            "the key of our login still signs for one of the two accounts: whoever holds the login can sign as well",
            Cause.LOGIN_STILL_SIGNS,
            fix="set both NATS_SIGNING_KEY_FILE and NATS_ACCOUNT_SIGNING_KEY_FILE to a key that is not the login's, then "
            "nsc edit account --name … --rm-sk <the login's key, in account form>, then push",
        )
    separate = next((key for key, whose in setup.origins.items() if whose is Origin.SEPARATE), "")
    return failed(
        check,
        f"the server asks for {asked}, the key of our login, and not for the one in NATS_SIGNING_KEY_FILE: whoever holds "
        "the login can sign as well",
        Cause.LOGIN_STILL_SIGNS,
        fix=f"issuer: {separate} in the server's auth_callout block, then restart it (docs/ROTATION.md)"
        if separate
        else "NATS_SIGNING_KEY_FILE holds the login's own key: make another one",
    )
