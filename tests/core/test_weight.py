from nats_k8s_oidc_callout.core.weight import text_weight


def test_one_emoji_counts_for_all() -> None:
    """A text weighs what Python needs for it at most: a byte a character, or four when one of them is not ASCII."""
    assert (0, 3, 12) == (text_weight(""), text_weight("abc"), text_weight("ab\U0001f600"))
