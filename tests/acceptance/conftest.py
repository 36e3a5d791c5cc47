"""The real hosts that acceptance tests deploy to, and what deploys to them."""

from pathlib import Path

import pytest

from acceptance.steer import Steer
from lab.fixtures import lab, make_lab
from lab.lab import Lab

__all__ = ["lab", "make_lab"]


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where builds are kept: each wheel is made once for all tests."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def steer(tmp_path: Path, cache: Path, lab: Lab) -> Steer:
    return Steer(tmp_path / "steer", cache, lab)
