"""The second net: nothing that looks like a credential leaves in a log line, whoever put it there.

The first net is that secrets have no repr. This one catches what other people's exceptions and clients'
own words carry. It rather takes a word too many than a token too few.
"""

import re
from functools import lru_cache

from nats_k8s_oidc_callout.core.spelling import escape

MASK = "[redacted]"

_SECRETS = re.compile(
    r"""
      -----BEGIN\ [A-Z0-9 ]*(?:PRIVATE\ KEY|SEED|JWT)-----[\s\S]*?(?:-----+END[A-Z0-9 ]*-----+|\Z)
    | eyJ[A-Za-z0-9_-]{13,}={0,2}(?:\.[A-Za-z0-9_=-]*)*           # base64 of '{"': a JWT, whole or cut off
    | (?<![A-Za-z0-9_-])[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{40,}  # a JWT that begins otherwise
    | S[OANUXC][A-Z2-7]{56}                                       # an nkey seed ...
    | (?<![A-Z2-7])S[OANUXC][A-Z2-7]{18,}                         # ... or its beginning; public keys never start so
    | (?<![A-Za-z0-9_-])(?P<run>[A-Za-z0-9_-]{64,})               # a lone signature; a kid (43) and a key (56) pass
    """,
    re.VERBOSE,
)
_LABELLED = re.compile(
    r"""
      (?P<header>\bbearer\s+|\bauthorization["']?\s*[:=]\s*["']?(?:(?:basic|bearer)\s+)?)[^\s"']+
    | (?P<pair>\b(?:password|passwd|pass|token|auth_token|access_token|secret|seed)=)[^\s&,;"']+
    | (?P<field>["'](?:auth_token|token|pass|password|jwt|sig|seed|nkey_seed|authorization)["']\s*:\s*)
      (?:"(?:[^"\\]|\\.)*"?|'(?:[^'\\]|\\.)*'?)                 # a CONNECT line, as JSON or as Python shows it
    """,
    re.VERBOSE | re.IGNORECASE,
)
# Each takes its whole run of characters, found or not, so that no text makes them look twice.
_URL = re.compile(r"""://[^\s"'<>]*""")
_USER_AT_HOST = re.compile(r"""(?<![^\s"'<>(,])[^\s"'<>(,:/]+:(?!//)[^\s"'<>]*@""")


def redact(text: str) -> str:
    """Return `text` with everything that looks like a credential masked; linear in its length."""
    if "@" in text:
        text = _URL.sub(_mask_user_info, text)
        text = _USER_AT_HOST.sub(f"{MASK}@", text)
    text = _LABELLED.sub(_keep_label, text)
    return _SECRETS.sub(_mask, text)


def _mask_user_info(match: re.Match[str]) -> str:
    # To the last '@': a password may hold '@', ',' or '/' unescaped, and a list has more than one of them.
    _, at, host = match[0].rpartition("@")
    return f"://{MASK}@{host}" if at else match[0]


def _keep_label(match: re.Match[str]) -> str:
    return f"{match['header'] or match['pair'] or match['field']}{MASK}"


def _mask(match: re.Match[str]) -> str:
    run = match["run"]
    # A long plain name or a hexadecimal digest is no signature: that one mixes cases.
    return run if run and (run.islower() or run.isupper()) else MASK


# What needs no look: addresses, Kubernetes names, uuids. Lower case throughout is neither token nor seed, and
# no character here can introduce a password.
_PLAIN = re.compile(r"[a-z0-9.:_-]{0,128}\Z|[A-Za-z0-9._-]{0,15}\Z")


def clean(text: str, limit: int = 128) -> str:
    """Return what a client chose, fit for one log field: masked, escaped, at most `limit` characters and a mark."""
    if _PLAIN.match(text):
        return text
    # Masked before it is cut (half a token is a token too), but not over more than could show.
    return _clean(text[: 4 * limit], limit)


# Hosts, servers and connection names come again and again; 1,024 of at most 1,024 characters bound the memory.
@lru_cache(maxsize=1024)
def _clean(text: str, limit: int) -> str:
    masked = escape(redact(text))
    return masked if len(masked) <= limit else f"{masked[:limit]}…"
