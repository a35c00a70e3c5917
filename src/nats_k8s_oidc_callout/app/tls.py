"""CA, certificate and key for NATS, and the TLS context that they make together."""

import ssl
from pathlib import Path

import structlog
from cryptography import x509

from nats_k8s_oidc_callout.adapters.files import Watch
from nats_k8s_oidc_callout.bounded.files import read_file
from nats_k8s_oidc_callout.errors import ConfigurationError
from nats_k8s_oidc_callout.settings import Settings

log = structlog.get_logger("tls")


class TlsFiles:
    """The context of the last files that went together.

    Certificate and key may be replaced one after the other: the change of either tries the whole again, and what does
    not go together yet leaves the old context in use.
    """

    def __init__(self, settings: Settings, watch: Watch) -> None:
        """Raise ConfigurationError when the files make no context."""
        self._ca, self._certificate, self._key = (
            settings.nats_tls_ca_file,
            settings.nats_tls_cert_file,
            settings.nats_tls_key_file,
        )
        self.context: ssl.SSLContext | None = None
        self.failing = ""
        """Why the files are not used as they are, or nothing."""
        self._ends: dict[str, float | None] = {"tls": None, "ca": None}
        for path in (self._ca, self._certificate, self._key):
            if path is not None:
                watch("tls", path, bytes, self._build)
        if self.failing:
            raise ConfigurationError([f"NATS_TLS_CERT_FILE: {self.failing}"])

    def expiries(self) -> dict[str, float | None]:
        """Return when certificate and CA end (Unix seconds), by the label of their metric."""
        return self._ends

    def _build(self, _: bytes) -> None:
        try:
            context = ssl.create_default_context(cafile=self._ca)
            if self._certificate is not None:
                context.load_cert_chain(self._certificate, self._key)
            ends = {"tls": _end(self._certificate), "ca": _end(self._ca)}
        except (OSError, ValueError) as error:
            # The class alone: a parser's text may quote a key.
            self.failing = f"the TLS files do not go together ({type(error).__name__})"
            log.warning("tls files rejected, keeping the last good ones", why=self.failing)
            return
        self.context, self._ends, self.failing = context, ends, ""


def _end(path: Path | None) -> float | None:
    if path is None:
        return None
    return min(found.not_valid_after_utc.timestamp() for found in x509.load_pem_x509_certificates(read_file(path)))
