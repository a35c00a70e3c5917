"""The system's CAs, read once somebody needs them."""

import functools
import ssl

import aiohttp.connector

# aiohttp reads them when it is imported, twice, and keeps 2 MiB of them; in a cluster, which has a CA of its own, nobody
# asks for them. Whoever forgets to say whom to trust gets a context that trusts nobody.
aiohttp.connector._SSL_CONTEXT_VERIFIED = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
aiohttp.connector._SSL_CONTEXT_UNVERIFIED = aiohttp.connector._SSL_CONTEXT_VERIFIED


@functools.cache
def system_cas() -> ssl.SSLContext:
    """Return what checks a server by the CAs of the system."""
    return ssl.create_default_context()
