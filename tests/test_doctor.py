"""doctor and the responder before what only a stranger would send; what needs a real server is in tests/e2e."""

from pathlib import Path

from nats_k8s_oidc_callout import doctor, settings
from nats_k8s_oidc_callout.adapters import telemetry
from nats_k8s_oidc_callout.app.composition import App
from nats_k8s_oidc_callout.settings import Settings
from tests.fakes.hostile_server import hostile_server
from tests.settings.whole import JWKS, creds


def loaded(folder: Path, **more: str) -> Settings:
    """Return settings of config mode with all that they name in `folder`."""
    (folder / "accounts").mkdir()
    (folder / "jwks").write_bytes(JWKS)
    (folder / "creds").write_bytes(creds())
    return settings.load(
        {
            "NATS_ACCOUNT": "APP",
            "NATS_CREDS_FILE": str(folder / "creds"),
            "SERVICE_ACCOUNTS_DIR": str(folder / "accounts"),
            "JWKS_FILE": str(folder / "jwks"),
            "PORT": "0",
            **more,
        }
    )


async def test_an_info_that_is_no_text_is_a_finding(tmp_path: Path) -> None:
    """A server whose INFO cannot be read is a failure with a cause, and never a traceback."""
    async with hostile_server(greeting=b'INFO {"server_id":"N","version":"\xff"}\r\n') as server:
        report = await doctor.examine(loaded(tmp_path, NATS_URL=server.url))

    assert ["nats_unreachable"] == report.causes
    assert "the server's INFO cannot be read" in report.findings[1].detail


async def test_a_complaint_that_is_no_text_is_ignored(tmp_path: Path) -> None:
    """What stands on the servers' subject of complaints raises nothing into the connection's reader."""
    logs = telemetry.configure("error", "json")
    try:
        app = App(loaded(tmp_path), logs)
        for event in (b'{"reason":"\xff"}', b'{"reason":' + b"[" * 100_000, b""):
            app._hear(event)
    finally:
        logs.close()
