"""The official NATS chart as our guides need it: what becomes of values, and which it drops without a word."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.guides import nats_chart
from tests.guides.blocks import ROOT

EXAMPLES = sorted((ROOT / "examples" / "nats").glob("*-values.yaml"))


def values(text: str) -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load(text)
    return read


def test_cluster_and_jetstream_by_two_switches() -> None:
    """The guide's two --set make three nodes with routes by name, and JetStream on the volume."""
    rendered = nats_chart.render(values("config: {cluster: {enabled: true}, jetstream: {enabled: true}}"))

    assert (3, []) == (rendered.replicas, rendered.dropped)
    assert [f"nats://nats-{number}.nats-headless:6222" for number in range(3)] == rendered.document["cluster"]["routes"]
    assert '"max_file_store": 10Gi' in rendered.config
    assert '"store_dir": "/data"' in rendered.config


def test_each_pod_has_its_own_name() -> None:
    """What stands between << and >> loses its quotes, so that the server reads it from the environment."""
    assert '"server_name": $SERVER_NAME' in nats_chart.render({}).config


def test_merge_lies_over_all_else() -> None:
    """`config.merge` adds members, replaces values and lists, and takes away with null."""
    merged = nats_chart.render(values("config: {merge: {port: 4000, lame_duck_duration: null, a: {b: [1]}}}")).document

    assert (4000, {"b": [1]}, False) == (merged["port"], merged["a"], "lame_duck_duration" in merged)


def test_include_is_a_directive() -> None:
    """A key that ends in $include becomes an include, with its path as the container has it."""
    rendered = nats_chart.render(values("config: {merge: {00$include: ../nats-operator/resolver.conf}}"))

    assert "include ../nats-operator/resolver.conf;" in rendered.config
    assert ["/etc/nats-operator/resolver.conf"] == rendered.includes
    assert "$include" not in rendered.config


@pytest.mark.parametrize(
    ("text", "dropped"),
    [
        pytest.param("config: {resolver: {operator: x, systemAccount: SYS}}", 2, id="the guide's resolver"),
        pytest.param("config: {jetstream: {enabled: true, memStorage: {}}}", 1, id="a value of the old chart"),
        pytest.param("auth: {enabled: true}", 1, id="a section of the old chart"),
        pytest.param("config: {merge: {anything: {at: all}}}", 0, id="below merge anything goes"),
        pytest.param("podTemplate: {configChecksumAnnotation: true}", 0, id="the checksum"),
        pytest.param("podTemplate: {configChecksumAnotation: true}", 1, id="the checksum, misspelt"),
    ],
)
def test_what_the_chart_drops_is_found(text: str, dropped: int) -> None:
    """A value that the chart does not know is named, since the chart does not."""
    assert dropped == len(nats_chart.render(values(text)).dropped)
    if dropped:
        with pytest.raises(ValueError, match="no value"):
            nats_chart.server_configuration(values(text))


@pytest.mark.parametrize("path", [pytest.param(path, id=path.name) for path in EXAMPLES])
def test_examples_lose_nothing_and_restart_the_servers(path: Path) -> None:
    """Each values file that we ship is read whole, restarts the Pods, and keeps the time-out below two seconds."""
    rendered = nats_chart.render(values(path.read_text(encoding="utf-8")))

    assert ([], True, 3) == (rendered.dropped, rendered.restarts, rendered.replicas)
    assert rendered.document["authorization"]["timeout"] == 1.5


@pytest.mark.parametrize("path", [pytest.param(path, id=path.name) for path in EXAMPLES])
def test_examples_hold_no_secret(path: Path) -> None:
    """What is to be filled in stands in angle brackets; no key, seed or JWT is shipped."""
    text = path.read_text(encoding="utf-8")

    assert "<" in text
    assert not [word for word in json.dumps(values(text)).split('"') if len(word) > 50 and word.isalnum()]
