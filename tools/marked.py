"""Documents with a part that a tool makes: it stands between two marks, and the tool writes it anew."""

from pathlib import Path

END = "<!-- end -->"


def with_part(document: str, begin: str, part: str) -> str:
    """Return the document with this part between the mark `begin` and the next END."""
    before, _, rest = document.partition(begin)
    _, _, after = rest.partition(END)
    return f"{before}{begin}\n\n{part}\n\n{END}{after}"


def write_part(document: Path, begin: str, part: str) -> None:
    """Bring the document on disk up to date."""
    document.write_text(with_part(document.read_text(encoding="utf-8"), begin, part), encoding="utf-8")
