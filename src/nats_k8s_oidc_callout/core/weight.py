"""What texts weigh in memory: whatever a stranger can make us hold is bounded by it."""


def text_weight(text: str) -> int:
    """Return what a text takes at most, in bytes: one emoji makes every character of it four bytes long."""
    return len(text) if text.isascii() else 4 * len(text)
