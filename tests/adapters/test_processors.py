"""The CPU limit, as the kernel's two generations of control groups tell it."""

from pathlib import Path

import pytest

from nats_k8s_oidc_callout.adapters import processors


@pytest.mark.parametrize(
    ("group", "files", "expected"),
    [
        pytest.param("0::/\n", {"cpu.max": "50000 100000\n"}, 0.5, id="v2 in a container"),
        pytest.param("0::/a/b\n", {"a/b/cpu.max": "150000 100000\n"}, 1.5, id="v2 on a node"),
        pytest.param("0::/\n", {"cpu.max": "max 100000\n"}, None, id="v2 without a limit"),
        pytest.param("0::/\n", {}, None, id="v2 without the controller"),
        pytest.param("0::/\n", {"cpu.max": "rubbish"}, None, id="rubbish"),
        pytest.param(
            "5:cpu,cpuacct:/pod\n",
            {"cpu/pod/cpu.cfs_quota_us": "25000\n", "cpu/pod/cpu.cfs_period_us": "100000\n"},
            0.25,
            id="v1 on a node",
        ),
        pytest.param(
            "7:memory:/x\n5:cpu,cpuacct:/pod\n0::/\n",
            {"cpu/cpu.cfs_quota_us": "50000\n", "cpu/cpu.cfs_period_us": "100000\n"},
            0.5,
            id="v1 in a container",
        ),
        pytest.param(
            "5:cpu:/\n",
            {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"},
            None,
            id="v1 without a limit",
        ),
        pytest.param("", {}, None, id="nothing"),
    ],
)
def test_limit(tmp_path: Path, group: str, files: dict[str, str], expected: float | None) -> None:
    """The limit is the quota of a period, in processors."""
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "group").write_text(group)

    assert expected == processors.limit(tmp_path / "group", tmp_path)


def test_no_groups_at_all(tmp_path: Path) -> None:
    """Where there are no control groups there is no limit."""
    assert None is processors.limit(tmp_path / "none", tmp_path)
