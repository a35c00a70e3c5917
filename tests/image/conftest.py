"""The image once a run."""

import pytest

from tests.image import built
from tests.image.built import Image


@pytest.fixture(scope="session")
def image() -> Image:
    return built.image()
