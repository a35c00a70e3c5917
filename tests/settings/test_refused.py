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
    ("NATS_CREDS_FILE", "/nope", "/nope cannot be read: No such file or directory"),
    ("NATS_CREDS_FILE", "/manifests", "/manifests cannot be read: Is a directory"),
    ("NATS_CREDS_FILE", "/binary", "/binary is not text"),
    ("NATS_CREDS_FILE", USER_SEED, "must be the path of a file, not what is in the file"),
    ("NATS_CREDS_FILE", "/account.seed", "/account.seed is the account seed SA…, but SU… is required"),
    ("NATS_SIGNING_KEY_FILE", "/user.seed", "/user.seed line 2 is the user seed SU…, but SA… is required"),
    ("NATS_SIGNING_KEY_FILE", "/empty", "/empty holds no seed"),
    ("NATS_XKEY_FILE", "/account.seed", "/account.seed line 1 is the account seed SA…, but SX… is required"),
    ("NATS_XKEY_MODE", "required", "wants NATS_XKEY_FILE"),
    ("NATS_XKEY_MODE", "sometimes", "must be one of required, optional"),
    ("NATS_TLS_CA_FILE", "/key.pem", "/key.pem holds no PEM certificate"),
    ("NATS_TLS_CERT_FILE", "/cert.pem", "wants NATS_TLS_KEY_FILE"),
    ("NATS_TLS_KEY_FILE", "/key.pem", "wants NATS_TLS_CERT_FILE"),
    ("NATS_URL", "nats://a,,nats://b", "has an empty entry"),
    ("NATS_URL", "http://a", "must have one of the schemes nats, tls"),
    ("NATS_URL", "wss://a", "must have one of the schemes nats, tls"),
    ("NATS_URL", "nats://u:p@a,nats://b", "must have the same user info in every entry, or in none"),
    ("NATS_URL", "nats://a:x", "is not a URL, or its port is no number below 65536"),
    ("NATS_URL", "nats://:4222", "must have a host in every entry"),
    ("NATS_URL", "nats://:p@a", "must have a user or a token before the @"),
    ("NATS_URL", "nats://a/b", "must have nothing behind host and port"),
    ("NATS_ACCOUNT", BAD_CHECKSUM, "looks like an account's public key (A…), but has a wrong checksum"),
    ("NATS_ACCOUNT", "SYS", "is the system account, where no client may land"),
    ("NATS_ACCOUNT", "$SYS", "is the system account, where no client may land"),
    ("NATS_ACCOUNT", "a b", "must be one word, without white space or control characters"),
    ("NATS_ACCOUNT", ACCOUNT_SEED, "is a seed, which must stay in a file: the public key (A…) is required"),
    ("NATS_ACCOUNT", USER.public, "is a public key of another kind (U…): an account's (A…) or a name is required"),
    ("NATS_ACCOUNT", CALLOUT.public, "is the callout account, where every client could read the tokens of the others"),
    ("NATS_AUTH_ACCOUNT", ACCOUNT.public, "is a public key (operator mode), but NATS_ACCOUNT a name (config mode)"),
    ("NATS_AUTH_TIMEOUT_SECONDS", "61", "must be less than or equal to 60"),
    ("NATS_AUTH_TIMEOUT_SECONDS", "0.1", "must be greater than 0.1"),
    ("NATS_AUTH_TIMEOUT_SECONDS", "2s", "must be a number of seconds, such as 1.5, without a unit"),
    ("NATS_AUTH_TIMEOUT_SECONDS", "nan", "must be a number of seconds, such as 1.5, without a unit"),
    ("NATS_QUEUE_GROUP", "a b", "must be words joined by dots, without white space or wildcards"),
    ("NATS_QUEUE_GROUP", "a.>", "must be words joined by dots, without white space or wildcards"),
    ("JWT_ISSUER", "https://a,", "has an empty entry"),
    (
        "JWT_AUDIENCE",
        "nats,nats-staging",
        "must be one audience: it is no list, and no token would ever match one with a comma",
    ),
    ("JWT_AUDIENCE", "a b", "must be one word, without white space or control characters"),
    ("JWKS_URL", "http://keys.example/a", "http is only for loopback addresses; use https"),
    ("JWKS_URL", "https://u:p@keys.example/a", "a URL with user info is not accepted"),
    ("JWKS_URL", "https://keys.example/a#b", "a URL with a fragment is not accepted"),
    ("JWKS_FILE", "/bad-jwks.json", "/bad-jwks.json is not a JSON object with a list `keys`"),
    ("JWKS_CA_FILE", "/key.pem", "/key.pem holds no PEM certificate"),
    ("K8S_IN_CLUSTER", "fasle", "must be true or false (also 1, 0, yes, no)"),
    ("KUBERNETES_SERVICE_HOST", "a b", "must be an address or a host name, without a port"),
    ("KUBERNETES_SERVICE_PORT", "0", "must be greater than or equal to 1"),
    ("K8S_NAMESPACES", ",", "has an empty entry"),
    ("K8S_NAMESPACES", "A_b", "must be namespaces: a-z, 0-9 and '-', at most 63 characters each, separated by commas"),
    ("SERVICE_ACCOUNTS_DIR", "/creds", "/creds is a file, but a folder is required"),
    ("SERVICE_ACCOUNTS_DIR", "/nope", "/nope cannot be read: No such file or directory"),
    ("SA_ANNOTATION_PREFIX", "nats.io", "must be a DNS name and a slash, such as nats.io/"),
    ("SA_ANNOTATION_PREFIX", "nats.io/-", "makes annotation names that Kubernetes refuses"),
    ("INBOX_MODE", "open", "must be one of shared, private"),
    ("JETSTREAM_GRANTS", "all", "must be one of data, admin"),
    ("REPLY_MODE", "inboxes", "must be one of inbox, responses, none"),
    ("ALLOW_RESPONSES_MAX", "0", "must be at least 1; where nobody shall answer say REPLY_MODE=none"),
    ("ALLOW_RESPONSES_MAX", "1", "is for REPLY_MODE=responses only, and REPLY_MODE is inbox"),
    ("ALLOW_RESPONSES_TTL_SECONDS", "0", "must be greater than 0"),
    ("ALLOW_RESPONSES_TTL_SECONDS", "5", "is for REPLY_MODE=responses only, and REPLY_MODE is inbox"),
    ("SESSION_MAX_SECONDS", "0", "must be greater than 0"),
    ("SESSION_MAX_SECONDS", "1_000", "must be a whole number, in digits only"),
    ("TOKEN_MAX_LIFETIME_SECONDS", "1.5", "must be a whole number, in digits only"),
    ("REQUIRE_POD_BOUND", "on", "must be true or false (also 1, 0, yes, no)"),
    ("CLOCK_SKEW_SECONDS", "-1", "must be greater than or equal to 0"),
    ("HOST", "a:80", "must be an address or a host name, without a port"),
    ("PORT", "80a", "must be a whole number, in digits only"),
    ("PORT", "65536", "must be less than or equal to 65535"),
    ("LOG_LEVEL", "loud", "must be one of debug, info, warn, error"),
    ("LOG_FORMAT", "xml", "must be one of json, console"),
]


@pytest.mark.parametrize(("name", "value", "problem"), REFUSED, ids=[f"{row[0]}-{n}" for n, row in enumerate(REFUSED)])
def test_refused(name: str, value: str, problem: str) -> None:
    """
    One wrong variable is one problem, led by its name.
    """
    base = OPERATOR if value == CALLOUT.public else CONFIG

    assert [f"{name}: {problem}"] == problems(base | {name: value})
