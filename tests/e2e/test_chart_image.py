"""The rendered Deployment runs from the built image, and the guide's own commands pass once more."""

import json
from collections.abc import Iterator

import pytest

from tests.e2e.chart_world import NAME, NAMESPACE, Release, release_in
from tests.e2e.test_chart_runs import GUIDE_KEYS, GUIDE_TEST, start_seconds
from tests.image.built import image

pytestmark = [pytest.mark.slow, pytest.mark.e2e]


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Release]:
    built = image()
    folder = tmp_path_factory.mktemp("chart-image")
    with release_in(folder, image_root=built.rootfs, image_config=built.config) as running:
        yield running


def test_the_guides_end_to_end_test_passes(release: Release, measured: list[str]) -> None:
    """
    From the image, two ready replicas pass the guide's section "Test End-to-End" word for word.
    """
    *steps, forbidden = GUIDE_TEST.split("\n\n")
    printed = release.sh("\n\n".join(steps))
    token = "TOKEN=$(kubectl create token test-client -n default --audience=nats)\n"
    refused = release.try_sh(token + forbidden)
    starts = ", ".join(f"{start_seconds(pod):.2f}" for pod in release.pods())
    measured.append(f"start to ready from the image, both at once: {starts} s")

    assert 'Published 5 bytes to "test.hello"' in printed
    assert "permissions violation for publish" in refused.output.lower()
    assert [(True, 0), (True, 0)] == [(pod.ready, pod.restarts) for pod in release.pods()]


def test_the_guides_look_at_the_key_set_is_literal(release: Release) -> None:
    """
    The guide's `kubectl exec … wget -O- …/jwks` line prints the key set, word for word, from within the image.
    """
    printed = release.sh(f"({GUIDE_KEYS.strip()}) 2>/dev/null")

    assert {"RS256"} == {key["alg"] for key in json.loads(printed)["keys"]}


def test_the_image_is_as_confined_as_the_chart_says(release: Release) -> None:
    """
    In the Pod it is user 65532 without capabilities on a root that it cannot write, and the image was not changed.
    """
    look = "import os; print(os.getuid(), os.getgid(), open('/proc/self/status').read())"
    printed = release.sh(f'kubectl exec -n {NAMESPACE} deployment/{NAME} -- python3 -c "{look}"')
    write = release.try_sh(f"kubectl exec -n {NAMESPACE} deployment/{NAME} -- python3 -c \"open('/etc/x', 'w')\"")

    assert printed.startswith("65532 65532")
    assert "CapBnd:\t0000000000000000" in printed
    assert "NoNewPrivs:\t1" in printed
    assert "Read-only file system" in write.output


def test_helm_test_passes(release: Release) -> None:
    """
    `helm test` runs its Pod from the same image, and that says that a client gets in.
    """
    printed = release.sh(f"helm test {NAME} -n {NAMESPACE} --logs --timeout 60s", 70)

    assert "ok: a client with a token was let in" in printed
