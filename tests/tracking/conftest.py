"""The tests of tracking share their fits."""

import pytest
from support.remembered_fits import remember_fits


@pytest.fixture(autouse=True)
def _each_image_is_fitted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    remember_fits(monkeypatch)
