"""Each variable by itself: what it refuses, in which words."""

import pytest

from tests.settings.whole import (
    ACCOUNT,
    ACCOUNT_SEED,
    BAD_CHECKSUM,
    CALLOUT,
    CONFIG,
    OPERATOR,
    USER,
    USER_SEED,
    problems,
)

REFUSED = [
    ("NATS_CREDS_FILE", "/nope", "NATS_CREDS_FILE: /nope cannot be read: No such file or directory"),
    ("NATS_CREDS_FILE", "/manifests", "NATS_CREDS_FILE: /manifests cannot be read: Is a directory"),
    ("NATS_CREDS_FILE", "/binary", "NATS_CREDS_FILE: /binary is not text"),
    ("NATS_CREDS_FILE", USER_SEED, "NATS_CREDS_FILE: must be the path of a file, not what is in the file"),
    (
        "NATS_CREDS_FILE",
        "/account.seed",
        "NATS_CREDS_FILE: /account.seed is the account seed SA…, but SU… is required",
    ),
    (
        "NATS_SIGNING_KEY_FILE",
        "/user.seed",
        "NATS_SIGNING_KEY_FILE: /user.seed line 2 is the user seed SU…, but SA… is required",
    ),
    ("NATS_SIGNING_KEY_FILE", "/empty", "NATS_SIGNING_KEY_FILE: /empty holds no seed"),
    (
        "NATS_XKEY_FILE",
        "/account.seed",
        "NATS_XKEY_FILE: /account.seed line 1 is the account seed SA…, but SX… is required",
    ),
    ("NATS_XKEY_MODE", "required", "NATS_XKEY_MODE: wants NATS_XKEY_FILE"),
    ("NATS_XKEY_MODE", "sometimes", "NATS_XKEY_MODE: must be one of required, optional"),
    ("NATS_TLS_CA_FILE", "/key.pem", "NATS_TLS_CA_FILE: /key.pem holds no PEM certificate"),
    ("NATS_TLS_CERT_FILE", "/cert.pem", "NATS_TLS_CERT_FILE: wants NATS_TLS_KEY_FILE"),
    ("NATS_TLS_KEY_FILE", "/key.pem", "NATS_TLS_KEY_FILE: wants NATS_TLS_CERT_FILE"),
    (
        "NATS_USER_CREDS_FILE",
        "/user.seed",
        "NATS_CREDS_FILE: has another value in NATS_USER_CREDS_FILE, and both are names of one setting",
    ),
    ("NATS_TOKEN", "t", "NATS_CREDS_FILE: excludes NATS_TOKEN: one login only"),
    ("NATS_URL", "nats://u:p@h", "NATS_CREDS_FILE: excludes the user info in NATS_URL: one login only"),
    ("NATS_URL", "nats://a,,nats://b", "NATS_URL: has an empty entry"),
    ("NATS_URL", "http://a", "NATS_URL: must have one of the schemes nats, tls"),
    ("NATS_URL", "wss://a", "NATS_URL: must have one of the schemes nats, tls"),
    ("NATS_URL", "nats://u:p@a,nats://b", "NATS_URL: must have the same user info in every entry, or in none"),
    ("NATS_URL", "nats://a:x", "NATS_URL: is not a URL, or its port is no number below 65536"),
    ("NATS_URL", "nats://:4222", "NATS_URL: must have a host in every entry"),
    ("NATS_URL", "nats://:p@a", "NATS_URL: must have a user or a token before the @"),
    ("NATS_URL", "nats://a/b", "NATS_URL: must have nothing behind host and port"),
    ("NATS_ACCOUNT", BAD_CHECKSUM, "NATS_ACCOUNT: looks like an account's public key (A…), but has a wrong checksum"),
    ("NATS_ACCOUNT", "SYS", "NATS_ACCOUNT: is the system account, where no client may land"),
    ("NATS_ACCOUNT", "$SYS", "NATS_ACCOUNT: is the system account, where no client may land"),
    ("NATS_ACCOUNT", "a b", "NATS_ACCOUNT: must be one word, without white space or control characters"),
    (
        "NATS_ACCOUNT",
        ACCOUNT_SEED,
        "NATS_ACCOUNT: is a seed, which must stay in a file: the public key (A…) is required",
    ),
    (
        "NATS_ACCOUNT",
        USER.public,
        "NATS_ACCOUNT: is a public key of another kind (U…): an account's (A…) or a name is required",
    ),
    (
        "NATS_ACCOUNT",
        CALLOUT.public,
        "NATS_ACCOUNT: is the callout account, where every client could read the tokens of the others",
    ),
    (
        "NATS_AUTH_ACCOUNT",
        "APP",
        "NATS_ACCOUNT: is the callout account, where every client could read the tokens of the others",
    ),
    (
        "NATS_AUTH_ACCOUNT",
        ACCOUNT.public,
        "NATS_AUTH_ACCOUNT: is a public key (operator mode), but NATS_ACCOUNT a name (config mode)",
    ),
    ("NATS_AUTH_TIMEOUT_SECONDS", "61", "NATS_AUTH_TIMEOUT_SECONDS: must be less than or equal to 60"),
    ("NATS_AUTH_TIMEOUT_SECONDS", "0.1", "NATS_AUTH_TIMEOUT_SECONDS: must be greater than 0.1"),
    (
        "NATS_AUTH_TIMEOUT_SECONDS",
        "2s",
        "NATS_AUTH_TIMEOUT_SECONDS: must be a number of seconds, such as 1.5, without a unit",
    ),
    (
        "NATS_AUTH_TIMEOUT_SECONDS",
        "nan",
        "NATS_AUTH_TIMEOUT_SECONDS: must be a number of seconds, such as 1.5, without a unit",
    ),
    ("NATS_QUEUE_GROUP", "a b", "NATS_QUEUE_GROUP: must be words joined by dots, without white space or wildcards"),
    ("NATS_QUEUE_GROUP", "a.>", "NATS_QUEUE_GROUP: must be words joined by dots, without white space or wildcards"),
    ("JWT_ISSUER", "https://a,", "JWT_ISSUER: has an empty entry"),
    (
        "JWT_AUDIENCE",
        "nats,nats-staging",
        "JWT_AUDIENCE: must be one audience: it is no list, and no token would ever match one with a comma",
    ),
    ("JWT_AUDIENCE", "a b", "JWT_AUDIENCE: must be one word, without white space or control characters"),
    ("JWKS_URL", "http://keys.example/a", "JWKS_URL: http is only for loopback addresses; use https"),
    ("JWKS_URL", "https://u:p@keys.example/a", "JWKS_URL: a URL with user info is not accepted"),
    ("JWKS_URL", "https://keys.example/a#b", "JWKS_URL: a URL with a fragment is not accepted"),
    ("JWKS_FILE", "/bad-jwks.json", "JWKS_FILE: /bad-jwks.json is not a JSON object with a list `keys`"),
    ("JWKS_CA_FILE", "/key.pem", "JWKS_CA_FILE: /key.pem holds no PEM certificate"),
    ("K8S_IN_CLUSTER", "fasle", "K8S_IN_CLUSTER: must be true or false (also 1, 0, yes, no)"),
    ("KUBERNETES_SERVICE_HOST", "a b", "KUBERNETES_SERVICE_HOST: must be an address or a host name, without a port"),
    ("KUBERNETES_SERVICE_PORT", "0", "KUBERNETES_SERVICE_PORT: must be greater than or equal to 1"),
    ("K8S_NAMESPACES", ",", "K8S_NAMESPACES: has an empty entry"),
    (
        "K8S_NAMESPACES",
        "A_b",
        "K8S_NAMESPACES: must be namespaces: a-z, 0-9 and '-', at most 63 characters each, separated by commas",
    ),
    ("SERVICE_ACCOUNTS_DIR", "/creds", "SERVICE_ACCOUNTS_DIR: /creds is a file, but a folder is required"),
    ("SERVICE_ACCOUNTS_DIR", "/nope", "SERVICE_ACCOUNTS_DIR: /nope cannot be read: No such file or directory"),
    ("SA_ANNOTATION_PREFIX", "nats.io", "SA_ANNOTATION_PREFIX: must be a DNS name and a slash, such as nats.io/"),
    ("SA_ANNOTATION_PREFIX", "nats.io/-", "SA_ANNOTATION_PREFIX: makes annotation names that Kubernetes refuses"),
    ("INBOX_MODE", "open", "INBOX_MODE: must be one of shared, private"),
    ("JETSTREAM_GRANTS", "all", "JETSTREAM_GRANTS: must be one of data, admin"),
    ("REPLY_MODE", "inboxes", "REPLY_MODE: must be one of inbox, responses, none"),
    (
        "ALLOW_RESPONSES_MAX",
        "0",
        "ALLOW_RESPONSES_MAX: must be at least 1; where nobody shall answer say REPLY_MODE=none",
    ),
    ("ALLOW_RESPONSES_MAX", "1", "ALLOW_RESPONSES_MAX: is for REPLY_MODE=responses only, and REPLY_MODE is inbox"),
    ("ALLOW_RESPONSES_TTL_SECONDS", "0", "ALLOW_RESPONSES_TTL_SECONDS: must be greater than 0"),
    (
        "ALLOW_RESPONSES_TTL_SECONDS",
        "5",
        "ALLOW_RESPONSES_TTL_SECONDS: is for REPLY_MODE=responses only, and REPLY_MODE is inbox",
    ),
    ("SESSION_MAX_SECONDS", "0", "SESSION_MAX_SECONDS: must be greater than 0"),
    ("SESSION_MAX_SECONDS", "1_000", "SESSION_MAX_SECONDS: must be a whole number, in digits only"),
    ("TOKEN_MAX_LIFETIME_SECONDS", "1.5", "TOKEN_MAX_LIFETIME_SECONDS: must be a whole number, in digits only"),
    ("REQUIRE_POD_BOUND", "on", "REQUIRE_POD_BOUND: must be true or false (also 1, 0, yes, no)"),
    ("CLOCK_SKEW_SECONDS", "-1", "CLOCK_SKEW_SECONDS: must be greater than or equal to 0"),
    ("HOST", "a:80", "HOST: must be an address or a host name, without a port"),
    ("PORT", "80a", "PORT: must be a whole number, in digits only"),
    ("PORT", "65536", "PORT: must be less than or equal to 65535"),
    ("LOG_LEVEL", "loud", "LOG_LEVEL: must be one of debug, info, warn, error"),
    ("LOG_FORMAT", "xml", "LOG_FORMAT: must be one of json, console"),
]


@pytest.mark.parametrize(("name", "value", "problem"), REFUSED, ids=[f"{row[0]}-{n}" for n, row in enumerate(REFUSED)])
def test_refused(name: str, value: str, problem: str) -> None:
    """
    One wrong variable is one problem, led by its name.
    """
    base = OPERATOR if value == CALLOUT.public else CONFIG

    assert [problem] == problems(base | {name: value})
