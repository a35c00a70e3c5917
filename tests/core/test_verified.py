"""What is remembered of tokens that were accepted: by weight, never their text, never past their time."""

import msgspec
import pytest

from nats_k8s_oidc_callout.core.identity.issuers import Proved
from nats_k8s_oidc_callout.core.identity.verified import VerifiedTokens, place_of
from nats_k8s_oidc_callout.core.model import Token, Workload
from tests.fakes.issuer import NOW, UID


def proved(exp: int = NOW + 1, jti: str = "", others: tuple[str, ...] = ()) -> Proved:
    return Proved(Workload("team-a", "orders", UID, jti=jti), exp, NOW, other_audiences=others)


def place(text: str) -> bytes:
    return place_of(Token(text))


def test_kept_token_is_found() -> None:
    """
    A token that was accepted is found again, with what it proved, by its text alone.
    """
    cache = VerifiedTokens()
    cache.keep(place("a"), 1, proved())

    assert proved() == cache.find(place("a"), 1, NOW)
    assert cache.find(place("b"), 1, NOW) is None


def test_other_generation_is_not_found() -> None:
    """
    After the keys changed, a token is proved again; and what other keys proved takes no memory.
    """
    cache = VerifiedTokens()
    cache.keep(place("a"), 1, proved())
    assert cache.find(place("a"), 2, NOW) is None
    cache.keep(place("b"), 2, proved())

    assert 1 == len(cache)
    assert cache.find(place("a"), 1, NOW) is None
    assert cache.find(place("a"), 2, NOW) is None


def test_expired_token_is_not_found() -> None:
    """
    A kept token is gone from the very second it expires, and what it proved with it.
    """
    cache = VerifiedTokens()
    cache.keep(place("a"), 1, proved(NOW))
    before = cache.weight

    assert cache.find(place("a"), 1, NOW) is None
    assert cache.find(place("a"), 1, NOW - 1) is None
    assert cache.weight < before


@pytest.mark.parametrize("change", [{"jti": "j" * 10_000}, {"others": ("a" * 200,) * 15}], ids=["jti", "audiences"])
def test_cache_is_bounded_by_weight(change: dict[str, object]) -> None:
    """
    Heavy tokens push out old ones, and more of them than light ones do; the newest is always found.
    """
    cache = VerifiedTokens(bytes_max=60_000)
    for number in range(200):
        cache.keep(place(f"light {number}"), 1, proved())
    light = len(cache)
    heavy = msgspec.structs.replace(proved(), **_parts(change))
    for number in range(200):
        cache.keep(place(f"heavy {number}"), 1, heavy)
        assert cache.weight <= 60_000
        assert cache.find(place(f"heavy {number}"), 1, NOW) is not None

    assert len(cache) < light / 3


def _parts(change: dict[str, object]) -> dict[str, object]:
    if "jti" in change:
        return {"workload": msgspec.structs.replace(proved().workload, **change)}
    return {"other_audiences": change["others"]}


def test_expired_token_pushes_nobody_out() -> None:
    """
    One expired token that is sent again and again takes one place, not everybody's.
    """
    cache = VerifiedTokens(bytes_max=2000)
    cache.keep(place("good"), 1, proved())
    for _ in range(5):
        cache.keep(place("old"), 1, proved(NOW))
        cache.find(place("old"), 1, NOW)

    assert cache.find(place("good"), 1, NOW) is not None


def test_weights_add_up() -> None:
    """
    When all that was kept has gone, expired or pushed out, nothing weighs.
    """
    cache = VerifiedTokens(bytes_max=5000)
    for number in range(50):
        cache.keep(place(str(number)), 1, proved(NOW + number % 3, others=("x" * number,)))
        cache.find(place(str(number - 3)), 1, NOW + 1)
    cache._bytes_max = 0
    cache.keep(place("last"), 1, proved())

    assert (0, 0, {}) == (len(cache), cache.weight, cache._proved)


def test_cache_of_no_size_keeps_nothing() -> None:
    """
    A size of 0 turns the cache off.
    """
    cache = VerifiedTokens(bytes_max=0)
    cache.keep(place("a"), 1, proved())

    assert cache.find(place("a"), 1, NOW) is None


def test_cache_holds_no_token_text() -> None:
    """
    The text of a kept token is in none of the cache's parts: a memory dump of it opens no door.
    """
    cache = VerifiedTokens()
    cache.keep(place("secret-text"), 1, proved())

    assert "secret-text" not in repr([vars(cache), UID])
