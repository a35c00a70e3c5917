"""Where one NATS server is."""

from dataclasses import dataclass

DEFAULT_PORT = 4222


@dataclass(frozen=True, slots=True)
class Address:
    """One server; `str()` has no user info, so it may be logged."""

    host: str
    port: int = DEFAULT_PORT
    must_tls: bool = False
    """The scheme is `tls`: a server that does not offer TLS is refused."""
    tls_name: str | None = None
    """The name that its certificate must carry, where that is not `host`."""

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'tls' if self.must_tls else 'nats'}://{host}:{self.port}"
