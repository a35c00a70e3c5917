"""A folder of ServiceAccount manifests as the only source."""

import asyncio
import time
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from nats_k8s_oidc_callout.adapters import manifests as module
from nats_k8s_oidc_callout.core.kubernetes.serviceaccounts import ServiceAccount
from tests.fakes.manifest_folder import APP, Heard, account
from tests.fakes.waiting import until


@pytest.fixture
def heard(tmp_path: Path) -> Heard:
    return Heard(tmp_path / "folder")


async def test_a_manifest_is_held_like_one_of_a_cluster(heard: Heard) -> None:
    """Name, namespace, uid and the annotations under the prefix come from the manifest."""
    await heard.write("app.yaml", APP)

    assert ServiceAccount("u1", {"nats.io/allowed-pub-subjects": "a.>"}) == heard.index.find("team", "app")
    assert heard.unchecked == 0


async def test_the_first_read_is_synced_even_when_empty(heard: Heard) -> None:
    """An empty folder is a whole answer."""
    before = (heard.synced, heard.last_contact)
    await heard.poll()
    await heard.poll()

    assert (False, None) == before
    assert heard.synced
    assert heard.synced
    assert heard.last_contact is not None


async def test_a_missing_folder_is_not_synced(tmp_path: Path) -> None:
    """A folder that is not there yet is no empty one: it is waited for, with an error."""
    heard = Heard(tmp_path / "folder")
    heard.path.rmdir()
    await heard.poll()

    assert not heard.synced
    assert ["the folder cannot be read (No such file or directory)"] == heard.errors


async def test_an_error_quotes_nothing_of_the_file(heard: Heard) -> None:
    """A folder may hold Secrets too: neither the error nor the log repeats what stands in a file."""
    with capture_logs() as logs:
        await heard.write("app.yaml", "kind: Secret\ndata: {password: hunter2\n")

    assert 1 == len(heard.errors)
    assert "hunter2" not in str(logs) + str(heard.errors)


async def test_a_repaired_file_ends_the_failure(heard: Heard) -> None:
    """When the file is good again its new entries count and the failure is over."""
    await heard.write("app.yaml", APP)
    await heard.write("app.yaml", "a: [")
    await heard.write("app.yaml", APP.replace("u1", "u2"))

    assert ServiceAccount("u2", {"nats.io/allowed-pub-subjects": "a.>"}) == heard.index.find("team", "app")
    assert (1, "") == (heard.good, heard.failing)


async def test_a_removed_file_takes_its_entries_along(heard: Heard) -> None:
    """Removing a manifest deletes its ServiceAccounts."""
    await heard.write("app.yaml", APP)
    await heard.write("other.yaml", account("other"))
    (heard.path / "app.yaml").unlink()
    await heard.poll()

    assert {"team/other"} == heard.names()


async def test_a_folder_that_vanishes_keeps_everything(heard: Heard) -> None:
    """An unmounted folder is an outage, not a deletion."""
    await heard.write("app.yaml", APP)
    heard.path.rename(heard.path.with_name("away"))
    await heard.poll()

    assert {"team/app"} == heard.names()
    assert ["the folder cannot be read (No such file or directory)"] == heard.errors


async def test_a_mounted_configmap_is_followed_through_its_swap(heard: Heard) -> None:
    """The links of a mounted ConfigMap stay within the folder: they are followed, and a swap is a change."""
    for version, uid in (("..one", "u1"), ("..two", "u2")):
        (heard.path / version).mkdir()
        (heard.path / version / "app.yaml").write_text(APP.replace("u1", uid))
    (heard.path / "..data").symlink_to("..one")
    (heard.path / "app.yaml").symlink_to("..data/app.yaml")
    await heard.poll()
    (heard.path / "..new").symlink_to("..two")
    (heard.path / "..new").rename(heard.path / "..data")
    await heard.poll()

    found = heard.index.find("team", "app")
    assert found is not None
    assert "u2" == found.uid
    assert [] == heard.errors


async def test_a_link_out_of_the_folder_is_not_followed(heard: Heard, tmp_path: Path) -> None:
    """A link that leads out of the folder is an error, not a manifest."""
    (tmp_path / "out.yaml").write_text(APP)
    (heard.path / "app.yaml").symlink_to("../out.yaml")
    await heard.poll()

    assert set() == heard.names()
    assert ["app.yaml: a link leads out of the folder"] == heard.errors


async def test_hidden_and_other_files_are_ignored(heard: Heard) -> None:
    """An editor's and a person's other files are no manifests."""
    for name in (".app.yaml", "app.yaml~", "README.md"):
        await heard.write(name, APP)

    assert set() == heard.names()


async def test_a_folder_named_like_a_manifest_is_an_error(heard: Heard) -> None:
    """What is no file is said, not read."""
    (heard.path / "sub.yaml").mkdir()
    await heard.poll()

    assert ["sub.yaml: Is a directory"] == heard.errors


async def test_too_many_files_change_nothing(heard: Heard, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the bound on files the old state stays as a whole."""
    await heard.write("a.yaml", account("a"))
    monkeypatch.setattr(module, "FILES_MAX", 1)
    await heard.write("b.yaml", account("b"))

    assert {"team/a"} == heard.names()
    assert ["the folder cannot be read (over 1 files)"] == heard.errors


async def test_files_too_large_together_change_nothing(heard: Heard, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the bound on the bytes of all files the old state stays as a whole, also when nothing changes any more."""
    await heard.write("a.yaml", account("a"))
    monkeypatch.setattr(module, "ALL_BYTES_MAX", 1)
    await heard.write("b.yaml", account("b"))
    await heard.poll()

    assert {"team/a"} == heard.names()
    assert ["the folder cannot be read (over 1 bytes in all)"] == heard.errors


async def test_missing_uids_are_counted(heard: Heard) -> None:
    """A manifest without a uid turns the uid check off for it, and the caller can say so."""
    await heard.write("a.yaml", account("a"))

    assert heard.unchecked == 1
    assert ServiceAccount("", None) == heard.index.find("team", "a")


async def test_an_unchanged_file_is_not_parsed_again(heard: Heard, monkeypatch: pytest.MonkeyPatch) -> None:
    """Polling by content is cheap: only a changed content is parsed, good or bad."""
    await heard.write("a.yaml", account("a"))
    await heard.write("b.yaml", "a: [")

    def refuse(content: bytes) -> list[object]:
        raise AssertionError("parsed again")

    monkeypatch.setattr(module, "load_documents", refuse)
    await heard.poll()

    assert {"team/a"} == heard.names()


async def test_it_follows_the_folder(heard: Heard) -> None:
    """Running, it takes up a change within its interval."""
    task = asyncio.create_task(heard.run(), name="manifests")
    (heard.path / "app.yaml").write_text(APP)
    await until(lambda: heard.names() == {"team/app"})
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_folder_says_when_it_was_last_read_whole(heard: Heard) -> None:
    """A look that fails counts for nothing."""
    before, began = heard.listed_at, time.time()
    await heard.poll()
    read = heard.listed_at
    heard.path.rmdir()
    await heard.poll()

    assert (0.0, read) == (before, heard.listed_at)
    assert began <= read <= time.time()
