"""At most 1 MiB of a file. Keys, certificates, key sets and manifests are far below; a log named by mistake is not."""

import errno
import stat
from pathlib import Path

BYTES_MAX = 1 << 20


def read_file(path: Path) -> bytes:
    """Return what a regular file holds; raise OSError for anything else, such as a pipe that would keep us waiting.

    A folder is IsADirectoryError. No `strerror` quotes what was read.
    """
    found = path.stat()
    if not stat.S_ISREG(found.st_mode) and not stat.S_ISDIR(found.st_mode):
        raise OSError(errno.EINVAL, "it is not a regular file")
    with path.open("rb") as file:
        # Of one that is known to be too large nothing is read: somebody may poll thousands of them.
        content = file.read(BYTES_MAX + 1) if found.st_size <= BYTES_MAX else None
    if content is None or len(content) > BYTES_MAX:
        raise OSError(errno.EFBIG, "it is larger than 1 MiB")
    return content
