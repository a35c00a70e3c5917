"""What the configuration decides by, as one short hash: replicas of a release that differ in it decide differently."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from nats_k8s_oidc_callout.settings import VARIABLES, NatsServers, Secret, Settings

# Where things are and how the process runs may differ between replicas, and decides nothing. A setting that is not here
# is hashed: one that is forgotten makes an alert too many, and never one too few.
_DECIDE_NOTHING = frozenset(
    (
        "home",
        "host",
        "kubernetes_service_host",
        "kubernetes_service_port",
        "kubeconfig",
        "log_format",
        "log_level",
        "port",
    )
)
_DIGITS = 16


def fingerprint(settings: Settings, keys: Mapping[str, Sequence[str]]) -> str:
    """Return 16 hex digits over the settings that decide, and the public `keys` that sign and unseal now.

    Anybody who may read metrics sees it, so nothing secret goes in, not even into the hash: a short password could be
    guessed from it. Of files it has whether they are set: paths decide nothing, and what is in them is not for it.
    """
    decides: dict[str, object] = {
        name: _plain(value)
        for name in VARIABLES
        if name not in _DECIDE_NOTHING and not isinstance(value := getattr(settings, name), Secret | NatsServers)
    }
    text = msgspec.json.encode([decides, {name: sorted(values) for name, values in keys.items()}], order="sorted")
    return hashlib.sha256(text).hexdigest()[:_DIGITS]


def _plain(value: object) -> object:
    if isinstance(value, Path):
        return True
    if isinstance(value, str) and "://" in value:
        # A query may hold a credential.
        parts = urlsplit(value)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
    if isinstance(value, bool | int | float | str) or value is None:
        return value
    if isinstance(value, tuple | frozenset | list):
        return sorted(str(_plain(item)) for item in value)
    return str(value)
