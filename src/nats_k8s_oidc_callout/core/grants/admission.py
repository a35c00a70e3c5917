"""What Kubernetes itself refuses in an annotation: a ValidatingAdmissionPolicy, made from the tables of `filter`.

Whoever annotates a ServiceAccount then hears at once what would be left out at every login. The login service judges
all the same and alone decides, so an error in here never stops a change (`failurePolicy: Ignore`). Not judged is what
an annotation does not say itself: the ceilings of a policy file, how many entries the platform gives beside it, how
long those get that an intent comes to, which inboxes a workload has anyway. An entry written twice counts twice.

The API server computes at most 1,000,000 units an expression (k8s.io/apiserver, `PerCallLimit`): a character costs 0.1
for each four characters of a regular expression. So no annotation is looked at beyond what is read of it, and the
tables come in pieces.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from nats_k8s_oidc_callout.core.grants import entries, intents
from nats_k8s_oidc_callout.core.grants import filter as reach
from nats_k8s_oidc_callout.core.grants.annotations import MAX_ENTRIES
from nats_k8s_oidc_callout.core.grants.filter import JetStreamGrants, Side
from nats_k8s_oidc_callout.core.names import PROGRAM
from nats_k8s_oidc_callout.core.nats import subjects

Object = dict[str, Any]

LITERAL = r"[!-)+\-/-=?-~]+"
"""A token that is no wildcard, for RE2 and Python alike."""
WELL_FORMED = rf"(?:>|(?:\*|{LITERAL})(?:\.(?:\*|{LITERAL}))*(?:\.>)?)"
"""A subject: `subjects` has the same for Python alone, which is faster."""
# As `intents` has it: `_` alone is no name.
_NAME = r"(?:[A-Za-z0-9-]|_[A-Za-z0-9_-])[A-Za-z0-9_-]*"
_OTHER_VERBS = "|".join(verb for verb in intents.VERBS if verb not in (intents.PUBLISH, intents.LOOKUP, "consume"))
INTENT = rf"(?:lookup|publish:{WELL_FORMED}|(?:{_OTHER_VERBS}):{_NAME}|consume:{_NAME}(?:/[A-Za-z0-9_-]+(?:/{WELL_FORMED})?)?)"
# What `str.strip` takes away, without the comma and the newline that end an entry.
_SPACE = r"\x09\x0b-\x0d\x1c-\x20\x85\xa0\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}"
ENTRY = rf"[^,\n{_SPACE}](?:[^,\n]*[^,\n{_SPACE}])?"
"""What `entries.split` finds in an annotation."""
# 72 KiB against so many characters cost 820,000 units.
_EXPRESSION_CHARACTERS = 440
_SHOWN_CHARACTERS = 100


def policy(prefix: str, grants: JetStreamGrants, name: str = PROGRAM) -> Object:
    """Return the ValidatingAdmissionPolicy for annotations under this prefix."""
    variables = [{"name": "prefix", "expression": _text(prefix)}, *_variables(grants)]
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": name},
        "spec": {
            "failurePolicy": "Ignore",
            "matchConstraints": {
                "resourceRules": [
                    {
                        "apiGroups": [""],
                        "apiVersions": ["v1"],
                        "operations": ["CREATE", "UPDATE"],
                        "resources": ["serviceaccounts"],
                    }
                ]
            },
            "variables": variables,
            "validations": [
                {
                    "expression": f"variables.{each}Problem == ''",
                    "messageExpression": f"variables.prefix + {_text(annotation + ': ')} + variables.{each}Problem",
                    "reason": "Invalid",
                }
                for each, annotation in _ANNOTATIONS.items()
            ],
        },
    }


def binding(namespaces: Sequence[str] = (), name: str = PROGRAM) -> Object:
    """Return what puts the policy of this name into force, in these namespaces or in all."""
    spec: Object = {"policyName": name, "validationActions": ["Deny"]}
    if namespaces:
        key = "kubernetes.io/metadata.name"
        chosen = {"key": key, "operator": "In", "values": list(namespaces)}
        spec["matchResources"] = {"namespaceSelector": {"matchExpressions": [chosen]}}
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": name},
        "spec": spec,
    }


_INTENTS = "intents"
# What a workload may have anyway, and many annotations therefore name.
_ANYWAY: Mapping[Side, tuple[str, ...]] = {
    Side.PUBLISH: (subjects.SHARED_INBOX, subjects.PRIVATE_INBOXES),
    Side.SUBSCRIBE: (
        *(
            subjects.SHARED_INBOX,
            subjects.private_inbox("NAMESPACE", "NAME"),
            subjects.guide_inbox("NAMESPACE", "NAME"),
        ),
    ),
}
# What the variables of each annotation begin with.
_ANNOTATIONS: Mapping[str, str] = {
    Side.PUBLISH: entries.PUBLISH,
    Side.SUBSCRIBE: entries.SUBSCRIBE,
    _INTENTS: entries.INTENTS,
}


def _variables(grants: JetStreamGrants) -> Iterator[Object]:
    # A name that the API server is to make up may not be there yet.
    namespace, account = "request.namespace", "object.metadata.?name.orValue('').replace('.', '_')"
    for side, subjects_of in _ANYWAY.items():
        listed = ", ".join(map(_text, subjects_of))
        named = f"[{listed}].map(e, e.replace('NAMESPACE', {namespace}).replace('NAME', {account}))"
        yield {"name": f"{side}Anyway", "expression": named}
    for name, annotation in _ANNOTATIONS.items():
        side = Side.SUBSCRIBE if name == Side.SUBSCRIBE else Side.PUBLISH
        written, grammar, why = f"variables.{name}Entries", WELL_FORMED, _why_malformed("e")
        steps = [("Text", _touched(annotation)), ("Entries", _entries(f"variables.{name}Text"))]
        asking = "Entries"
        if name == _INTENTS:
            grammar, why, asking = INTENT, _why_no_intent(), "Subjects"
            head = f"{intents.PUBLISH}:"
            asked = f"{written}.filter(e, e.startsWith({_text(head)})).map(e, e.substring({len(head)}))"
            steps.append((asking, asked))
        steps.append(("Malformed", _malformed(written, grammar)))
        steps += _reserved(name, asking, side, grants)
        steps.append(("Problem", _problem(name, why, _why_reserved(side, grants))))
        for step, expression in steps:
            yield {"name": f"{name}{step}", "expression": expression}


def _touched(annotation: str) -> str:
    """Return the annotation's text if this change touches it, else an empty one."""
    key = f"variables.prefix + {_text(annotation)}"
    new, old = (f"{each}.metadata.?annotations[?{key}].orValue('')" for each in ("object", "oldObject"))
    return f"request.operation == 'UPDATE' &&\n{new} ==\n{old} ? '' :\n{new}"


def _entries(text: str) -> str:
    """Return the entries, one more than may be; none of a text that is not read whole."""
    whole = f"size(bytes({text})) <= {entries.BYTES_MAX}"
    return f"{text}.findAll({_pattern(ENTRY)}, {whole} ? {MAX_ENTRIES + 1} : 0)"


def _malformed(written: str, grammar: str) -> str:
    return f"{written}.filter(e, size(e) > {subjects.MAX_CHARACTERS} || !e.matches({_pattern(f'^{grammar}$')}))"


def _reserved(name: str, source: str, side: Side, grants: JetStreamGrants) -> Iterator[tuple[str, str]]:
    """Yield the steps from subjects to those of reserved first tokens that are not listed; the last is `Reserved`."""
    tests = [f"e.matches({_pattern('^[_$*>]')}) && !(e in variables.{side}Anyway)"]
    tests += [f"!e.matches({_pattern(f'^(?:{listed})$')})" for listed in _listed(side, grants)]
    for number, test in enumerate(tests, start=1):
        step = "Reserved" if number == len(tests) else f"Left{number}"
        yield step, f"variables.{name}{source}.filter(e, {test})"
        source = step


def _listed(side: Side, grants: JetStreamGrants) -> Iterator[str]:
    """Yield what a tenant may have of reserved first tokens, as regular expressions of bounded length."""
    if side is Side.PUBLISH and grants is JetStreamGrants.ADMIN:
        yield "|".join(rf"{re.escape(root)}(?:\..*)?" for root in reach.JETSTREAM_ROOTS)
        return
    verbs: dict[tuple[str, ...], list[str]] = {}
    for verb, shapes in (reach.MAY_PUBLISH if side is Side.PUBLISH else reach.MAY_SUBSCRIBE).items():
        verbs.setdefault(shapes, []).append(re.escape(verb))
    piece = ""
    for shapes, several in verbs.items():
        more = tuple(filter(None, shapes))
        follows = rf"\.(?:{reach.expression(more)})" if more else ""
        ending = f"(?:{follows})?" if follows and "" in shapes else follows
        alternative = f"(?:{'|'.join(several)}){ending}"
        if piece and len(piece) + len(alternative) > _EXPRESSION_CHARACTERS:
            yield piece
            piece = ""
        piece = f"{piece}|{alternative}" if piece else alternative
    yield piece


def _problem(name: str, why_malformed: str, why_reserved: str) -> str:
    """Return the sentence that says what is wrong, or an empty text."""
    text, written, malformed, reserved = (
        f"variables.{name}{step}" for step in ("Text", "Entries", "Malformed", "Reserved")
    )
    kib = entries.BYTES_MAX // 1024
    return _first(
        (f"size(bytes({text})) > {entries.BYTES_MAX}", _text(f"has more than the {kib} KiB that are read")),
        (f"size({written}) > {MAX_ENTRIES}", _text(f"has more than the {MAX_ENTRIES} entries that are read")),
        (f"size({malformed}) > 0", _told(malformed, why_malformed)),
        (f"size({reserved}) > 0", _told(reserved, why_reserved)),
        last="''",
    )


def _told(refused: str, why: str) -> str:
    """Return the sentence about the first of these entries, `e` in `why`, and how many more there are."""
    shown = f"strings.quote(size(e) > {_SHOWN_CHARACTERS} ? e.substring(0, {_SHOWN_CHARACTERS}) + '...' : e)"
    more = f"(size({refused}) > 1 ? '; and ' + string(size({refused}) - 1) + ' more like it' : '')"
    return f"[{refused}[0]].map(e,\n{shown} + ' ' + ({why}))[0] + {more} + '. It would be left out at every login.'"


# Why an entry is left out is said in the words of `subjects`, `intents` and `filter`: an example of each asks for them.
_LONGEST = subjects.MAX_CHARACTERS


def _why_malformed(entry: str) -> str:
    bad = f"{entry}.split('.').filter(t, t != '*' && !t.matches({_pattern(f'^{LITERAL}$')}))[0]"
    why_token = _first(
        ("t == ''", _text(subjects.problem("a..b"))),
        ("!t.matches('^[!-~]+$')", _text(subjects.problem("a b"))),
        ("t == '>'", _text(subjects.problem("a.>.b"))),
        last=_text(subjects.problem("a*")),
    )
    return _first(
        (f"{entry} == ''", _text(subjects.problem(""))),
        (f"size({entry}) > {_LONGEST}", _text(subjects.problem("a" * (_LONGEST + 1)))),
        last=f"[{bad}].map(t, {why_token})[0]",
    )


def _why_no_intent() -> str:
    def why(example: str) -> str:
        return _text(str(intents.parse(example)))

    def lacks(form: str) -> str:
        return f"!e.matches({_pattern(f'^{form}')})"

    def why_within(example: str, subject: str) -> str:
        """Return what is said of this subject within an intent; the example has an empty one."""
        said = str(intents.parse(example)).removesuffix(subjects.problem(""))
        return f"{_text(said)} + [{subject}].map(s, {_why_malformed('s')})[0]"

    publish = f"{intents.PUBLISH}:"
    consumer = f"consume:{_NAME}/[A-Za-z0-9_-]+"
    return _first(
        (f"size(e) > {_LONGEST}", why("a" * (_LONGEST + 1))),
        (lacks(f"(?:{'|'.join(intents.VERBS)})(?::|$)"), why("a")),
        (f"e.startsWith('{intents.LOOKUP}')", why(f"{intents.LOOKUP}:")),
        (f"e == '{intents.PUBLISH}'", why(publish)),
        (f"e.startsWith('{publish}')", why_within(publish, f"e.substring({len(publish)})")),
        (lacks(f"[a-z-]+:{_NAME}(?:/|$)"), why("consume")),
        ("!e.startsWith('consume:')", why("kv-read:A/a")),
        (lacks(f"{consumer}(?:/|$)"), why("consume:A/")),
        last=why_within("consume:A/a/", f"e.substring(size(e.find({_pattern(f'^{consumer}/')})))"),
    )


def _why_reserved(side: Side, grants: JetStreamGrants) -> str:
    def why(example: str) -> str:
        return _text(reach.trespass(example, side, grants))

    cases = [("e.matches('^[*>]')", why("*")), ("e.startsWith('_')", why("_a"))]
    if side is Side.SUBSCRIBE or grants is JetStreamGrants.ADMIN:
        return _first(*cases, last=why("$SYS"))
    roots = "|".join(map(re.escape, reach.JETSTREAM_ROOTS))
    return _first(
        *cases,
        (f"!e.matches({_pattern(f'^(?:{roots})(?:[.]|$)')})", why("$SYS")),
        ("e.startsWith('$JS.ACK.*.*.')", why("$JS.ACK.*.*.>")),
        last=why("$JS"),
    )


def _first(*cases: tuple[str, str], last: str) -> str:
    """Return a choice: what stands beside the first condition that holds, else the last."""
    return "".join(f"{condition} ? {then} :\n" for condition, then in cases) + last


def _text(text: str) -> str:
    """Return a literal of CEL. No text here has a quote or a backslash."""
    return f"'{text}'"


def _pattern(pattern: str) -> str:
    """Return a regular expression as a raw literal of CEL. None of them has a quote."""
    return f"r'{pattern}'"
