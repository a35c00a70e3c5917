"""Which rule came nearest to a workload that none matches: all but one of its conditions hold."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from nats_k8s_oidc_callout.core.grants.globs import Glob
from nats_k8s_oidc_callout.core.grants.rules import Labels, Match, Rule


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
