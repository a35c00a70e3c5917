"""In what order and how fast sessions are taken up."""

import pytest

from nats_k8s_oidc_callout.core.sessions.turns import Bucket, Queue


@pytest.mark.parametrize("rate", [1.0, 10.0, 50.0, 1000.0])
def test_a_bucket_gives_its_rate_and_a_burst(rate: float) -> None:
    bucket, taken, now = Bucket(rate), 0, 1000.0
    for _ in range(500):
        while bucket.has(now):
            bucket.take()
            taken += 1
        now += 0.02
    assert rate * 10 - 2 <= taken <= rate * 10 + max(rate / 10, 2)
    assert bucket.has(now + 10)
    # A clock that was set back gives nothing twice.
    before = Bucket(1.0)
    before.has(1000.0)
    before.take()
    before.take()
    assert not before.has(10.0)


def test_a_queue_forgets_what_does_not_wait() -> None:
    queue = Queue()
    for cid in range(10):
        queue.push(f"n{cid % 5}", float(cid), cid, (("S", cid), False))
    queue.keep(lambda serial, slot: serial == slot[0][1] and serial % 5 == 0)
    assert (queue.entries, list(queue.namespaces)) == (2, ["n0"])
