"""What came nearest, for whoever asks why not: a rule that nearly matches a workload, a ceiling that nearly has an entry."""

from collections.abc import Iterator, Sequence
from itertools import takewhile
from typing import NamedTuple

from nats_k8s_oidc_callout.core.grants import intents
from nats_k8s_oidc_callout.core.grants.filter import Side, trespass
from nats_k8s_oidc_callout.core.grants.globs import Glob
from nats_k8s_oidc_callout.core.grants.rules import Labels, Match, Rule
from nats_k8s_oidc_callout.core.grants.terms import Terms
from nats_k8s_oidc_callout.core.nats import subjects


class Nearest(NamedTuple):
    """A rule, and the condition of its match that does not hold."""

    rule: str
    why: str


def nearest(rules: Sequence[Rule], namespace: str, name: str, labels: Labels) -> Nearest | None:
    """Return the rule of which one condition fails and the most others hold, the first of several; None if there is none."""
    found, most = None, 0
    for rule in rules:
        conditions = list(_conditions(rule.match, namespace, name, labels))
        failing = [why for why in conditions if why]
        if len(failing) == 1 and len(conditions) > most:
            found, most = Nearest(rule.name, failing[0]), len(conditions)
    return found


def _conditions(match: Match, namespace: str, name: str, labels: Labels) -> Iterator[str]:
    """Yield for each condition why it fails, or an empty string."""
    if match.namespaces:
        yield _why_not("namespace", namespace, match.namespaces)
    if match.service_accounts:
        yield _why_not("ServiceAccount", name, match.service_accounts)
    for key, globs in match.labels:
        if key in labels:
            yield _why_not(f"label {key} of the namespace:", labels[key], globs)
        else:
            yield f"the namespace has no label {key}"


def _why_not(what: str, text: str, globs: Sequence[Glob]) -> str:
    if any(glob.match(text) is not None for glob in globs):
        return ""
    return f"{what} {text or 'without a value'} matches none of {', '.join(glob.text for glob in globs)}"


def nearest_ceiling(entry: str, side: Side | None, terms: Terms) -> str:
    """Return the ceiling that begins most like an annotation's entry; empty where no ceiling is why it is left out.

    Without a side it is an intent.
    """
    ceilings = terms.ceilings
    if ceilings is None:
        return ""
    if side is None:
        texts, problem = ceilings.jetstream, isinstance(intents.parse(entry), str)
    else:
        texts = ceilings.publish if side is Side.PUBLISH else ceilings.subscribe
        problem = bool(subjects.problem(entry) or trespass(entry, side, terms.jetstream_grants))
    return "" if problem or not texts else max(texts, key=lambda text: _in_common(text, entry))


def _in_common(one: str, other: str) -> int:
    same = takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))
    return sum(1 for _ in same)
