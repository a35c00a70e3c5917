"""NACK's objects as far as our guides use them: definitions for the API server, with the fields that NACK's own have.

The fields are those of jetstream.nats.io/v1beta2 (the crate kcr_jetstream_nats_io lists them); NACK's files are not copied
here. Unknown fields are refused, which is all that these are for.
"""

from typing import Any

import yaml

_TEXT: dict[str, Any] = {"type": "string"}
_TEXTS: dict[str, Any] = {"type": "array", "items": _TEXT}
_NUMBER: dict[str, Any] = {"type": "integer"}
_YES: dict[str, Any] = {"type": "boolean"}


def _object(**members: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": members}


def _one_of(*words: str) -> dict[str, Any]:
    return {"type": "string", "enum": list(words)}


_SECRET = _object(name=_TEXT)
_LOGIN = {"account": _TEXT, "servers": _TEXTS, "creds": _TEXT, "nkey": _TEXT, "tlsFirst": _YES}
KINDS: dict[str, dict[str, Any]] = {
    "Account": _object(
        name=_TEXT,
        servers=_TEXTS,
        creds=_object(secret=_SECRET, file=_TEXT),
        nkey=_object(secret=_SECRET, seed=_TEXT),
        token=_object(secret=_SECRET, token=_TEXT),
        user=_object(secret=_SECRET, user=_TEXT, password=_TEXT),
        tls=_object(secret=_SECRET, ca=_TEXT, cert=_TEXT, key=_TEXT),
        tlsFirst=_YES,
    ),
    "Stream": _object(
        **_LOGIN,
        **dict.fromkeys(("name", "description", "maxAge", "duplicateWindow"), _TEXT),
        **dict.fromkeys(
            ("replicas", "maxMsgs", "maxBytes", "maxMsgSize", "maxConsumers", "maxMsgsPerSubject"), _NUMBER
        ),
        **dict.fromkeys(("noAck", "denyDelete", "denyPurge", "allowDirect", "preventDelete", "preventUpdate"), _YES),
        subjects=_TEXTS,
        storage=_one_of("file", "memory"),
        retention=_one_of("limits", "interest", "workqueue"),
        discard=_one_of("old", "new"),
    ),
    "Consumer": _object(
        **_LOGIN,
        **dict.fromkeys(
            ("streamName", "durableName", "description", "deliverSubject", "deliverGroup", "filterSubject", "ackWait"),
            _TEXT,
        ),
        **dict.fromkeys(("maxDeliver", "maxAckPending", "replicas", "maxWaiting", "optStartSeq"), _NUMBER),
        **dict.fromkeys(("headersOnly", "memStorage", "preventDelete", "preventUpdate"), _YES),
        filterSubjects=_TEXTS,
        backoff=_TEXTS,
        deliverPolicy=_one_of("all", "last", "new", "byStartSequence", "byStartTime"),
        ackPolicy=_one_of("none", "all", "explicit"),
    ),
}
CHART_VALUES = {
    "jetstream.nats.url",
    "jetstream.nats.credentials.secret.name",
    "jetstream.nats.credentials.secret.key",
    "jetstream.nats.nkey.secret.name",
    "jetstream.nats.nkey.secret.key",
    "jetstream.tls.enabled",
    "jetstream.tls.secretName",
}
"""Values of NACK's chart (0.34) that a guide may print; it drops others without a word."""


def manifest() -> str:
    """Return the definitions for `kubectl apply`."""
    return yaml.safe_dump_all(_definition(kind, spec) for kind, spec in KINDS.items())


def _definition(kind: str, spec: dict[str, Any]) -> dict[str, Any]:
    plural = f"{kind.lower()}s"
    schema = {"type": "object", "properties": {"spec": spec}}
    version = {"name": "v1beta2", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"kind": kind, "singular": kind.lower(), "plural": plural}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.jetstream.nats.io"},
        "spec": {"group": "jetstream.nats.io", "scope": "Namespaced", "names": names, "versions": [version]},
    }
