"""The variables about NATS: where it is, who we are there, and what we sign with."""

from dataclasses import dataclass
from typing import Annotated

from nats_k8s_oidc_callout.core.names import PROGRAM
from nats_k8s_oidc_callout.core.nats.address import Address
from nats_k8s_oidc_callout.settings import values
from nats_k8s_oidc_callout.settings.choices import Mode, XkeyMode
from nats_k8s_oidc_callout.settings.declaring import KEY_FILE, Account, Group, OptionalPath, ReadBy, Seconds, variable
from nats_k8s_oidc_callout.settings.values import NatsServers, Secret

QUEUE_GROUP = PROGRAM


@dataclass(frozen=True)
class NatsVariables:
    """A part of Settings."""

    nats_url: Annotated[NatsServers, ReadBy(values.nats_servers)] = variable(
        "NATS_URL",
        group=Group.NATS,
        default=NatsServers((Address("nats"),)),
        shown="`nats://nats:4222`",
        meaning="One or several servers, separated by commas: `nats://` or `tls://`. User info is a login: "
        "percent-encoded, the same in every entry; a user without a password is a token.",
    )
    nats_account: Account = variable(
        "NATS_ACCOUNT",
        group=Group.NATS,
        default="",
        shown="required",
        meaning="The account that clients land in. A public key (`A…`) means operator mode, a name config mode. `SYS`, "
        "`$SYS` and the callout account are refused; `$G` for both is allowed, with a warning.",
    )
    nats_creds_file: OptionalPath = variable(
        "NATS_CREDS_FILE",
        "NATS_USER_CREDS_FILE",
        group=Group.NATS,
        changes=KEY_FILE,
        meaning="The responder's login. Operator mode: a creds file. Config mode: the nkey in it, so a file with "
        "just a seed (`SU…`) will do. User info in `NATS_URL`, `NATS_TOKEN` and this exclude each other.",
    )
    nats_token: Annotated[Secret | None, ReadBy(values.token)] = variable(
        "NATS_TOKEN", group=Group.NATS, meaning="The responder's login where the servers require a token."
    )
    nats_signing_key_file: OptionalPath = variable(
        "NATS_SIGNING_KEY_FILE",
        group=Group.NATS,
        shown="the seed in `NATS_CREDS_FILE`, in account form",
        changes=KEY_FILE,
        meaning="Seeds (`SA…`), one a line; lines with `#` are comments. Config mode: each request is answered with "
        "the one that it asks for, the login's own included. Operator mode: the first signs for the callout account.",
    )
    nats_account_signing_key_file: OptionalPath = variable(
        "NATS_ACCOUNT_SIGNING_KEY_FILE",
        group=Group.NATS,
        shown="the seed in `NATS_CREDS_FILE`, in account form",
        changes=KEY_FILE,
        meaning="Operator mode only: a seed (`SA…`) that signs for `NATS_ACCOUNT`; the first one counts.",
    )
    nats_accounts_dir: OptionalPath = variable(
        "NATS_ACCOUNTS_DIR",
        group=Group.NATS,
        changes=KEY_FILE,
        meaning="Operator mode only: a folder with one file for each account that a policy may name, called as the policy "
        "calls it. It has two lines: the account's public key (`A…`), and its seed or that of one of its plain signing "
        "keys (`SA…`). Nobody gets into an account whose file is missing or bad.",
    )
    nats_auth_account: Account = variable(
        "NATS_AUTH_ACCOUNT",
        group=Group.NATS,
        default="",
        shown="operator mode: the account of `NATS_CREDS_FILE`",
        meaning="The callout account. Operator mode: its public key, required without creds. Config mode: its name, so "
        "that clients are never put there; nats-server 2.12 and later tell it.",
    )
    nats_auth_timeout_seconds: Seconds = variable(
        "NATS_AUTH_TIMEOUT_SECONDS",
        group=Group.NATS,
        default=1.5,
        gt=0.1,
        le=60,
        meaning="`authorization.timeout` of the servers, in seconds. What cannot be answered 0.1 s before it "
        "is dropped.",
    )
    nats_xkey_file: OptionalPath = variable(
        "NATS_XKEY_FILE",
        group=Group.NATS,
        shown="no encryption",
        changes=KEY_FILE,
        meaning="One or two seeds (`SX…`), one a line, tried in order. Their public keys are `xkey` of the servers.",
    )
    nats_xkey_mode: Annotated[XkeyMode, ReadBy(values.choice(XkeyMode))] = variable(
        "NATS_XKEY_MODE",
        group=Group.NATS,
        default=XkeyMode.REQUIRED,
        meaning="With `NATS_XKEY_FILE`: `required` ignores requests in clear text, `optional` is for rolling it out.",
    )
    nats_tls_ca_file: OptionalPath = variable(
        "NATS_TLS_CA_FILE",
        group=Group.NATS,
        shown="the system's",
        changes=KEY_FILE,
        meaning="Certificates (PEM) that the servers' certificates are checked against.",
    )
    nats_tls_cert_file: OptionalPath = variable(
        "NATS_TLS_CERT_FILE", group=Group.NATS, changes=KEY_FILE, meaning="Our certificate (PEM), for servers that ask."
    )
    nats_tls_key_file: OptionalPath = variable(
        "NATS_TLS_KEY_FILE", group=Group.NATS, changes=KEY_FILE, meaning="Its key (PEM), without a passphrase."
    )
    nats_queue_group: Annotated[str, ReadBy(values.queue_group)] = variable(
        "NATS_QUEUE_GROUP",
        group=Group.NATS,
        default="",
        shown=f"`{QUEUE_GROUP}`; with `K8S_NAMESPACES` also a dot and 8 hex digits, made from account and namespaces",
        meaning="The replicas of one release share it, and no other release may.",
    )
    nats_sentinel_creds_file: OptionalPath = variable(
        "NATS_SENTINEL_CREDS_FILE",
        group=Group.NATS,
        changes="at the next self-test",
        meaning="Operator mode without `default_sentinel`: what our own self-test presents beside its token, as every "
        "client must there. A creds file, or the sentinel's JWT alone when it is a bearer.",
    )
    self_test_token_file: OptionalPath = variable(
        "SELF_TEST_TOKEN_FILE",
        group=Group.NATS,
        shown="no self-test",
        changes="at the next self-test",
        meaning="A token with our audience (a projected one), with which we log in as a client every minute and compare "
        "the account it lands in with that of its rule, else with `NATS_ACCOUNT`: `nats_auth_selftest_success`. `doctor` "
        "uses it too.",
    )

    @property
    def mode(self) -> Mode:
        return Mode.OPERATOR if values.looks_like_account_key(self.nats_account) else Mode.CONFIG
