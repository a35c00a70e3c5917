"""Whom HTTPS is spoken with where no CA is named."""

import ssl
from types import SimpleNamespace

import aiohttp
import pytest

from nats_k8s_oidc_callout.bounded.trust import system_cas


@pytest.mark.parametrize("said", [True, False])
async def test_a_client_that_names_nobody_trusts_nobody(said: bool) -> None:
    """
    The contexts that aiohttp takes by itself check, and have no CA in memory.
    """
    async with aiohttp.ClientSession() as session:
        assert isinstance(session.connector, aiohttp.TCPConnector)
        taken = session.connector._get_ssl_context(SimpleNamespace(is_ssl=lambda: True, ssl=said))  # type: ignore[arg-type]

    assert taken is not None
    assert (ssl.CERT_REQUIRED, True) == (taken.verify_mode, taken.check_hostname)
    assert {"x509": 0, "x509_ca": 0, "crl": 0} == taken.cert_store_stats()


def test_the_system_is_asked_once() -> None:
    """
    It checks as Python's own default does, and is read at the first call only.
    """
    default = ssl.create_default_context()

    assert system_cas() is system_cas()
    assert (default.cert_store_stats(), default.verify_mode, default.check_hostname) == (
        system_cas().cert_store_stats(),
        system_cas().verify_mode,
        system_cas().check_hostname,
    )
