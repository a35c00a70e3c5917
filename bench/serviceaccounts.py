"""What 50,000 ServiceAccounts cost the index: memory held, peak on a relist, CPU of a list and of a watch.

Run with `python bench/serviceaccounts.py [COUNT]`. No network: the pages are made beforehand, one at a time, so that
memory is the index's own. 10,000 namespaces; a fifth are bare, the others as Helm leaves them, with managedFields;
a tenth have annotations for us. Compare ratios of one run only.
"""

import gc
import json
import resource
import sys
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

from nats_k8s_oidc_callout.core.kubernetes.serviceaccounts import Index

PAGE = 500
MIB = 1024 * 1024


def account(number: int) -> dict[str, object]:
    namespace, name = (
        f"team-{number % 10_000:05}",
        "default" if number % 5 == 0 else f"worker-{number // 10_000}-{number % 7}",
    )
    metadata: dict[str, object] = {
        "name": f"{name}-{number // 10_000}",
        "namespace": namespace,
        "uid": f"01234567-89ab-cdef-0123-{number:012}",
        "resourceVersion": str(1000 + number),
        "creationTimestamp": "2026-11-24T00:00:00Z",
    }
    if number % 5:
        labels = {f"app.kubernetes.io/{key}": f"{name}-{key}" for key in ("name", "instance", "version", "managed-by")}
        annotations = {"meta.helm.sh/release-name": name, "meta.helm.sh/release-namespace": namespace}
        if number % 10 == 1:
            annotations["nats.io/allowed-pub-subjects"] = f"{namespace}.shared.>, orders.{number}.>"
            annotations["nats.io/allowed-sub-subjects"] = f"orders.{number}.>"
        fields = {f"f:{key}": {} for key in (*labels, *annotations)}
        managed = [
            {"manager": "helm", "operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": fields}
        ]
        metadata |= {"labels": labels, "annotations": annotations, "managedFields": managed}
    return {"metadata": metadata}


def pages(count: int) -> Iterator[bytes]:
    for begin in range(0, count, PAGE):
        end = min(count, begin + PAGE)
        metadata = {"resourceVersion": "99", "continue": "next" if end < count else ""}
        items = [account(number) for number in range(begin, end)]
        yield json.dumps({"kind": "ServiceAccountList", "metadata": metadata, "items": items}).encode()


def resident() -> float:
    """VmRSS in MiB."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def relist(index: Index, count: int) -> tuple[float, float]:
    """Return the CPU seconds of a whole list, and the longest of one page."""
    spent = longest = 0.0
    begun = time.process_time()
    new = index.begin()
    spent += time.process_time() - begun
    for body in pages(count):
        begun = time.process_time()
        new.page(body)
        took = time.process_time() - begun
        spent, longest = spent + took, max(longest, took)
    begun = time.process_time()
    new.commit()
    return spent + time.process_time() - begun, longest


def main(count: int) -> None:
    for _ in pages(PAGE):
        pass
    before = resident()
    index = Index("nats.io/")
    first, longest = relist(index, count)
    gc.collect()
    held = resident()
    again, longest_again = relist(index, count)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    lines = [json.dumps({"type": "MODIFIED", "object": account(number)}).encode() for number in range(1, 20_001)]
    begun = time.process_time()
    for line in lines:
        index.apply(line)
    events = len(lines) / (time.process_time() - begun)
    print(f"ServiceAccounts held     {len(index)}")
    print(f"memory before, held      {before:.1f}, {held:.1f} MiB (peak with a relist {peak:.1f})")
    print(
        f"list, first and again    {first:.3f}, {again:.3f} CPU s (longest page {max(longest, longest_again) * 1000:.1f} ms)"
    )
    print(f"watch                    {events:.0f} events per CPU s")
    del index, lines
    gc.collect()
    tracemalloc.start()
    index = Index("nats.io/")
    relist(index, count)
    gc.collect()
    traced, _ = tracemalloc.get_traced_memory()
    print(f"one entry                {traced / len(index):.0f} B")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 50_000)
