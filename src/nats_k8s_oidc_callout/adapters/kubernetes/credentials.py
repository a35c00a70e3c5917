"""Who we are to the API server, from the files that the kubelet mounts and rotates."""

import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import structlog

from nats_k8s_oidc_callout.bounded.files import read_file
from nats_k8s_oidc_callout.errors import ConfigurationError

log = structlog.get_logger("kubernetes")


@dataclass(frozen=True, slots=True)
class Credentials:
    """What one request needs. The headers hold the token, so they have no repr."""

    headers: Mapping[str, str] = field(repr=False)
    tls: ssl.SSLContext | None
    """Trusts the cluster's CA only; None means what aiohttp trusts by itself."""


class CredentialSource(Protocol):
    """Where an ApiServer is, and who we are to it."""

    @property
    def base_url(self) -> str:
        """Scheme, host and port, without a slash at the end."""
        ...

    def current(self, refused: bool = False) -> Credentials:
        """Return the newest credentials; `refused` says that the server just answered 401. Never raises."""
        ...


class MountedCredentials:
    """`token` and `ca.crt` of a mounted folder, read again for every request.

    That is two reads of a memory file beside a network round trip, and covers what the rules ask for (every
    connect, every minute, every 401) without a clock: a stale token shows in the operators' metrics for a year.
    """

    def __init__(self, folder: Path, base_url: str) -> None:
        """Raise ConfigurationError when the first read gives no token or no usable CA."""
        self._folder = folder
        self._base_url = base_url.rstrip("/")
        self._token = ""
        self._ca = b""
        self._tls: ssl.SSLContext | None = None
        self._failing: dict[str, str] = {}
        self.current()
        if self._failing:
            raise ConfigurationError([f"K8S_CREDENTIALS_DIR: {why}" for why in self._failing.values()])

    @property
    def base_url(self) -> str:
        return self._base_url

    def current(self, refused: bool = False) -> Credentials:  # noqa: ARG002 - read again anyway
        """Read both files; one that cannot be read or used keeps its last good value."""
        self._keep_or_take("token", self._read_token)
        self._keep_or_take("ca.crt", self._read_ca)
        return Credentials({"Authorization": f"Bearer {self._token}"}, self._tls)

    def _keep_or_take(self, name: str, take: Callable[[], None]) -> None:
        try:
            take()
        except (OSError, ValueError) as error:
            # The class alone: the text of a decoding error quotes the bytes, here a token.
            why = f"{self._folder / name} cannot be used ({type(error).__name__})"
            if self._failing.get(name) != why:
                self._failing[name] = why
                log.warning("kubernetes credential unreadable, keeping the last", file=name, why=why)
            return
        if self._failing.pop(name, None) is not None:
            log.info("kubernetes credential readable again", file=name)

    def _read_token(self) -> None:
        token = read_file(self._folder / "token").decode("ascii").strip()
        # Anything else would be a header of its own, or an exception that prints the token.
        if not token or not token.isprintable() or " " in token:
            raise ValueError("no token inside")
        self._token = token

    def _read_ca(self) -> None:
        ca = read_file(self._folder / "ca.crt")
        if ca != self._ca:
            self._tls = ssl.create_default_context(cadata=ca.decode("ascii"))
            self._ca = ca
