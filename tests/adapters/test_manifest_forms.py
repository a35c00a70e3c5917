"""What a manifest file may look like, and what happens to one that is none."""

from pathlib import Path

import pytest

from nats_k8s_oidc_callout.adapters.manifests import NamespaceFolder
from nats_k8s_oidc_callout.bounded.documents import load_documents
from nats_k8s_oidc_callout.core.kubernetes.namespaces import Namespaces
from nats_k8s_oidc_callout.errors import BadManifest
from tests.fakes.manifest_folder import APP, Heard, account
from tests.fakes.namespaces import STAGE, TEAM


@pytest.fixture
def heard(tmp_path: Path) -> Heard:
    return Heard(tmp_path / "folder")


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (account("a") + "---\n" + account("b"), {"team/a", "team/b"}),
        ("---\n---\n" + account("a") + "---\nkind: Secret\ndata: {a: b}\n", {"team/a"}),
        (
            "kind: List\nitems:\n- kind: ServiceAccount\n  metadata: {name: a}\n- kind: Pod\n  metadata: {}\n",
            {"default/a"},
        ),
        ("kind: ServiceAccountList\nitems:\n- metadata: {name: a, namespace: x}\n", {"x/a"}),
        ('{"kind":"ServiceAccount","metadata":{"name":"a","namespace":null,"uid":null}}', {"default/a"}),
        ("kind: List\nitems:\n", set()),
        ("# nothing\n", set()),
    ],
    ids=["documents", "other kinds", "list", "typed list", "json", "empty list", "comment"],
)
async def test_the_forms_of_a_manifest(heard: Heard, text: str, names: set[str]) -> None:
    """Several documents, lists and JSON are read; other kinds are ignored; the namespace is `default` when missing."""
    await heard.write("app.yaml", text)

    assert names == heard.names()
    assert [] == heard.errors


async def test_a_null_is_no_annotation(heard: Heard) -> None:
    """A key without a value, as a template leaves it, is no annotation; the others count."""
    keys = '{nats.io/allowed-pub-subjects: null, nats.io/allowed-sub-subjects: "b.>", nats.io/other: ~}'
    await heard.write("app.yaml", f"kind: ServiceAccount\nmetadata: {{name: a, annotations: {keys}}}\n")
    found = heard.index.find("default", "a")

    assert [] == heard.errors
    assert found is not None
    assert {"nats.io/allowed-sub-subjects": "b.>"} == found.annotations


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a: [", "not YAML at line "),
        ("\x00", "not YAML"),
        (b"\xff\xfe\x00", "not YAML"),
        ("when: 2026-13-45", "not YAML"),
        ("!!python/object/apply:os.getcwd []", "not YAML at line 1"),
        ("a: &x 1\nb: *x", "aliases are not supported"),
        ("[" * 200, "nested too deeply"),
        ("- a", "a document is not a mapping"),
        ("kind: List\nitems: 5", "the items of a List are not a list"),
        ("kind: List\nitems: [5]", "an item of a List is not a mapping"),
        ("kind: ServiceAccount", "must be text"),
        ("kind: ServiceAccount\nmetadata: {namespace: a}", "must be text"),
        ("kind: ServiceAccount\nmetadata: {name: 5}", "must be text"),
        ("kind: ServiceAccount\nmetadata: {name: a, annotations: {a: true}}", "must be text"),
        ("kind: ServiceAccount\nmetadata: {name: a/b}", "no legal name"),
        ("kind: ServiceAccount\nmetadata: {name: ''}", "no legal name"),
        ("x" * (1024 * 1024 + 1), "it is larger than 1 MiB"),
    ],
    ids=["open", "zero", "utf-16", "date", "python", "alias", "deep", "list", "items", "item", "no metadata",
         "no name", "number", "bool", "slash", "empty", "large"],
)  # fmt: skip
async def test_a_file_that_is_no_manifest_keeps_what_it_had(heard: Heard, text: str | bytes, why: str) -> None:
    """A broken file keeps its last good entries and raises one error; the files beside it go on."""
    await heard.write("app.yaml", APP)
    await heard.write("app.yaml", text)
    await heard.write("other.yaml", account("other"))
    await heard.poll()

    assert {"team/app", "team/other"} == heard.names()
    assert 1 == len(heard.errors)
    assert heard.errors[0].startswith("app.yaml: ")
    assert why in heard.errors[0]


def test_a_merge_bomb_is_refused_quickly() -> None:
    """Merge keys over aliases double at each line: they are refused before anything is built."""
    bomb = b"a0: &a0 {x: 1}\n" + b"".join(
        b"a%d: &a%d {<<: [*a%d, *a%d]}\n" % (n, n, n - 1, n - 1) for n in range(1, 60)
    )
    with pytest.raises(BadManifest, match="aliases"):
        load_documents(bomb)


NAMESPACE = (
    "kind: Namespace\nmetadata: {name: shop, labels: {example.com/team: retail, other: x, example.com/stage: null}}\n"
)


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        pytest.param(NAMESPACE, {TEAM: "retail"}, id="one"),
        pytest.param(f"{APP}---\n{NAMESPACE}", {TEAM: "retail"}, id="beside a ServiceAccount"),
        pytest.param("kind: NamespaceList\nitems: [{metadata: {name: shop}}]", {}, id="typed list, no labels"),
        pytest.param(
            "kind: Namespace\nmetadata: {name: shop, labels: {example.com/team: true}}", "must be text", id="true"
        ),
        pytest.param(
            "kind: Namespace\nmetadata: {name: shop, labels: {example.com/team: a b}}", "not allow", id="space"
        ),
        pytest.param("kind: Namespace\nmetadata: {name: a.b}", "no legal name", id="name"),
        pytest.param("kind: Namespace", "must be text", id="no metadata"),
    ],
)
async def test_namespaces_stand_beside_serviceaccounts(tmp_path: Path, text: str, labels: dict[str, str] | str) -> None:
    """
    Of the manifests of Namespaces the labels that rules use are read; a bad one is an error, and the namespace unknown.
    """
    index = Namespaces([TEAM, STAGE])
    folder = NamespaceFolder(tmp_path, index)
    (tmp_path / "all.yaml").write_text(text)
    await folder.poll()

    if isinstance(labels, str):
        assert (labels in folder.failing, None) == (True, index.find("shop"))
    else:
        assert ("", labels) == (folder.failing, index.find("shop"))
