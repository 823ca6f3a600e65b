"""Runs `handopt fit` in the tests: small images, settings for a quick fit, and a stand-in for the fit itself."""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from handopt.cli.main import main
from handopt.config import FitSettings
from handopt.fitting import FitInput
from handopt.result import FitResult
from support import factories

EXAMPLES = Path(__file__).resolve().parents[2] / "assets" / "examples"
CAMERA = {"fx": 150.0, "fy": 150.0, "cx": 79.5, "cy": 59.5, "width": 160, "height": 120}
QUICK = """
starts = 2
crop_px = 64
points = 64
vertices = { iterations = 2 }
stages = [{ iterations = 3, radius_px = 4.0, sigma_mm = 20.0, step = 1.0, top_k_out = 1 }]
"""


def fit(*arguments: str | Path) -> Result:
    """Run `handopt fit` in this process."""
    return CliRunner().invoke(main, ["fit", *map(str, arguments)])


def write_depth(path: Path, counts: Any = None, dtype: type = np.uint16) -> Path:
    """Write a 16-bit image, by default 120 x 160 at 500."""
    Image.fromarray(np.asarray(np.full((120, 160), 500) if counts is None else counts).astype(dtype)).save(path)
    return path


def write_camera(folder: Path, name: str = "camera.json", **more: Any) -> Path:
    """Write a camera for the images of write_depth."""
    (folder / name).write_text(json.dumps({**CAMERA, **more}))
    return folder / name


class FakeFit:
    """Stands in for handopt.fitting.fit_image where the fit is not the point; remembers how it was called."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []
        self.before: Callable[[int], None] = lambda _index: None
        self.changes: dict[str, Any] = {}

    def __call__(self, given: FitInput, settings: FitSettings, progress: Any = None) -> FitResult:
        self.calls.append({**vars(given), **vars(settings), "progress": progress})
        self.before(len(self.calls) - 1)
        return factories.fit_result(
            width=160,
            height=120,
            iterations=2,
            size=24,
            **{"image": given.image, "notes": tuple(given.notes), **self.changes},
        )

    def many(self, images: Sequence[FitInput], settings: FitSettings, batch: int) -> Iterator[FitResult]:
        """Stands in for handopt.fitting.fit_images."""
        assert len(images) <= batch
        return (self(image, settings) for image in images)


@pytest.fixture
def fake_fit(monkeypatch: pytest.MonkeyPatch) -> FakeFit:
    """Replaces the fit."""
    fake = FakeFit()
    monkeypatch.setattr("handopt.fitting.fit_image", fake)
    monkeypatch.setattr("handopt.fitting.fit_images", fake.many)
    return fake
