"""What the sources of keys and ServiceAccounts tell."""

import asyncio
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from nats_k8s_oidc_callout.adapters.files import FileWatch
from nats_k8s_oidc_callout.adapters.telemetry import Metrics
from nats_k8s_oidc_callout.app import sources
from nats_k8s_oidc_callout.app.sources import FileKeys, FolderWorkloads
from nats_k8s_oidc_callout.core.kubernetes.serviceaccounts import Index
from nats_k8s_oidc_callout.errors import Unreachable
from tests.fakes.issuer import issuer_key, jwks
from tests.fakes.waiting import until


async def test_the_keys_of_a_file_are_told_again_and_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that are gone are told as gone twice, though the file is taken in once."""
    monkeypatch.setattr(sources, "_TOLD_SECONDS", 0.01)
    path, other = tmp_path / "jwks.json", issuer_key("ES256")
    path.write_bytes(jwks(issuer_key()))
    watch = FileWatch()
    keys = FileKeys(path, watch.watch, Metrics(CollectorRegistry(), ""))
    told: list[list[str]] = []
    keys.on_fetched = lambda kids: told.append(list(kids))
    path.write_bytes(jwks(other))
    watch.poll()
    assert [[other.kid]] == told
    ((_, run),) = keys.loops
    task = asyncio.create_task(run())
    await until(lambda: told[1:3] == [[other.kid], [other.kid]])
    task.cancel()


async def test_a_folder_is_in_sync_while_all_of_it_can_be_read(tmp_path: Path) -> None:
    """A manifest that is bad may be the one of a ServiceAccount that is gone by now."""
    folder = FolderWorkloads(tmp_path, Index("nats.io/"))
    seen = [folder.in_sync("team")]
    await folder.prime()
    seen.append(folder.in_sync("team"))
    (tmp_path / "bad.yaml").write_text("{")
    await folder.prime()
    folder.list_again()
    # It says nothing of this moment, and need not: it is read again and again.
    with pytest.raises(Unreachable):
        await folder.look_now("team", "app", 1.0)

    assert [False, True, False] == [*seen, folder.in_sync("team")]
    assert folder.listed_at > 0
