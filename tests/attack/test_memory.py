"""Everything that strangers and tenants can make us hold, at once, within the chart's memory limit."""

import json
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
MEBIBYTE = 1 << 20


def test_all_stores_at_once_fit_the_memory_limit() -> None:
    """
    With 50,000 ServiceAccounts and every store filled by the heaviest there is, the process stays below the limit of the
    chart, at its peak too; and each store was full.
    """
    ran = subprocess.run(
        [sys.executable, "-m", "tests.attack.heaviest"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert 0 == ran.returncode, ran.stderr
    seen = json.loads(ran.stdout)
    limit = yaml.safe_load((ROOT / "helm/nats-k8s-oidc-callout/values.yaml").read_text())["resources"]["limits"][
        "memory"
    ]

    assert "256Mi" == limit
    assert seen["full"]["VmRSS"] < 256
    assert seen["full"]["VmHWM"] < 256
    least = {"index": 40, "labels": 7, "grants": 15, "tokens": 15, "look-ups": 3, "lanes": 31, "log": 1}
    assert {} == {name: seen[name] for name, mebibytes in least.items() if seen[name] < mebibytes * MEBIBYTE}
    assert seen["serviceaccounts"] > 50_000
    assert seen["ignored"] > 0
    assert 4096 == seen["hosts"]
