"""The ways in which a file changes under a responder: in one step, and as a kubelet changes what it mounts."""

import shutil
import time
from pathlib import Path


def rename(path: Path, text: str) -> None:
    """Write beside it, and put it in place in one step."""
    aside = path.with_name("aside")
    aside.write_text(text)
    aside.replace(path)


def mount(path: Path, text: str) -> None:
    """Change it as a kubelet changes a ConfigMap: a new folder, and one symlink that names it."""
    folder = path.parent
    new = folder / f"..{time.monotonic_ns()}"
    new.mkdir()
    (new / path.name).write_text(text)
    data, aside = folder / "..data", folder / "..data_tmp"
    old = data.resolve() if data.is_symlink() else None
    aside.symlink_to(new.name)
    aside.replace(data)
    if not path.is_symlink():
        path.unlink(missing_ok=True)
        path.symlink_to(Path("..data") / path.name)
    if old is not None:
        shutil.rmtree(old)
