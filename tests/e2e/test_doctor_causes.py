"""doctor names the cause: each fault made for real, on both ends of the supported servers, and compared exactly."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nats_k8s_oidc_callout.doctor import Report
from tests.e2e import faults, plans
from tests.e2e.examinations import beside_a_responder, causes
from tests.e2e.plans import Plan
from tests.e2e.worlds import BINARIES, world_of
from tests.side_by_side import side_by_side

pytestmark = pytest.mark.e2e

Fault = Callable[[Path], Plan]


FAULTS = [
    # Nothing is wrong
    pytest.param(plans.config_creds, [], id="config"),
    pytest.param(plans.config_xkey, [], id="config-sealed"),
    pytest.param(plans.operator_signing, [], id="operator-sealed"),
    pytest.param(faults.good_sentinel, [], id="operator-with-a-sentinel"),
    pytest.param(plans.tls, [], id="tls"),
    pytest.param(faults.queue_only, [], id="permission-for-the-queue-group-alone"),
    pytest.param(faults.as_keys_prints, [], id="permissions-as-keys-prints-them"),
    # The way to the server, and in
    pytest.param(faults.other_ca, ["nats_tls_ca_wrong"], id="tls-ca-wrong"),
    pytest.param(faults.no_certificate, ["nats_tls_refused"], id="tls-client-certificate-missing"),
    pytest.param(faults.wrong_password, ["login_refused"], id="login-refused"),
    pytest.param(faults.foreign_creds, ["login_refused"], id="login-refused-by-operator"),
    pytest.param(faults.name_for_an_operator, ["mode_wrong"], id="a-name-for-operator-mode"),
    pytest.param(faults.key_for_a_file, ["mode_wrong"], id="a-public-key-for-config-mode"),
    pytest.param(faults.not_in_auth_users, ["auth_users_without_us", "login_unknown"], id="auth-users-without-us"),
    pytest.param(faults.reversed_permissions, ["permissions_reversed"], id="permissions-reversed"),
    pytest.param(faults.nothing_permitted, ["subscription_refused"], id="nothing-permitted"),
    pytest.param(faults.answers_refused, ["answers_not_let_through"], id="answers-not-let-through"),
    # Whether we are asked, and what
    pytest.param(faults.no_login_wanted, ["callout_not_enabled"], id="no-login-wanted"),
    pytest.param(faults.callout_off, ["callout_not_enabled", "callout_account_unknown"], id="callout-not-enabled"),
    pytest.param(
        faults.callout_account_undefined,
        ["callout_not_enabled", "callout_account_unknown"],
        id="callout-account-misspelt-to-nothing",
    ),
    pytest.param(faults.callout_account_another, ["callout_account_misspelt"], id="callout-account-misspelt"),
    pytest.param(faults.operator_off, ["callout_not_enabled"], id="operator-callout-not-enabled"),
    pytest.param(faults.operator_misspelt, ["callout_account_misspelt"], id="operator-callout-account-misspelt"),
    pytest.param(faults.other_issuer, ["server_issuer_wrong"], id="issuer-in-the-server-file-wrong"),
    pytest.param(faults.separate_key_unused, ["login_still_signs"], id="separate-key-that-no-server-uses"),
    pytest.param(faults.separate_key_for_one_account, ["login_still_signs"], id="separate-key-for-one-account"),
    pytest.param(faults.xkey_at_server_only, ["xkey_at_server_only"], id="xkey-at-the-server-only"),
    pytest.param(faults.xkey_here_only, ["xkey_at_responder_only"], id="xkey-at-the-responder-only"),
    pytest.param(faults.sealed_for_another, ["xkey_of_another"], id="xkey-of-another"),
    pytest.param(faults.sentinel_missing, ["sentinel_missing"], id="sentinel-missing"),
    pytest.param(faults.sentinel_not_bearer, ["sentinel_not_bearer"], id="sentinel-not-bearer"),
    pytest.param(faults.sentinel_may_read, ["sentinel_not_denied_everything"], id="sentinel-not-denied-everything"),
    pytest.param(
        faults.sentinel_of_another_account,
        ["sentinel_of_another_account", "sentinel_refused"],
        id="sentinel-of-another-account",
    ),
    # What becomes of the answer
    pytest.param(faults.target_unknown, ["target_account_unknown"], id="target-account-unknown"),
    pytest.param(faults.operator_target_unknown, ["target_account_unknown"], id="operator-target-account-unknown"),
    pytest.param(faults.not_allowed, ["target_not_allowed"], id="target-not-allowed"),
    pytest.param(faults.target_key_unknown, ["signing_key_of_another_account"], id="signing-key-of-another-account"),
    pytest.param(faults.operator_derived, ["derived_key_not_in_account"], id="derived-key-not-in-account"),
    pytest.param(faults.scoped, ["scoped_signing_key"], id="scoped-signing-key"),
    # Time
    pytest.param(faults.timeout_of(4), ["timeout_over_2s"], id="timeout-over-2s"),
    pytest.param(faults.timeout_of(0.8), ["timeout_shorter_than_ours"], id="timeout-shorter-than-ours"),
]


def one_fault(plan: Fault, binary: str) -> Report:
    with world_of(plan, binary) as world:
        return beside_a_responder(world)


@pytest.fixture(scope="module")
def reports(request: pytest.FixtureRequest) -> Iterator[Callable[[tuple[Fault, str]], Report]]:
    """Say what doctor finds in a world with one fault."""
    yield from side_by_side(
        request,
        test_cause_is_named.__name__,
        lambda params: (params["plan"], str(BINARIES[params["binary"]]())),
        lambda case: one_fault(*case),
        at_once=3,
    )


@pytest.mark.parametrize(("plan", "expected"), FAULTS)
def test_cause_is_named(
    plan: Fault,
    expected: list[str],
    binary: str,
    reports: Callable[[tuple[Fault, str]], Report],
) -> None:
    """
    Beside a running responder, exactly the causes of this one fault are named, each with what to do about it.
    """
    report = reports((plan, binary))

    assert expected == causes(report), report
    assert bool(expected) != report.ok
    assert all(finding.fix for finding in report.findings if finding.causes)


def test_callout_key_of_another_account(binary: str) -> None:
    """
    A response signed by a key that the callout account does not have is refused from 2.12 on; 2.11 lets it in.
    """
    with world_of(faults.callout_key_unknown, binary) as world:
        found = causes(beside_a_responder(world))
        accepted = world.version.startswith("2.11.")

    assert ([] if accepted else ["signing_key_of_another_account"]) == found
