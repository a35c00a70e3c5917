"""Requests to the API server: authenticated, bounded, redirects and proxies never followed."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import aiohttp

from nats_k8s_oidc_callout.adapters.kubernetes.credentials import Credentials, CredentialSource
from nats_k8s_oidc_callout.bounded.trust import system_cas
from nats_k8s_oidc_callout.core.names import PROGRAM

HEADERS = {
    "Accept": "application/json",
    # The server compresses above 128 KiB, which costs us a fifth more CPU on a list and saves only local network.
    "Accept-Encoding": "identity",
    "User-Agent": PROGRAM,
}
CONNECT_SECONDS = 5.0
OBJECT_BYTES_MAX = 10 * 1024 * 1024
"""One object, alone in an answer or in a line of a watch: etcd's have up to 1.5 MiB, and JSON spells a character with six.

With less, whoever may write a ServiceAccount could write one that breaks every watch.
"""


class ApiServer:
    """One API server, or the address that stands for several. Needs a running loop at the first request."""

    def __init__(self, source: CredentialSource) -> None:
        self._source = source
        self._session: aiohttp.ClientSession | None = None

    @property
    def base_url(self) -> str:
        return self._source.base_url

    def credentials(self) -> Credentials:
        """Return the newest credentials, for whoever else may ask this very server (the key endpoint)."""
        return self._source.current()

    @asynccontextmanager
    async def get(
        self, path: str, params: Mapping[str, str], *, total_seconds: float, silence_seconds: float
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Give the response to a GET, whatever its status; a 401 is asked once more with the newest token.

        `path` is already quoted. Raises aiohttp.ClientError, OSError or TimeoutError.
        """
        response = await self._ask(path, params, self._source.current(), total_seconds, silence_seconds)
        if response.status == 401:
            response.release()
            renewed = self._source.current(refused=True)
            response = await self._ask(path, params, renewed, total_seconds, silence_seconds)
        # Closing and not releasing would cost the connection after each page; a body that was not read to its end
        # closes it anyway.
        async with response:
            yield response

    async def close(self) -> None:
        """Close every connection; a later request opens new ones."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _ask(
        self, path: str, params: Mapping[str, str], who: Credentials, total_seconds: float, silence_seconds: float
    ) -> aiohttp.ClientResponse:
        if self._session is None:
            # trust_env off: a proxy variable must never see a cluster credential.
            self._session = aiohttp.ClientSession(
                trust_env=False,
                auto_decompress=True,
                cookie_jar=aiohttp.DummyCookieJar(),
                connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=10),
            )
        return await self._session.get(
            f"{self._source.base_url}{path}",
            params=params,
            headers={**HEADERS, **who.headers},
            ssl=who.tls or system_cas(),
            # A redirect would carry the token elsewhere.
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(
                total=total_seconds, sock_connect=CONNECT_SECONDS, connect=CONNECT_SECONDS, sock_read=silence_seconds
            ),
        )
