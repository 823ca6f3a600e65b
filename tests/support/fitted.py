"""A real fit of an example, made once, and folders of it."""

from functools import lru_cache
from pathlib import Path

import pytest

import handopt
from handopt.result import FitResult

EXAMPLES = Path(__file__).resolve().parents[2] / "assets" / "examples"


@lru_cache(maxsize=4)
def fitted(name: str = "open") -> FitResult:
    """The fit of an example."""
    path = EXAMPLES / f"{name}.png"
    image = handopt.read_image(path)
    return handopt.fit(image.depth_mm, image.camera, hand=image.hand, image=str(path))


@pytest.fixture(scope="module")
def fit_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the fit of an open hand."""
    folder: Path = handopt.save(fitted(), tmp_path_factory.mktemp("fits") / "open", renders=False)
    return folder
