"""What two patterns have in common, spelt out: the oracle for what must stay out of reach."""


def overlap(one: str, other: str) -> bool:
    """Say whether some message subject matches both patterns."""
    left, right = one.split("."), other.split(".")
    for a, b in zip(left, right, strict=False):
        if a == ">" or b == ">":
            return True
        if "*" not in (a, b) and a != b:
            return False
    return len(left) == len(right)
