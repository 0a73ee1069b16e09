"""Hypothesis profiles and the place of the reference vectors."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

from tests.golden.archives import unpack

pytest_plugins = ("tests.laws",)

settings.register_profile("default", deadline=None, print_blob=True, max_examples=40)
settings.register_profile("thorough", deadline=None, print_blob=True, max_examples=1000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


@pytest.fixture(scope="session")
def golden(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The reference vectors that the repository keeps, unpacked: hf, layer, gguf, numerics (tests/golden/README.md)."""
    return unpack(tmp_path_factory.mktemp("golden"))
