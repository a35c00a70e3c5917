"""The order of resource versions, as far as Kubernetes lets a client know it."""


def is_older(version: str, than: str) -> bool | None:
    """Tell whether `version` was issued before `than`; None when the two cannot be compared.

    Both must be of one resource of one cluster. By KEP-5504 such versions are ordered when each is a decimal number,
    of any length, without a sign or a leading zero; `0` is none, since no cluster issues it. Anything else is opaque:
    then only equal text says something, namely that it is the same version.
    """
    if version == than:
        return False
    if not (_is_number(version) and _is_number(than)):
        return None
    # Without leading zeros the longer one is the greater. No `int`, for it refuses more than 4,300 digits.
    return (len(version), version) < (len(than), than)


def _is_number(text: str) -> bool:
    # `isdigit` alone is true for digits of other scripts.
    return text.isascii() and text.isdigit() and text[0] != "0"
