"""Results that several tests export."""

from pathlib import Path

import pytest
from support.exports import SIDES, Fits, write_fits, write_track


@pytest.fixture(scope="package")
def fits(tmp_path_factory: pytest.TempPathFactory) -> Fits:
    """Fits of both hands."""
    return write_fits(tmp_path_factory.mktemp("exports"))


@pytest.fixture(scope="package", params=SIDES)
def track(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a track, of each hand in turn."""
    return write_track(tmp_path_factory.mktemp("tracks"), request.param)
