"""What the key endpoint, the API server and manifests say, fuzzed."""

from contextlib import suppress
from pathlib import Path

from nats_k8s_oidc_callout.adapters.manifests import ManifestFolder
from nats_k8s_oidc_callout.core.identity import tokens
from nats_k8s_oidc_callout.core.identity.keyset import parse_jwks
from nats_k8s_oidc_callout.core.kubernetes.namespaces import Namespaces
from nats_k8s_oidc_callout.core.kubernetes.serviceaccounts import Index
from nats_k8s_oidc_callout.core.kubernetes.wire import SERVICE_ACCOUNTS
from nats_k8s_oidc_callout.core.names import is_label_value
from nats_k8s_oidc_callout.errors import BadKeySet, BadManifest, Unreachable


def key_set(data: bytes) -> None:
    """A key endpoint's answer."""
    try:
        parsed = parse_jwks(data)
    except BadKeySet:
        return
    assert 0 < len(parsed.keys) <= 100
    for kid, key in parsed.keys.items():
        assert kid == key.kid and tokens.legal_kid(kid)
        assert key.alg in tokens.ALGORITHMS
        assert key.alg != "RS256" or key.numbers[0].bit_length() >= 2048
        assert not key.key.is_private


def watch(data: bytes) -> None:
    """Lines of a watch, one after the other, upon indexes that know one ServiceAccount, and one Namespace."""
    labels = _labels()
    index = Index("nats.io/")
    index.begin().put("team-a", "orders", index.entry("uid-1", None))
    for line in data.split(b"\n")[:16]:
        with suppress(Unreachable):
            labels.apply(line)
        before = dict(index._entries)
        try:
            event = index.apply(line)
        except Unreachable:
            assert before == index._entries, "a line that could not be read changed something"
            continue
        lost = before.keys() - index._entries.keys()
        assert not lost or event.kind != "BOOKMARK"
    _check_index(index)
    _check_labels(labels)


def list_page(data: bytes) -> None:
    """A page of a list, of ServiceAccounts or of Namespaces."""
    labels = _labels()
    with suppress(Unreachable):
        labels.begin().page(data)
    _check_labels(labels)
    index = Index("nats.io/")
    index.begin().put("team-a", "orders", index.entry("uid-1", None))
    relist = index.begin()
    try:
        page = relist.page(data)
    except Unreachable:
        assert index.find("team-a", "orders") is not None
        return
    assert page.resource_version == SERVICE_ACCOUNTS.read_version(data)
    relist.commit()
    _check_index(index)


def _labels() -> Namespaces:
    labels = Namespaces(["team", "kubernetes.io/metadata.name"])
    labels.begin().put("team-a", {"team": "a"})
    return labels


def _check_labels(labels: Namespaces) -> None:
    shared = list(labels._entries.values())
    assert {id(one) for one in shared} == {id(one) for one in labels._sets.values()}
    for name, found in labels._entries.items():
        assert name and "/" not in name, name
        assert set(found) <= set(labels.keys) and all(map(is_label_value, found.values())), found


def _check_index(index: Index) -> None:
    for name, entry in index._entries.items():
        assert name.count("/") == 1 and not name.startswith("/") and not name.endswith("/"), name
        assert entry.uid
        assert all(key.startswith("nats.io/") for key in entry.annotations or {})


def manifest(data: bytes) -> None:
    """A file in the folder of manifests."""
    index = Index("nats.io/")
    folder = ManifestFolder(Path(), index)
    try:
        for found in folder._parse(data):
            index.begin().put(*found)
    except BadManifest as error:
        assert len(str(error)) < 200
        return
    for name in index._entries:
        assert name.count("/") == 1, name
