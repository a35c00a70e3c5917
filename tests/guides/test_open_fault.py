"""Only the open fault's own signs make a walk an expected failure."""

import pytest

from tests.guides.open_fault import open_fault
from tests.guides.walk import WalkError


def test_another_fault_fails_the_walk() -> None:
    """
    A command or an output that went wrong for another reason is raised as it is.
    """
    with pytest.raises(WalkError), open_fault():
        raise WalkError("docs/DEPLOY.md:1 (X): it printed something else")


def test_the_fault_is_told() -> None:
    """
    The word of doctor for an unanswered login ends the test as an expected failure, with its place.
    """
    with pytest.raises(pytest.xfail.Exception, match=r"cause: no_responder at docs/DEPLOY\.md"), open_fault():
        raise WalkError("docs/DEPLOY.md:1 (X): it printed cause: no_responder")
