"""What a policy promises: nothing beyond root, own grants and roles, and what annotations ask for inside the ceilings."""

import random

from nats_k8s_oidc_callout.core.grants.annotations import compile_grant
from nats_k8s_oidc_callout.core.grants.terms import Terms
from nats_k8s_oidc_callout.core.model import Reason
from nats_k8s_oidc_callout.core.nats.subjects import subscribed
from tests.fakes.drawn_policies import UNIVERSE, draw
from tests.fakes.rules import PREFIX


def test_just_what_is_promised_is_allowed() -> None:
    """
    For random policies and annotations each subject of a small alphabet may be published and received, or not, as the
    texts say; to subscribe, a last `*` counts as `>`.
    """
    chance = random.Random(13)
    taken = left_out = 0
    turned = set()
    for _ in range(2_000):
        drawn = draw(chance)
        terms = drawn.policy.terms_of(drawn.namespace, drawn.name, drawn.labels)
        if isinstance(drawn.promised, Reason):
            assert drawn.promised == getattr(terms, "reason", None), drawn
            turned.add(drawn.promised)
            continue
        assert isinstance(terms, Terms), (drawn, terms)
        allowed = compile_grant(drawn.namespace, drawn.name, drawn.annotations, terms, PREFIX).permissions
        publish = UNIVERSE.union(allowed.publish) & ~UNIVERSE.union(allowed.deny_publish)
        subscribe = UNIVERSE.union(map(subscribed, allowed.subscribe)) & ~UNIVERSE.union(allowed.deny_subscribe)
        system = tuple({entry for entry in side if entry[0] in "$_"} for side in (allowed.publish, allowed.subscribe))

        assert drawn.promised.account == terms.account
        assert drawn.promised.publish == publish, (UNIVERSE.named(drawn.promised.publish ^ publish), drawn, allowed)
        assert drawn.promised.subscribe == subscribe, (
            UNIVERSE.named(drawn.promised.subscribe ^ subscribe),
            drawn,
            allowed,
        )
        assert drawn.promised.system == system, (drawn, allowed)
        taken, left_out = taken + drawn.promised.from_annotations, left_out + drawn.promised.left_out

    assert turned == {Reason.NO_RULE, Reason.REFUSED_BY_RULE, Reason.BAD_CAPTURE, Reason.NO_ACCOUNT}
    assert min(taken, left_out) > 1_000, (taken, left_out)
