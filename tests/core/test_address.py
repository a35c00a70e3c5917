"""How the address of a NATS server is shown."""

import pytest

from nats_k8s_oidc_callout.core.nats.address import Address

SHOWN = [
    (Address("h"), "nats://h:4222"),
    (Address("::1", 1), "nats://[::1]:1"),
    (Address("10.0.0.1", must_tls=True, tls_name="h"), "tls://10.0.0.1:4222"),
]


@pytest.mark.parametrize(("address", "shown"), SHOWN)
def test_is_shown_as_it_may_be_written(address: Address, shown: str) -> None:
    """Logs and doctor show what could stand in NATS_URL."""
    assert shown == str(address)
