"""The fields of a policy file. The loader, policy.schema.json and docs/POLICY_REFERENCE.md are all made from this."""

from nats_k8s_oidc_callout.settings.policy.shapes import Choice, Either, Field, ListOf, Map, MapOf, Number, Schema, Text

ENTRIES_MAX, INTENTS_MAX, RULES_MAX, REVOKED_MAX = 256, 64, 1_000, 10_000
SESSION_SECONDS = range(10, 86_400 + 1)
TTL_SECONDS = range(1, 86_400 + 1)

NAME = Text("a name of a-z, 0-9 and -, at most 63 characters", "[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_GLOB = Text("a glob", most=512)
_GLOBS = ListOf(_GLOB, "a list of globs", ENTRIES_MAX, least=1)
_SUBJECTS = ListOf(Text("a subject", most=256, code="E14"), "a list of subjects", ENTRIES_MAX, "E14")
_INTENTS = ListOf(Text("an intent", most=512, code="E15"), "a list of intents", INTENTS_MAX, "E15")
DURATION = Text("a duration, such as 90s, 15m or 1h", "[1-9][0-9]{0,5}[smh]", code="E07")
TIME = Text(
    "a time in UTC, such as 2026-11-25T10:00:00Z",
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?Z",
    code="E05",
)
# A namespace and a ServiceAccount.
WORKLOAD = Text("namespace/name", "[a-z0-9-]{1,63}/[a-z0-9.-]{1,253}", code="E05")
KEY = Text("the key of a label", "(?:[a-z0-9.-]{1,253}/)?[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")

MATCH = Map(
    "a map of conditions",
    (
        Field("namespaces", _GLOBS, "Its namespace is one of these.", "any"),
        Field("service_accounts", _GLOBS, "Its own name is one of these.", "any"),
        Field(
            "namespace_labels",
            MapOf("a map of label key to glob or list of globs", KEY, Either(_GLOB, _GLOBS), least=1),
            "Its namespace has each of these labels, with one of the values. The platform's own words about a namespace; "
            "they need the right to get, list and watch namespaces.",
            "any",
        ),
    ),
)
DENY = Map(
    "a map of subjects",
    (
        Field("publish", _SUBJECTS, "Never to publish, whatever is granted.", "none"),
        Field("subscribe", _SUBJECTS, "Never to receive. Needs nats-server 2.11.16, 2.12.7 or 2.14.", "none"),
    ),
)
ANNOTATIONS = Map(
    "a map of ceilings",
    (
        Field("publish", _SUBJECTS, "An entry of `allowed-pub-subjects` counts if it lies within these.", "nothing"),
        Field("subscribe", _SUBJECTS, "The same for `allowed-sub-subjects`. None may end in `*`.", "nothing"),
        Field("jetstream", _INTENTS, "The same for `jetstream`; a stream or bucket may be a glob.", "nothing"),
    ),
)
REPLIES = Map(
    "a map of max and ttl",
    (
        Field("max", Number(1, 65_535, "E07"), "How many answers a received request allows.", missing="E02"),
        Field("ttl", DURATION, "For how long, up to 24h.", missing="E02"),
    ),
)

_ACCOUNT = Field(
    "account",
    Text("an account's name", most=128),
    "The account that its clients land in: its name in the servers' configuration, or of its key file in operator mode. At "
    "most one variable; what comes of that must match `accounts`.",
    "`NATS_ACCOUNT`",
)
_ROOT = Field(
    "root",
    Text("tokens and variables, or `none`", most=256, code="E14"),
    "Grants `<root>.>` on both sides, and is the variable `{root}`. `none` grants neither.",
    "`{namespace}`",
)
_ANNOTATIONS = Field(
    "annotations",
    Either(Choice(("ignore", "any")), ANNOTATIONS),
    "How far the ServiceAccount's own annotations may go: nowhere, as far as without a file, or within ceilings.",
    "`ignore`",
)
_INBOX = Field("inbox", Choice(("private", "shared")), "As the setting `INBOX_MODE`.", "`INBOX_MODE`")
_REPLIES = Field(
    "replies",
    Either(Choice(("inbox", "none")), REPLIES),
    "How requests may be answered: into inboxes, not at all, or anywhere that the request says. With `{max, ttl}` a "
    "workload can publish on every subject of its account, by answering itself.",
    "`REPLY_MODE`",
)
_SESSION = Field(
    "session",
    DURATION,
    "How long a session lasts at the most, 10s to 24h, and never beyond its token.",
    "`SESSION_MAX_SECONDS`",
)
_KINDS = Field(
    "kinds",
    ListOf(Choice(("nats", "websocket", "mqtt", "leafnode")), "a list of kinds", 4, least=1),
    "Which kinds of connection are let in: `nats`, `websocket`, `mqtt`, `leafnode`.",
    "`[nats, websocket]`",
)
_NETWORKS = Field(
    "networks",
    ListOf(Text("a CIDR", most=64, code="E07"), "a list of CIDRs", ENTRIES_MAX, "E07", least=1),
    "From which addresses, as the NATS server sees them: behind a proxy they are the proxy's.",
    "any",
)
_POD = Field(
    "pod",
    Choice(("any", "required")),
    "`required`: only tokens that a pod holds. `REQUIRE_POD_BOUND` asks that of everybody.",
    "`any`",
)
# What `defaults` may have, too: the rule, else these, else the setting.
_INHERITED = (_ACCOUNT, _ROOT, _ANNOTATIONS, _INBOX, _REPLIES, _SESSION, _KINDS, _NETWORKS, _POD)
DEFAULTS = Map("a map of fields", _INHERITED)

_GRANTS = (
    Field("publish", _SUBJECTS, "What it may publish.", "none"),
    Field("subscribe", _SUBJECTS, "What it may subscribe.", "none"),
    Field("jetstream", _INTENTS, "What it may do with streams and buckets, such as `consume:ORDERS/shop`.", "none"),
    Field("deny", DENY, "What it may never do. Prefer leaving out: a denial cannot hold what others aim.", "nothing"),
)
ROLE = Map("a map of grants", _GRANTS)

RULE = Map(
    "a rule",
    (
        Field("name", NAME, "Unique; it stands in logs, metrics and `explain`.", missing="E02"),
        Field("match", MATCH, "Who it is for; all conditions must hold. `{}` is everybody.", missing="E02"),
        Field(
            "refuse",
            Text("a text", most=256),
            "Turns them away, with this reason in our log. Excludes every field but `name` and `match`.",
        ),
        Field("roles", ListOf(NAME, "a list of roles", 64), "Bundles of grants, taken whole, in this order.", "none"),
        *_GRANTS,
        *_INHERITED,
    ),
    is_rule=True,
)
REVOKED = Map(
    "an entry",
    (
        Field("jti", Text("a token's id", most=256), "The token has this `jti`."),
        Field("uid", Text("a uid", most=128), "The ServiceAccount has this uid: not its successor of the same name."),
        Field("workload", WORKLOAD, "The ServiceAccount is `namespace/name`."),
        Field("issued_before", TIME, "The token was issued earlier than this."),
        Field("reason", Text("a text", most=256), "For people."),
        Field("until", TIME, "The entry is ignored from then on."),
    ),
    some_of=("jti", "uid", "workload"),
    code="E05",
)
FILE = Map(
    "a policy",
    (
        Field("version", Number(1, 1, "E01"), "Of this format.", missing="E01"),
        Field(
            "accounts",
            ListOf(_GLOB, "a list of globs", ENTRIES_MAX),
            "What an account that comes out of a variable must match. Accounts written out need no entry.",
            "none",
        ),
        Field("defaults", DEFAULTS, "What a rule takes where it is silent.", "the settings"),
        Field("roles", MapOf("a map of roles", NAME, ROLE), "Bundles of grants, by name.", "none"),
        Field(
            "rules",
            ListOf(RULE, "a list of rules", RULES_MAX, "E04", least=1),
            "In order: the first that matches decides everything. Nothing matches: refused.",
            missing="E04",
        ),
        Field(
            "revoked",
            ListOf(REVOKED, "a list of entries", REVOKED_MAX, "E05"),
            "Tokens and ServiceAccounts that are turned away before any rule. All that an entry says must hold.",
            "none",
        ),
    ),
)

HEADINGS = (
    ("The file", FILE),
    ("A rule", RULE),
    ("`match`", MATCH),
    ("`annotations`, as ceilings", ANNOTATIONS),
    ("`deny`", DENY),
    ("`replies`, as the reply permission of NATS", REPLIES),
    ("A role", ROLE),
    ("An entry of `revoked`", REVOKED),
)
"""The maps, in the order of the reference. `defaults` has fields of a rule."""


def schema() -> Schema:
    """Return the JSON schema of a policy file."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Policy", **FILE.schema()}
