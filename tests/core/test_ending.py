"""When sessions end."""

from hypothesis import given
from hypothesis import strategies as st

from nats_k8s_oidc_callout.core.sessions.ending import session_end
from tests.fakes.issuer import NOW


@given(lifetime=st.integers(1, 100_000), longest=st.integers(1, 100_000), dice=st.text(min_size=1, max_size=56))
def test_a_session_never_outlives_its_token(lifetime: int, longest: int, dice: str) -> None:
    """
    A session ends before its token, within the maximum, and at most a tenth sooner than it could.
    """
    end = session_end(NOW + lifetime, dice, longest, NOW + 0.9)
    could = min(NOW + lifetime - 1, NOW + longest)

    assert NOW <= end <= could
    assert end - NOW >= 0.9 * (could - NOW) - 1


def test_sessions_that_start_together_end_apart() -> None:
    """
    A hundred pods with one token expiry do not come back in one second.
    """
    ends = {session_end(NOW + 3600, f"U{number}", 3600, NOW) for number in range(100)}

    assert len(ends) > 50
