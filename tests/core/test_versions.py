"""The order of resource versions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nats_k8s_oidc_callout.core.kubernetes.versions import is_older

NUMBERS = st.integers(min_value=1, max_value=10**30)


@pytest.mark.parametrize(
    ("version", "than", "older"),
    [
        ("99", "100", True),
        ("100", "99", False),
        ("100", "100", False),
        ("18446744073709551615", "18446744073709551616", True),
        ("9" * 5000, "1" + "0" * 5000, True),
        ("opaque", "opaque", False),
        ("0", "5", None),
        ("5", "0", None),
        ("007", "8", None),
        ("+7", "8", None),
        ("-7", "8", None),
        ("7.0", "8", None),
        ("1_0", "8", None),
        (" 7", "8", None),
        ("7\n", "8", None),
        ("٣", "8", None),
        ("²", "8", None),
        ("a1", "a2", None),
        ("", "8", None),
        ("8", "", None),
    ],
)
def test_only_decimal_numbers_have_an_order(version: str, than: str, older: bool | None) -> None:
    """Decimal numbers of any length are compared; of anything else only equality says something (KEP-5504)."""
    assert older is is_older(version, than)


@given(NUMBERS, NUMBERS)
def test_the_order_is_that_of_numbers(one: int, other: int) -> None:
    """Comparing the text is comparing the numbers."""
    assert (one < other) is is_older(str(one), str(other))
