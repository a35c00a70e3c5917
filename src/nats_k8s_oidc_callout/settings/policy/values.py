"""One value of a policy file: a node in, its type out, or None and a finding. Whatever a rule means is rules."""

import re
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from ipaddress import ip_network

from nats_k8s_oidc_callout.core.grants import intents
from nats_k8s_oidc_callout.core.grants.globs import VARIABLE, Glob
from nats_k8s_oidc_callout.core.grants.templates import Template
from nats_k8s_oidc_callout.core.grants.terms import Network
from nats_k8s_oidc_callout.core.nats import subjects
from nats_k8s_oidc_callout.errors import BadGlob, BadTemplate
from nats_k8s_oidc_callout.settings.policy.findings import Findings
from nats_k8s_oidc_callout.settings.policy.strict import Node

_UNITS = {"s": 1, "m": 60, "h": 3600}
_ACCOUNT = re.compile(r"[^\s*>\x00-\x1f\x7f]+")
# Stands for a variable where a text is looked at before it is filled: as a token, and as part of a name.
_FILLED = "x"


def items(node: Node | None) -> list[Node]:
    """Return the nodes of a list; a text alone is a list of one."""
    if node is None:
        return []
    return node.value if isinstance(node.value, list) else [node]


def entries(node: Node | None) -> dict[str, Node]:
    """Return what a map holds."""
    return node.value if node is not None and isinstance(node.value, dict) else {}


def seconds(node: Node, where: str, allowed: range, found: Findings) -> int | None:
    """Return a duration in seconds."""
    text = str(node.value)
    number = int(text[:-1]) * _UNITS[text[-1]]
    if number in allowed:
        return number
    found.add(node.line, "E07", f"{where} {text} must be {allowed[0]}s to {allowed[-1] // 3600}h")
    return None


def moment(node: Node | None, where: str, found: Findings) -> float | None:
    """Return a time in Unix seconds."""
    if node is None:
        return None
    try:
        return datetime.fromisoformat(str(node.value)).timestamp()
    except ValueError:
        found.add(node.line, "E05", f"{where} {node.value} is no time that there is")
        return None


def network(node: Node, found: Findings) -> Network | None:
    """Return the addresses of a CIDR."""
    text = str(node.value)
    try:
        if "/" not in text:
            raise ValueError("a CIDR has a / and the bits of its prefix")
        return ip_network(text)
    except ValueError as error:
        found.add(node.line, "E07", f"networks {_quoted(text)}: {error}")
        return None


def glob(node: Node, where: str, found: Findings) -> Glob | None:
    """Return a glob."""
    try:
        return Glob.of(str(node.value))
    except BadGlob as error:
        found.add(node.line, "E08", f"{where} {_quoted(node.value)} {error}")
        return None


def subject(node: Node, where: str, found: Findings) -> Template | None:
    """Return a subject whose variables are whole tokens."""
    return _template(node, where, found, _problems_of_subject)


def root(node: Node, found: Findings) -> Template | None:
    """Return a root, which is a subject without wildcards."""
    return _template(node, "root", found, _problems_of_root)


def ceiling(node: Node, found: Findings) -> Template | None:
    """Return how far annotations may go that ask to subscribe."""
    template = subject(node, "annotations.subscribe", found)
    if template is None or (reach := subjects.subscribed(template.text)) == template.text:
        return template
    why = f"a client may subscribe {_quoted(reach)} under it; write {_quoted(reach)}"
    found.add(node.line, "E13", f"annotations.subscribe {_quoted(node.value)}: {why}")
    return None


def account(node: Node, found: Findings) -> Template | None:
    """Return the name of an account."""
    return _template(node, "account", found, _problems_of_account)


def intent(node: Node, where: str, found: Findings, *, is_ceiling: bool = False) -> Template | None:
    """Return an intent; in a ceiling the stream or bucket may be a glob."""
    return _template(node, where, found, partial(_problems_of_intent, is_ceiling=is_ceiling))


def _template(
    node: Node, where: str, found: Findings, problems: Callable[[Template], Iterator[tuple[str, str]]]
) -> Template | None:
    """Return a text with variables; tell the first of its `problems`, each a code and why."""
    try:
        template = Template.of(str(node.value))
    except BadTemplate as error:
        found.add(node.line, "E10", f"{where} {_quoted(node.value)} {error}")
        return None
    for code, why in problems(template):
        found.add(node.line, code, f"{where} {_quoted(node.value)} {why}")
        return None
    return template


def _problems_of_subject(template: Template) -> Iterator[tuple[str, str]]:
    if why := _misplaced(template):
        yield "E11", why
    elif why := subjects.problem(VARIABLE.sub(_FILLED, template.text)):
        yield "E14", why


def _problems_of_root(template: Template) -> Iterator[tuple[str, str]]:
    yield from _problems_of_subject(template)
    if not all(map(subjects.is_literal, template.text.split("."))):
        yield "E14", "has a wildcard, but is a beginning: it grants `<root>.>`"
    if "root" in template.names:
        yield "E10", "is made of itself"


def _problems_of_account(template: Template) -> Iterator[tuple[str, str]]:
    if not _ACCOUNT.fullmatch(template.text):
        yield "E20", "is no name: it has white space or a wildcard"
    if why := _unsafe(template):
        yield "E12", why


def _problems_of_intent(template: Template, *, is_ceiling: bool) -> Iterator[tuple[str, str]]:
    text = template.text
    verb, _, rest = text.partition(":")
    names, filters = (
        ([], rest) if verb == intents.PUBLISH else (rest.split("/", 2)[:2], "/".join(rest.split("/", 2)[2:]))
    )
    if "{" in verb:
        yield "E15", "has a variable for a verb"
    for name in names:
        if why := _unsafe(Template.of(name)):
            yield "E12", why
    if why := _misplaced(Template.of(filters)):
        yield "E11", why
    filled = VARIABLE.sub(_FILLED, text)
    problem = intents.problem_of_ceiling(filled) if is_ceiling else intents.parse(filled)
    if problem and isinstance(problem, str):
        yield "E15", problem


def _misplaced(template: Template) -> str:
    """Return why a variable could be more than one token of a subject, or nothing."""
    return "" if template.whole_tokens() else "has a variable that is not a whole token: its value could be read on"


def _unsafe(template: Template) -> str:
    """Return why two workloads could meet in this name, or nothing."""
    if "root" in template.names:
        return "has {root}, which may have dots"
    if len(template.variables) > 1:
        return "has two variables: the values x-y and z would meet x and y-z"
    return (
        "" if template.guarded() else "has a variable beside a *, where _ must end its value, and begin it behind a *"
    )


def _quoted(text: object) -> str:
    return f'"{text}"'
