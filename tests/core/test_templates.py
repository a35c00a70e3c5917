"""Texts with variables: what is filled in, and where a variable may stand."""

import pytest

from nats_k8s_oidc_callout.core.grants.templates import Template, is_value_of_label, value_of_name
from nats_k8s_oidc_callout.errors import BadTemplate

VALUES = {"team": "shop", "namespace": "shop-eu", "name": "a_b", "root": "team.shop"}


@pytest.mark.parametrize(
    ("text", "variables", "filled"),
    [
        ("orders.>", (), "orders.>"),
        ("{root}.{namespace}.>", ("root", "namespace"), "team.shop.shop-eu.>"),
        ("{team}.{team}", ("team", "team"), "shop.shop"),
        ("consume:{team}_*", ("team",), "consume:shop_*"),
    ],
)
def test_fill(text: str, variables: tuple[str, ...], filled: str) -> None:
    """Each variable is replaced by its value, all else stays."""
    template = Template.of(text)

    assert (variables, frozenset(variables), filled) == (template.variables, template.names, template.fill(VALUES))


@pytest.mark.parametrize(
    "text", ["{", "a}", "{}", "{{team}}", "{team.x}", "{team[0]}", "{team!r}", "{team:>9}", "{0}", "{te am}"]
)
def test_bad_template(text: str) -> None:
    """A brace is part of a plain variable or refused: nothing else of Python's format language gets in."""
    with pytest.raises(BadTemplate, match="brace"):
        Template.of(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a.{team}.>", True),
        ("{team}", True),
        ("a.b", True),
        ("a-{team}.x", False),
        ("a.{team}{name}", False),
        ("{team}_*.x", False),
    ],
)
def test_whole_tokens(text: str, expected: bool) -> None:
    """In a subject a variable is a token by itself."""
    assert expected is Template.of(text).whole_tokens()


@pytest.mark.parametrize(
    ("text", "is_open", "guarded", "apart"),
    [
        ("tenant-{name}", False, True, True),
        ("ORDERS_*", False, True, True),
        ("{team}_*", True, True, True),
        ("{name}_*", True, True, False),
        ("KV_{team}_x*", True, True, True),
        ("{team}*", True, False, True),
        ("{team}-*", True, False, True),
        ("*_{team}", True, False, True),
        ("*_{team}_x", True, True, True),
        ("*{team}_x", True, False, True),
        ("*-{team}_x", True, False, True),
    ],
)
def test_names_beside_a_glob(text: str, is_open: bool, guarded: bool, apart: bool) -> None:
    """
    Beside a `*` a variable is followed by `_`, and its value has none: `shop_*` is not for `shop_eu`. Behind one it
    begins with `_`, too: else `*op_x`, of the team `op`, would be for `shop_x`.
    """
    template = Template.of(text)

    assert (is_open, guarded, apart) == (template.is_open, template.guarded(), template.keeps_apart(VALUES))


def test_values() -> None:
    """Dots of a name become `_`; a label's value is taken as it is or not at all."""
    assert "a_b-c" == value_of_name("a.b-c")
    values = ("Team_A-1", "a.b", "", "x" * 64, "a\n", "ä", "*", "_INBOX")
    assert [True, *[False] * 7] == [is_value_of_label(value) for value in values]
