"""What tests/conftest.py promises about this folder."""

import socket

import pytest


@pytest.mark.parametrize("name", ["socket", "socketpair", "create_connection", "getaddrinfo"])
def test_core_test_gets_no_socket(name: str) -> None:
    """A test of the core that asks for a socket fails, and so does one that wants an event loop (it needs a pair)."""
    with pytest.raises(AssertionError, match="asked for a socket"):
        getattr(socket, name)()
