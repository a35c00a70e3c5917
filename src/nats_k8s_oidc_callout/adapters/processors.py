"""How much of a processor the kernel lets this process have: the CPU limit of a container."""

from pathlib import Path

_GROUP = Path("/proc/self/cgroup")
_ROOT = Path("/sys/fs/cgroup")


def limit(group: Path = _GROUP, root: Path = _ROOT) -> float | None:
    """Return the limit in processors (0.5: half of one), or None without one, or where it cannot be read.

    The law is the kernel's Documentation/admin-guide/cgroup-v2.rst (`cpu.max`), and cgroup-v1's `cpu.cfs_quota_us`.
    """
    try:
        lines = group.read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError):
        return None
    for _, controllers, path in (line.split(":", 2) for line in lines if line.count(":") >= 2):
        try:
            if not controllers:
                quota, period = (root / path.lstrip("/") / "cpu.max").read_text(encoding="ascii").split()
            elif "cpu" in controllers.split(","):
                # A container sees its own group at the root of what is mounted.
                places = (root / "cpu" / path.lstrip("/"), root / "cpu")
                place = next(place for place in places if (place / "cpu.cfs_quota_us").is_file())
                quota = (place / "cpu.cfs_quota_us").read_text(encoding="ascii")
                period = (place / "cpu.cfs_period_us").read_text(encoding="ascii")
            else:
                continue
            if int(quota) > 0:
                return int(quota) / int(period)
        except (OSError, ValueError, StopIteration, ZeroDivisionError):
            continue
    return None
