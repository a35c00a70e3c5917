"""The tests in several processes."""

from pathlib import Path

from tests import processes

ROOT = Path(__file__).parent.parent


def test_what_is_named_is_there() -> None:
    """Files that stay together, or begin first, are files of the suite; what begins first is a whole share."""
    named = {*processes._TOGETHER, *processes._TOGETHER.values(), *processes._FIRST, *processes._FOLDERS_TOGETHER}

    assert set() == {name for name in named if not (ROOT / name).exists()}
    assert list(processes._FIRST) == [
        processes._share(f"{name}/test_x.py" if (ROOT / name).is_dir() else name) for name in processes._FIRST
    ]
