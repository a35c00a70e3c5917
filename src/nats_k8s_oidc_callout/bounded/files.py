"""At most 1 MiB of a file. Keys, certificates, key sets and manifests are far below; a log named by mistake is not."""

import errno
import stat
from pathlib import Path

BYTES_MAX = 1 << 20


def read_file(path: Path, most: int = 0) -> bytes:
    """Return what a regular file holds; raise OSError for anything else, such as a pipe that would keep us waiting.

    At most `most` bytes, else 1 MiB. A folder is IsADirectoryError. No `strerror` quotes what was read.
    """
    limit = most or BYTES_MAX
    found = path.stat()
    if not stat.S_ISREG(found.st_mode) and not stat.S_ISDIR(found.st_mode):
        raise OSError(errno.EINVAL, "it is not a regular file")
    with path.open("rb") as file:
        # Of one that is known to be too large nothing is read: somebody may poll thousands of them.
        content = file.read(limit + 1) if found.st_size <= limit else None
    if content is None or len(content) > limit:
        raise OSError(errno.EFBIG, f"it is larger than {f'{most} bytes' if most else '1 MiB'}")
    return content
