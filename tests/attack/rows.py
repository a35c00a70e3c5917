"""Which row of the threat table each fault belongs to: the tests that the row names must notice it."""

from tests.attack.mutants import SECURITY_MUTANTS, other
from tests.mutants import Mutant
from tests.test_security_model import DOCUMENT, proofs, rows

_ISSUERS, _KEYSET, _JWKS = "core/identity/issuers.py", "core/identity/keyset.py", "adapters/jwks.py"
_LOOKUP, _SETTLE = "adapters/kubernetes/lookup.py", "responder/settle.py"

# Faults that only their row's tests look for.
ROW_MUTANTS = [
    other("good in its last second", _ISSUERS, "if now >= proved.exp:", "if now > proved.exp:"),
    other("good in its last second, extended", _ISSUERS, "now >= proved.warnafter", "now > proved.warnafter"),
    other("letters that look alike", "core/names.py", '[a-z0-9])?")', '[a-z0-9])?", re.IGNORECASE)'),
    other("the beginning of a uid", "core/decide.py", "account.uid == workload.uid", "workload.uid.startswith(account.uid)"),
    other("a rotation is found once", _KEYSET, "monotonic - self._refresh_began_at >= self.cooldown_seconds", "False"),
    other("a hanging fetch is waited for", _JWKS, "[flight], timeout=budget_seconds", "[flight], timeout=5.0"),
    other("each asks for itself", _LOOKUP, "self._flights.get(key) or self._start(key)", "self._start(key)"),
    other("look-ups without a top", _LOOKUP, "len(self._flights) >= WAITING_MAX", "False"),
    other("a bug in deciding is raised", _SETTLE, 'log.exception("decision failed")', "raise"),
    other("a bug in fetching is raised", _SETTLE, 'log.exception("fetch for a decision failed")', "raise"),
    other("a bug in answering is raised", "responder/signing.py", 'log.exception("answer could not be written")', "raise"),
    other("a bug in opening is raised", "responder/turns.py", 'log.exception("request could not be read")', "raise"),
    other("a flood is never forgotten", "core/traffic/flooding.py", "self.denied *= 0.5**halves", "pass"),
    other("redirects of the API server", "adapters/kubernetes/api.py", "allow_redirects=False", "allow_redirects=True"),
    other("our token to any host", _JWKS, "self._trust is Trust.CLUSTER and token", "token"),
    other("a self-test keeps its rights", "core/nats/user.py", "Permissions((WHO_AM_I,)", 'Permissions((f"{namespace}.>",)'),
    other("names run together", "core/nats/subjects.py", "_INBOX_{namespace}_{", "_INBOX_{namespace}{"),
    other("late in the slow lane", "responder/turns.py", "self._slow.older_than(oldest_wanted)", "self._slow.older_than(0.0)"),
    other("audiences as they are", "adapters/telemetry/decisions.py", "[clean(audience) for", "[audience for"),
    other("claims before the signature", "core/nats/natsjwt.py", "        issuer = _read_issuer(payload).iss\n",
          "        issuer = _read_issuer(payload).iss\n        claims(payload)\n"),
]  # fmt: skip

ROW_OF = {
    "C3": ("no size cap",),
    "C4": ("empty parts",),
    "C5": ("two spellings",),
    "C9": ("any algorithm",),
    "C13": ("any algorithm for any key",),
    "C15": ("crit ignored",),
    "C17": ("any kid",),
    "C18": ("any number of parts",),
    "C19": ("signature not checked",),
    "C21": ("weak RSA", "unsound RSA"),
    "C24": ("expired is fine", "leeway on exp", "good in its last second"),
    "C26": ("exp before iat", "future is fine"),
    "C23": ("no times needed",),
    "C27": ("any lifetime", "warnafter ignored", "good in its last second, extended"),
    "C28": ("any issuer",),
    "C29": ("any audience",),
    "C33": ("any namespace", "any name", "names of 254 characters", "names with a newline"),
    "C34": ("any sub",),
    "C35": ("uid not compared", "the beginning of a uid"),
    "C42": ("empty set is a set", "old keys kept"),
    "C43": ("redirects followed", "answers of any size", "packed answers"),
    "C46": ("no cool-down", "waiters without a top"),
    "C47": ("a rotation is found once",),
    "C48": ("a hanging fetch is waited for",),
    "C49": ("keys never stale",),
    "C52": ("any audience of a question", "any server may sign", "a question for another issuer", "questions not verified"),
    "C53": ("any checksum", "any kind of key"),
    "C54": ("late requests answered",),
    "C55": ("clear although sealed is wanted", "another key's header"),
    "C58": ("any user key",),
    "C64": ("answers too large are sent",),
    "C65": ("wildcard first",),
    "C66": ("system subjects", "all of JetStream", "any stream"),
    "C67": ("inboxes of others",),
    "C69": ("empty tokens", "any character", "any length"),
    "C73": ("dots in inboxes", "names run together"),
    "C75": ("a side left open",),
    "C76": ("each asks for itself",),
    "C77": ("uid not compared", "the beginning of a uid"),
    "C82": ("late in the slow lane",),
    "C83": (
        "a bug in deciding is raised", "a bug in fetching is raised", "a bug in answering is raised",
        "a bug in opening is raised",
    ),
    "C88": ("why is told to the client",),
    "C89": ("connections without a top", "lines of any length", "slow heads are waited for"),
    "X4": ("any text is a token",),
    "X5": ("names as they are", "names of any length", "audiences as they are"),
    "X8": ("a self-test keeps its rights",),
    "X11": ("letters that look alike",),
    "X12": ("cache across key generations",),
    "X13": ("expired token stays remembered", "old annotations"),
    "X15": ("pods not required",),
    "X20": ("any annotation is held",),
    "X25": ("any number of entries", "any number of refusals", "annotations of any length", "half an entry counts",
            "grants without a top"),
    "X26": ("annotations without a top", "another namespace pays"),
    "X27": ("unbounded warnings in the log",),
    "X28": ("a half line deletes nothing",),
    "X29": ("aliases in manifests", "links out of the folder"),
    "X30": ("one name for two keys",),
    "X31": ("our token to any host", "our token to a look-alike"),
    "X32": ("any number of keys", "private keys"),
    "X40": ("exp without a top", "cid without a top", "invalid text raises"),
    "X41": ("hosts without a top", "host without a top", "server keys without a top", "curve keys without a top",
            "names without a top"),
    "X42": ("a flood is never forgotten",),
    "X44": ("anything is signed",),
    "X45": ("any number of servers",),
    "X48": ("claims before the signature",),
    "X54": ("redirects of the API server",),
    "X56": ("{} is an empty cluster",),
    "X57": ("look-ups without a top",),
    "X59": ("cache without a top",),
    "X60": ("unbounded refusals in the log", "kinds of warnings without a top"),
}  # fmt: skip

# A row's proofs that start no server: they alone must notice, so that a run for each fault stays short.
_QUICK = ("tests/core/", "tests/settings/", "tests/adapters/", "tests/test_responder.py", "tests/attack/test_bounds.py")


def quick_proofs(row: str) -> tuple[str, ...]:
    """Return the tests that a row names and that start no world."""
    return tuple(proof for proof in proofs(_ROWS[row][-1]) if proof.startswith(_QUICK))


_ROWS = rows(DOCUMENT.read_text())
_BY_NAME = {mutant.name: mutant for mutant in (*SECURITY_MUTANTS, *ROW_MUTANTS)}
FAULTS: list[tuple[str, Mutant]] = [(row, _BY_NAME[name]) for row, names in ROW_OF.items() for name in names]
