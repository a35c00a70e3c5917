"""What is made of the settings: above all what labels say of how grants are made."""

import pytest

from nats_k8s_oidc_callout.app.facts import facts_of, grants_of, policy_of
from nats_k8s_oidc_callout.core.grants.policy import Policy
from nats_k8s_oidc_callout.core.identity.keyset import KeySet
from nats_k8s_oidc_callout.core.kubernetes.serviceaccounts import Index
from tests.settings.whole import CONFIG, load

ON = CONFIG | {"SESSION_CONTROL": "on", "SESSION_RELEASE": "b"}


def mark(digest: str = "", **more: str) -> str:
    settings = load(ON | more)
    policy = policy_of(settings)
    return grants_of(settings, Policy(policy.rules, digest=digest)).policy_mark


def test_policy_mark_is_the_same_everywhere() -> None:
    """Two replicas with the same settings find the same mark, whatever version they are of."""
    assert "842317" == mark()
    assert mark("file") == mark("file", SESSION_RENEWAL="off", LOG_LEVEL="debug")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("NATS_ACCOUNT", "OTHER"),
        ("SESSION_MAX_SECONDS", "60"),
        ("INBOX_MODE", "private"),
        ("JETSTREAM_GRANTS", "admin"),
        ("REPLY_MODE", "none"),
        ("SA_ANNOTATION_PREFIX", "a.b/"),
    ],
)
def test_what_makes_grants_moves_it(name: str, value: str) -> None:
    """A setting that decides what is granted changes the mark, beside a file too: rules may be silent."""
    assert mark() != mark(**{name: value})
    assert mark("file") not in (mark(), mark("file", **{name: value}), mark("other"))


def test_how_many_answers_moves_it() -> None:
    """So do the numbers that go with the reply permission."""
    plain = mark(REPLY_MODE="responses")

    assert plain != mark(REPLY_MODE="responses", ALLOW_RESPONSES_MAX="2")
    assert plain != mark(REPLY_MODE="responses", ALLOW_RESPONSES_TTL_SECONDS="2")


@pytest.mark.parametrize(
    ("env", "labelled"),
    [
        pytest.param(ON, True, id="on"),
        pytest.param(ON | {"SESSION_CONTROL": "revoke"}, True, id="revoke"),
        pytest.param(ON | {"SESSION_CONTROL": "off"}, False, id="off"),
        pytest.param(ON | {"SESSION_LABEL": "off"}, False, id="no-labels"),
    ],
)
def test_labels_are_written_when_they_are_wanted(env: dict[str, str], labelled: bool) -> None:
    """Only with session control, and unless they are turned off."""
    facts = facts_of(load(env), KeySet(), Index("nats.io/"))

    assert (labelled, "b" if labelled else "") == (bool(facts.grants.policy_mark), facts.release)
