"""When a session ends by itself."""

import binascii

# Pods of one rollout share the second their tokens end; without this they would all come back in that second.
_JITTER_SHARE = 0.1


def session_end(token_ends: int, user_nkey: str, max_seconds: int, now: float) -> int:
    """Return when the session ends (Unix seconds): before the token does, and within what the platform allows.

    The server counts `exp` minus its whole second from the moment it accepts, so up to a second past `exp`
    (NATS_FACTS 7.3): one second is taken off. `user_nkey` is new at every login and serves as the dice.
    """
    start = int(now)
    longest = max(0, min(token_ends - 1 - start, max_seconds))
    share = binascii.crc32(user_nkey.encode()) % 1000 / 1000
    return start + longest - int(longest * _JITTER_SHARE * share)
