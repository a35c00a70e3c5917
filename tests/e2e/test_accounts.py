"""Several target accounts: where clients land by the rules of a policy, while key files come, change and go."""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from nats_k8s_oidc_callout.adapters import keyfolder
from nats_k8s_oidc_callout.core.nats.nkeys import Kind
from tests.e2e import plans
from tests.e2e.clients import ask, logged_in
from tests.e2e.examinations import causes, examine, examined
from tests.e2e.plans import Plan
from tests.e2e.self_tests import SUCCESS, line_of, measured
from tests.e2e.worlds import World, world_of
from tests.fakes.nats_modes import Pair, operator_mode
from tests.leaks import SECRETS

pytestmark = pytest.mark.e2e

FILE_ERRORS = 'nats_auth_file_errors{file="accounts"}'
SHOP, EDGE, OPS, LATE = ((Pair.new(Kind.ACCOUNT), Pair.new(Kind.ACCOUNT)) for _ in range(4))
FOREIGN = Pair.new(Kind.ACCOUNT)
POLICY = """
version: 1
accounts: ["tenant-*", "sys", "auth", "other", "OTHER"]
rules:
  - {name: shop, match: {namespaces: ["shop"]}, account: SHOP}
  - {name: plain, match: {namespaces: ["team-a"]}}
  - {name: by-name, match: {namespaces: ["sys", "auth", "other"]}, account: "{namespace}"}
  - {name: ops, match: {namespaces: ["ops"]}, account: tenant-ops}
  - {name: tenants, match: {namespaces: ["{tenant}"]}, account: "tenant-{tenant}"}
"""
NAMESPACES = ("shop", "edge", "ops", "late", "nobody", "foreign", "sys", "auth", "other")


def write_account(folder: Path, name: str, account: Pair, key: Pair) -> None:
    (folder / name).write_text(f"{account.public}\n{SECRETS.register('seed', key.seed)}\n")


def several_accounts(folder: Path) -> Plan:
    """Operator mode with accounts whose keys are in a folder: one by its own key, the others by signing keys."""
    mode = operator_mode(tenants=(SHOP, EDGE, OPS, LATE), max_control_line=plans.CONTROL_LINE)
    keys = folder / "keys"
    keys.mkdir()
    write_account(keys, "SHOP", SHOP[0], SHOP[0])
    write_account(keys, "tenant-edge", *EDGE)
    write_account(keys, "tenant-ops", *OPS)
    write_account(keys, "tenant-foreign", FOREIGN, FOREIGN)
    (folder / "auth.seed").write_text(f"{mode.auth.public}\n{mode.auth_signing.seed}\n")
    plan = plans._operator(folder, mode, mode.auth_signing, mode.app_signing)
    return replace(plan, variables={**plan.variables, "NATS_ACCOUNTS_DIR": str(keys)})


def with_policy(world: World, policy: str) -> str:
    """Write the ServiceAccounts and a policy; return its path."""
    for namespace in NAMESPACES:
        world.accounts.write(namespace, "web")
    path = world.folder / "policy.yaml"
    path.write_text(policy)
    return str(path)


@pytest.fixture(scope="module")
def operator() -> Iterator[World]:
    with world_of(several_accounts) as world:
        policy = with_policy(world, POLICY)
        self_test = world.folder / "self-test.token"
        self_test.write_text(world.token("ops", "web"))
        world.start_responder(POLICY_FILE=policy, SELF_TEST_TOKEN_FILE=str(self_test))
        yield world


def beside(world: World) -> dict[str, str]:
    """Return the environment of a doctor beside the responder."""
    return {**world.responder.env, "PORT": str(world.responder.port)}


async def landing(world: World, namespace: str, name: str = "web") -> str:
    """Return the account that a client lands in, as connz names it, or the reason of its refusal in our log."""
    token, connection = world.token(namespace, name), f"{namespace} {time.monotonic()}"
    if (await ask(world, **world.fields(token), name=connection)).let_in:
        async with logged_in(world, token, name=connection):
            return str(world.shown(connection)["account"])
    return str(world.responder.decisions(connection=connection)[0]["reason"])


async def test_clients_land_where_their_rule_says(operator: World) -> None:
    """
    Each in the account of its rule, by the account's own key or a signing key; a silent rule means NATS_ACCOUNT; without a
    key file nobody gets in, nor into the system's account or the callout's.
    """
    assert SHOP[0].public == await landing(operator, "shop")
    assert EDGE[0].public == await landing(operator, "edge")
    assert operator.plan.target == await landing(operator, "team-a", "orders")
    for namespace in ("late", "nobody", "sys", "auth", "other"):
        assert "no_account" == await landing(operator, namespace)


def test_the_self_test_expects_the_account_of_its_rule(operator: World) -> None:
    """
    Our own ServiceAccount lands where its rule places it, and that is right to the responder and to doctor.
    """
    measured(operator.responder, SUCCESS, lambda value: value == 1)

    assert OPS[0].public == line_of(operator.responder, "self-test login succeeded")["account"]
    assert [] == causes(examined(beside(operator)))


async def test_key_files_count_while_we_run(operator: World) -> None:
    """
    At the next look (within 10 s) a key that is gone or bad shuts its account and no other, a new one opens one, and another key of the same
    account takes over; nobody restarts, and the callout account stays shut under whatever name.
    """
    keys = Path(operator.responder.env["NATS_ACCOUNTS_DIR"])
    shop = (keys / "SHOP").read_bytes()
    (keys / "SHOP").unlink()
    (keys / "tenant-edge").write_text("not what it was")
    (keys / "tenant-nobody").write_bytes((operator.folder / "auth.seed").read_bytes())
    write_account(keys, "tenant-late", *LATE)
    measured(operator.responder, FILE_ERRORS, lambda value: value == 1)
    closed = [await landing(operator, namespace) for namespace in ("shop", "edge", "nobody")]
    told = operator.responder.events("account key files cannot be used, nobody gets in there")[-1]["why"]
    opened = await landing(operator, "late"), await landing(operator, "team-a", "orders")
    (keys / "SHOP").write_bytes(shop)
    write_account(keys, "tenant-edge", EDGE[0], EDGE[0])
    (keys / "tenant-nobody").unlink()
    measured(operator.responder, FILE_ERRORS, lambda value: value == 0)

    assert (["no_account"] * 3, True) == (closed, keyfolder.INTERVAL_SECONDS < 10)
    assert (LATE[0].public, operator.plan.target) == opened
    assert "'tenant-edge': must hold two lines" in told
    assert "'tenant-nobody': holds the callout account's key" in told
    assert (SHOP[0].public, EDGE[0].public) == (await landing(operator, "shop"), await landing(operator, "edge"))


async def test_an_account_that_the_callout_may_not_use(operator: World) -> None:
    """
    A key file is not enough: the callout account's JWT must list the account. The server's complaint is logged with the
    name that the policy has for it.
    """
    asked = await ask(operator, **operator.fields(operator.token("foreign", "web")))
    complaint = line_of(operator.responder, "nats rejected an answer")

    assert not asked.let_in
    assert (["tenant-foreign"], True) == (complaint["accounts"], FOREIGN.public in complaint["reason"])


@pytest.mark.parametrize("callout", ["AUTH", ""], ids=["told", "learned"])
async def test_config_mode_places_by_name(callout: str) -> None:
    """
    Any account that the servers have, by its name in the policy: none needs a key of its own, and those of the system and
    of the callout are shut whatever a template makes of a namespace's name, also where only the server has told us what the
    callout's is called. Our own self-test needs no rule.
    """
    with world_of("config-creds") as world:
        policy = with_policy(
            world, POLICY.partition("  - {name: tenants")[0].replace("account: SHOP", "account: OTHER")
        )
        self_test = world.folder / "self-test.token"
        self_test.write_text(world.token("late", "web"))
        world.start_responder(POLICY_FILE=policy, SELF_TEST_TOKEN_FILE=str(self_test), NATS_AUTH_ACCOUNT=callout)

        assert "OTHER" == await landing(world, "shop")
        assert "APP" == await landing(world, "team-a", "orders")
        for namespace in ("sys", "auth"):
            assert "no_account" == await landing(world, namespace)
        assert "no_rule" == await landing(world, "late")
        measured(world.responder, SUCCESS, lambda value: value == 1)
        assert "APP" == line_of(world.responder, "self-test login succeeded")["account"]
        assert [] == causes(await examine(beside(world)))
