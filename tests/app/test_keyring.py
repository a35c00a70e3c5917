"""The logins that files hold: read at the start, and again when they change."""

from pathlib import Path
from typing import Any

import pytest

from nats_k8s_oidc_callout.adapters.files import FileWatch
from nats_k8s_oidc_callout.adapters.nats import CredsLogin, NkeyLogin
from nats_k8s_oidc_callout.app.keyring import Keyring
from nats_k8s_oidc_callout.core.nats import nkeys
from nats_k8s_oidc_callout.core.nats.nkeys import Kind, SigningKey
from nats_k8s_oidc_callout.errors import ConfigurationError
from nats_k8s_oidc_callout.settings import Settings
from tests.settings.whole import ACCOUNT, ACCOUNT_SEED, CALLOUT, USER, USER_SEED, creds

OTHER = SigningKey(Kind.USER, bytes(range(9, 41)))
OTHER_SEED = nkeys.encode_seed(Kind.USER, bytes(range(9, 41)))


def keyring(folder: Path, files: FileWatch, **settings: Any) -> Keyring:
    (folder / "signing").write_text(ACCOUNT_SEED)
    usual: dict[str, Any] = {"nats_account": "APP", "nats_signing_key_file": folder / "signing"}
    return Keyring(Settings(**(usual | settings)), files.watch)


def test_no_system_login(tmp_path: Path) -> None:
    """Without a file there is none, and imports must do."""
    assert keyring(tmp_path, FileWatch()).system_login() is None


@pytest.mark.parametrize("setting", ["nats_system_creds_file", "nats_system_nkey_file"])
def test_a_system_login_is_followed(tmp_path: Path, setting: str) -> None:
    """A new seed counts at the next login; a bad file leaves the old one, and is told."""
    path, files = tmp_path / "system", FileWatch()
    path.write_text(USER_SEED)
    keys = keyring(tmp_path, files, **{setting: path})
    logins = [keys.system_login()]
    for text in (OTHER_SEED, "nonsense"):
        path.write_text(text)
        files.poll()
        logins.append(keys.system_login())

    publics = [login.public for login in logins if isinstance(login, NkeyLogin)]
    assert [USER.public, OTHER.public, OTHER.public] == publics
    assert {"system": 1.0} == files.errors()


def test_a_system_login_of_operator_mode(tmp_path: Path) -> None:
    """In operator mode its JWT logs in, whose end is told; a seed alone is refused."""
    path = tmp_path / "system"
    usual = {"nats_account": ACCOUNT.public, "nats_auth_account": CALLOUT.public, "nats_system_creds_file": path}
    usual["nats_account_signing_key_file"] = tmp_path / "signing"
    path.write_bytes(creds())
    keys = keyring(tmp_path, FileWatch(), **usual)
    path.write_text(USER_SEED)

    login = keys.system_login()
    assert isinstance(login, CredsLogin)
    assert login.jwt in creds().decode()
    assert "system" in keys.expiries()
    with pytest.raises(ConfigurationError, match="operator mode needs a whole creds file"):
        keyring(tmp_path, FileWatch(), **usual)
