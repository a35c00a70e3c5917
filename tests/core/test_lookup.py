"""Which rules are tried for a workload."""

import random

from nats_k8s_oidc_callout.core.grants.globs import Glob
from nats_k8s_oidc_callout.core.grants.lookup import Lookup
from nats_k8s_oidc_callout.core.grants.rules import Match

GLOBS = [
    (),
    *((Glob.of(text),) for text in ("a", "a-b", "a*", "a-*", "*-b", "{x}-{y}")),
    (Glob.of("b"), Glob.of("a-*")),
]


def test_no_rule_that_matches_is_left_out() -> None:
    """All that match are tried, in order; with labels that are not known, all that they might match."""
    chance = random.Random(5)
    tried = 0
    for _ in range(500):
        labels = [
            tuple((key, chance.choice(GLOBS[1:])) for key in chance.sample("kl", chance.randrange(3))) for _ in "123456"
        ]
        matches = [Match(chance.choice(GLOBS), chance.choice(GLOBS), label) for label in labels]
        lookup = Lookup(matches)
        for namespace in ("a", "b", "a-b", "a-c", "b-b"):
            name, known = chance.choice(["a", "b", "a-b"]), {key: chance.choice(["a", "b", "a-b", ""]) for key in "k"}
            found, unknown = lookup.candidates(namespace, name, known), lookup.candidates(namespace, name, None)
            by_name = {n for n, match in enumerate(matches) if match.of(namespace, name) is not None}

            assert sorted({*found}) == found
            assert by_name <= set(unknown)
            assert {n for n in by_name if matches[n].of_labels(known) is not None} <= set(found)
            tried += len(found)

    assert tried < 500 * 5 * 6 * 0.7


def test_a_rule_is_found_by_what_tells_it_from_others() -> None:
    """
    Of a glob that all rules have and a label that is each one's own, the label finds it; else the longer beginning.
    Without a beginning it is the text within.
    """
    team = Lookup([Match((Glob.of("team-*"),), labels=(("team", (Glob.of(f"t{n}"),)),)) for n in range(9)])
    stage = Lookup([Match((Glob.of(f"{n}-*"),), labels=(("stage", (Glob.of("prod"),)),)) for n in range(9)])
    ends = Lookup([Match((Glob.of(f"*-{n}-*"), Glob.of(f"own-{n}"))) for n in range(9)])
    names = Lookup([Match(service_accounts=(Glob.of(f"app-{n}"),)) for n in range(9)])

    assert [4] == team.candidates("team-x", "web", {"team": "t4"})
    assert [] == team.candidates("team-x", "web", {})
    assert [4] == stage.candidates("4-x", "web", {"stage": "prod"})
    assert ([4], [5], []) == tuple(ends.candidates(text, "web", {}) for text in ("a-4-b", "own-5", "b-44"))
    assert [4] == names.candidates("shop", "app-4", {})
