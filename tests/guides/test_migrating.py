"""docs/MIGRATING.md: its table has every value of the Go chart, and names values of ours; and what it says of running both."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import yaml

from tests.e2e.clients import ask
from tests.e2e.plans import config_creds
from tests.e2e.worlds import world_of
from tests.guides.blocks import ROOT

DOCUMENT = ROOT / "docs" / "MIGRATING.md"
OURS = ROOT / "helm" / "nats-k8s-oidc-callout" / "values.yaml"
# Every value of the Go service's chart, as its values.yaml lists them.
_GO_CHART = """
replicaCount image.repository image.pullPolicy image.tag nats.url nats.account nats.userCredentials.create
nats.userCredentials.content nats.userCredentials.existingSecret nats.userCredentials.existingSecretKey nats.token
nats.signingKey.create nats.signingKey.content nats.signingKey.existingSecret nats.signingKey.existingSecretKey jwt.issuer
jwt.audience jwt.jwksUrl logLevel secretEnv secretVolume resources rbac.create serviceAccount.create
serviceAccount.annotations serviceAccount.name podAnnotations podSecurityContext securityContext nodeSelector tolerations
affinity networkPolicy.enabled networkPolicy.natsPort networkPolicy.ingress networkPolicy.egress
networkPolicy.natsSelector metrics.podMonitor.enabled metrics.podMonitor.namespace metrics.podMonitor.labels
metrics.podMonitor.annotations metrics.podMonitor.path metrics.podMonitor.interval metrics.podMonitor.scrapeTimeout
metrics.podMonitor.relabelings metrics.podMonitor.metricRelabelings logs.podLogs.enabled logs.podLogs.namespace
logs.podLogs.labels logs.podLogs.annotations logs.podLogs.pipelineStages logs.podLogs.relabelings extraObjects
"""
GO_CHART = re.findall(r"\S+", _GO_CHART)
NOT_VALUES = {"user.creds", "signing.key", "app"}
"""What looks like a path of values in the table's left column, and is a key in a Secret, or a label."""
_PATH = re.compile(r"`([a-z][A-Za-z]*(?:\.[A-Za-z]+)*)(?::[^`]*)?`")


def rows() -> Iterator[tuple[set[str], set[str]]]:
    """Yield what each row of the values' table names on the left and on the right."""
    _, _, table = DOCUMENT.read_text(encoding="utf-8").partition("| Go chart | ours |")
    for line in table.partition("\n\n")[0].splitlines():
        cells = line.split("|")
        if len(cells) == 4:
            yield set(_PATH.findall(cells[1])) - NOT_VALUES, set(_PATH.findall(cells[2]))


def paths(values: Mapping[str, Any], path: str = "") -> Iterator[str]:
    for name, value in values.items():
        yield f"{path}{name}"
        if isinstance(value, Mapping):
            yield from paths(value, f"{path}{name}.")


OUR_PATHS = set(paths(yaml.safe_load(OURS.read_text(encoding="utf-8"))))


def test_table_has_every_value_that_is_called_otherwise() -> None:
    """A value of the Go chart stands in the table, or has the same name in ours."""
    told = set().union(*(left for left, _ in rows()))

    assert told <= set(GO_CHART)
    assert [] == [path for path in GO_CHART if path not in told and path not in OUR_PATHS]


def test_table_names_values_of_ours() -> None:
    """What the table says instead is a value of our chart."""
    named = set().union(*(right for _, right in rows())) - {"credentials", "app.kubernetes.io"}

    assert named
    assert [] == sorted(named - OUR_PATHS)


@pytest.mark.e2e
async def test_both_are_asked_and_the_first_answer_counts() -> None:
    """
    Two services in queue groups of their own see each login; where one lets in and one refuses, it is a race.
    """
    with world_of(config_creds) as world:
        both = [world.start_responder(), world.start_responder(NATS_QUEUE_GROUP="q", JWT_AUDIENCE="another")]
        before = [one.metrics()["nats_auth_requests_total"] for one in both]
        said = [(await ask(world, auth_token=world.token())).said for _ in range(20)]
        after = [one.metrics()["nats_auth_requests_total"] for one in both]

    assert [20, 20] == [now - then for now, then in zip(after, before, strict=True)]
    assert "-ERR 'Authorization Violation'" in said
