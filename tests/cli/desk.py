"""What the tests of commands share: a deployment in a folder, and a command run in it as its user would."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import click.testing
import msgspec
import yaml

from nats_k8s_oidc_callout.cli import main
from nats_k8s_oidc_callout.demo.issuer import Issuer
from tests.settings.whole import creds

# Clears the screen, fills the clipboard (OSC 52), turns the line around, hides; as C0, as C1, and as plain letters.
HOSTILE = "x\x1b[2J\x1b]52;c;aGk=\x07\x9b31m\x7f\u202e\u200b\u2028\u3164\u0489\u05d0\U000e0101z"
SPELLED = (
    r"x\u001b[2J\u001b]52;c;aGk=\u0007\u009b31m\u007f\u202e\u200b\u2028\u3164\u0489\u05d0\U000e0101z"  # ASCII alone
)


@dataclass
class Desk:
    """The responder's variables, and the files that they name."""

    folder: Path
    issuer: Issuer

    @classmethod
    def new(cls, folder: Path) -> "Desk":
        made = cls(folder, Issuer())
        (folder / "accounts").mkdir()
        (folder / "jwks").write_bytes(made.issuer.jwks())
        (folder / "creds").write_bytes(creds())
        made.account("shop", "web")
        return made

    def account(self, namespace: str, name: str, annotations: Mapping[str, str | None] | None = None) -> None:
        """Write a ServiceAccount's manifest."""
        meta = {"namespace": namespace, "name": name, "uid": f"uid-{name}", "annotations": dict(annotations or {})}
        text = yaml.safe_dump({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta})
        (self.folder / "accounts" / f"{namespace}.{name}.yaml").write_text(text)

    def token(self) -> str:
        """Return a good token of shop/web."""
        return self.issuer.token("shop", "web", "uid-web")

    def file(self, content: str | bytes) -> str:
        """Write a token file as it is given, and return its path."""
        path = self.folder / "client.token"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(path)

    def variables(self, **more: str) -> dict[str, str]:
        """Return the deployment's variables, with these beside or over them."""
        return {
            "NATS_ACCOUNT": "APP",
            "NATS_CREDS_FILE": str(self.folder / "creds"),
            "SERVICE_ACCOUNTS_DIR": str(self.folder / "accounts"),
            "JWKS_FILE": str(self.folder / "jwks"),
            "PORT": "1",
            "COLUMNS": "80",
            **more,
        }

    def run(self, *arguments: str, **more: str) -> click.testing.Result:
        """Run a command; `more` are variables beside the deployment's own."""
        return click.testing.CliRunner().invoke(main, arguments, env=self.variables(**more))

    def report(self, *arguments: str, **more: str) -> dict[str, object]:
        """Run a command with --json, and return what it printed."""
        found: dict[str, object] = msgspec.json.decode(self.run(*arguments, "--json", **more).stdout)
        return found
