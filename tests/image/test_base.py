"""The stand-in for Docker's image of Python, on which all other tests here build.

First by name, since it takes a minute where it is not in the cache yet. Slow.
"""

import pytest

from tests.image import built
from tools.image import PYTHON_IMAGE, Store, stand_in

pytestmark = pytest.mark.slow


def test_stand_in_has_the_name_that_the_dockerfile_says() -> None:
    """The base is found under the name of Docker's image, so the Dockerfile is built as it is."""
    reason = built.missing()
    if reason:
        pytest.skip(f"the image cannot be built here: {reason}")
    images = Store(stand_in()).run("images", "--format", "{{.Name}}:{{.Tag}}")

    assert f"docker.io/library/{PYTHON_IMAGE}" == images
