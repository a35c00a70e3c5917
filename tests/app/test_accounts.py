"""The accounts that clients can be placed in, in both modes, and who signs for them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nats_k8s_oidc_callout.adapters.files import FileWatch
from nats_k8s_oidc_callout.app.keyring import Keyring
from nats_k8s_oidc_callout.core.grants.globs import Glob
from nats_k8s_oidc_callout.core.grants.policy import Policy
from nats_k8s_oidc_callout.core.grants.rules import Match, Rule
from nats_k8s_oidc_callout.core.grants.templates import Template
from nats_k8s_oidc_callout.core.nats import nkeys
from nats_k8s_oidc_callout.core.nats.nkeys import Kind, SigningKey
from nats_k8s_oidc_callout.core.nats.signers import Origin, Signer
from nats_k8s_oidc_callout.settings import Settings
from tests.fakes.rules import RULE

APP, AUTH, AUTH_SIGNING, SHOP, EDGE, EDGE_SIGNING = (SigningKey(Kind.ACCOUNT, bytes([n] * 32)) for n in range(6))
SEEDS = {SigningKey(Kind.ACCOUNT, bytes([n] * 32)): nkeys.encode_seed(Kind.ACCOUNT, bytes([n] * 32)) for n in range(6)}


def keyring(folder: Path, **settings: Any) -> Keyring:
    """Return the keys of a responder in operator mode, with the accounts SHOP and EDGE beside its NATS_ACCOUNT."""
    accounts = folder / "accounts"
    accounts.mkdir()
    (accounts / "SHOP").write_text(f"{SHOP.public}\n{SEEDS[SHOP]}\n")
    (accounts / "EDGE").write_text(f"{EDGE.public}\n{SEEDS[EDGE_SIGNING]}\n")
    for name, key in (("callout", AUTH_SIGNING), ("app", APP)):
        (folder / name).write_text(SEEDS[key])
    usual: dict[str, Any] = {
        "nats_account": APP.public,
        "nats_auth_account": AUTH.public,
        "nats_signing_key_file": folder / "callout",
        "nats_account_signing_key_file": folder / "app",
        "nats_accounts_dir": accounts,
    }
    return Keyring(Settings(**(usual | settings)), FileWatch().watch)


async def look(keys: Keyring) -> None:
    """Do what the loop does every 5 s."""
    assert ["account keys"] == [name for name, _ in keys.accounts.loops]
    assert keys.accounts._folder is not None
    await keys.accounts._folder.poll()


def signer(keys: Keyring, account: str) -> Signer | None:
    assert keys.keys.signers is not None
    return keys.keys.signers.user(AUTH.public, account)


def test_every_good_file_is_an_account(tmp_path: Path) -> None:
    """Each account is signed for by the key in its file, which names it in `issuer_account` unless it is its own."""
    keys = keyring(tmp_path)

    assert ["", "", ""] == [keys.accounts.placeable(account) for account in (APP.public, "SHOP", "EDGE")]
    assert (Signer(APP), Signer(SHOP), Signer(EDGE_SIGNING, EDGE.public)) == (
        signer(keys, APP.public),
        signer(keys, "SHOP"),
        signer(keys, "EDGE"),
    )
    assert (EDGE.public, APP.public, "none") == tuple(map(keys.accounts.landing, ("EDGE", APP.public, "none")))
    assert ["EDGE"] == keys.accounts.named_in(f'account "{EDGE.public}" not permitted for {AUTH.public}')
    assert {AUTH.public: Origin.ACCOUNT} == keys.origins
    assert {} == keys.file_errors()


async def test_a_key_that_goes_takes_its_account_along(tmp_path: Path) -> None:
    """
    After the next look nobody is placed there; who is under way keeps the keys it began with. A new key counts then.
    """
    keys = keyring(tmp_path)
    before, digest = keys.keys, keys.in_force()["accounts"]
    (tmp_path / "accounts" / "SHOP").unlink()
    (tmp_path / "accounts" / "EDGE").write_text(f"{EDGE.public}\n{SEEDS[EDGE]}\n")
    await look(keys)

    assert ("account SHOP: it has no key file", None) == (keys.accounts.placeable("SHOP"), signer(keys, "SHOP"))
    assert ("", Signer(EDGE)) == (keys.accounts.placeable("EDGE"), signer(keys, "EDGE"))
    assert before.signers is not None
    assert Signer(SHOP) == before.signers.user(AUTH.public, "SHOP")
    assert digest != keys.in_force()["accounts"]


@pytest.mark.parametrize(
    ("name", "account", "key", "why"),
    [
        ("SHOP", AUTH, AUTH, "its key file holds the callout account's key: clients there could read the tokens"),
        ("SHOP", SHOP, AUTH, "its key file holds the callout account's key: clients there could read the tokens"),
        ("SHOP", AUTH, SHOP, "its key file holds the callout account's key: clients there could read the tokens"),
        ("sys", SHOP, SHOP, "it is the system account"),
        ("$G", SHOP, SHOP, "only NATS_ACCOUNT can choose the global account"),
        (AUTH.public, SHOP, SHOP, "it is the callout account"),
    ],
)
async def test_files_that_open_nothing(
    tmp_path: Path, name: str, account: SigningKey, key: SigningKey, why: str
) -> None:
    """Neither the callout account nor the system's is placed into, whatever a file says; its gauge tells."""
    keys = keyring(tmp_path)
    (tmp_path / "accounts" / name).write_text(f"{account.public}\n{SEEDS[key]}\n")
    await look(keys)

    assert keys.accounts.placeable(name).startswith(f"account {name}: {why}")
    assert None is signer(keys, name)
    assert {"accounts": 1.0} == keys.file_errors()
    assert "" == keys.accounts.placeable("EDGE")


async def test_bad_or_no_files_at_all(tmp_path: Path) -> None:
    """A bad file says why, so does a folder that is gone; NATS_ACCOUNT needs neither."""
    keys = keyring(tmp_path)
    (tmp_path / "accounts" / "SHOP").write_text(SEEDS[SHOP])
    await look(keys)
    bad = keys.accounts.placeable("SHOP")
    (tmp_path / "accounts").rename(tmp_path / "elsewhere")
    await look(keys)

    assert bad.startswith("account SHOP: its key file must hold two lines")
    assert "account SHOP: No such file or directory" == keys.accounts.placeable("SHOP")
    assert ("", Signer(APP)) == (keys.accounts.placeable(APP.public), signer(keys, APP.public))


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        pytest.param({}, "it has no key file", id="operator mode"),
        pytest.param({"nats_accounts_dir": None}, "NATS_ACCOUNTS_DIR is not set", id="operator mode without a folder"),
        pytest.param({"nats_account": "APP", "nats_auth_account": "AUTH", "nats_accounts_dir": None}, "", id="config"),
        pytest.param({"shadow": True}, "", id="shadow, which signs nothing"),
    ],
)
def test_an_account_that_no_file_names(tmp_path: Path, settings: dict[str, Any], why: str) -> None:
    """Config mode places into any account by name, operator mode by its files alone; nobody into the system account."""
    keys = keyring(tmp_path, **settings)

    assert (why and f"account OTHER: {why}") == keys.accounts.placeable("OTHER")
    assert "account Sys: it is the system account" == keys.accounts.placeable("Sys")


def test_the_account_of_our_own_login_is_shut(tmp_path: Path) -> None:
    """Nobody is placed where a server says that we are ourselves, whatever NATS_AUTH_ACCOUNT says."""
    keys = keyring(tmp_path, nats_account="APP", nats_auth_account="", nats_accounts_dir=None)
    before = keys.accounts.placeable("auth")
    keys.accounts.own = lambda: "AUTH"

    assert ("", "account auth: it is the callout account") == (before, keys.accounts.placeable("auth"))
    assert ["", ""] == [keys.accounts.placeable(account) for account in ("APP", "OTHER")]


@pytest.mark.parametrize(
    ("own", "why"),
    [
        pytest.param("APP", "NATS_ACCOUNT=APP is the callout account, where every client", id="clients are put there"),
        pytest.param("AUTH", "", id="another"),
        pytest.param("", "", id="not told"),
    ],
)
def test_where_nobody_is_served(tmp_path: Path, own: str, why: str) -> None:
    keys = keyring(tmp_path, nats_account="APP", nats_auth_account="", nats_accounts_dir=None)

    assert keys.accounts.misplaced(own)[: len(why) or None] == why


def test_the_global_account_may_be_both(tmp_path: Path) -> None:
    keys = keyring(tmp_path, nats_account="$G", nats_auth_account="", nats_accounts_dir=None)

    assert "" == keys.accounts.misplaced("$G")


def test_where_our_own_self_test_lands(tmp_path: Path) -> None:
    """
    The account of the rule that takes it, as the servers call it; without a rule NATS_ACCOUNT; unknown without the labels
    that the rule goes by.
    """
    accounts = keyring(tmp_path).accounts
    ours, labelled = Match(namespaces=(Glob.of("nats-auth"),)), Match(labels=(("team", (Glob.of("*"),)),))
    policy = Policy([rule("ours", ours, "EDGE"), rule("labelled", labelled, "SHOP")])

    assert EDGE.public == accounts.lands_in(policy, "nats-auth", "callout", None)
    assert SHOP.public == accounts.lands_in(policy, "shop", "callout", {"team": "red"})
    assert APP.public == accounts.lands_in(policy, "shop", "callout", {})
    assert "" == accounts.lands_in(policy, "shop", "callout", None)


def rule(name: str, match: Match, account: str) -> Rule:
    return replace(RULE, name=name, match=match, account=Template.of(account))
