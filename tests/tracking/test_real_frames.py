"""A track of real frames whose joints are labelled: how sure it is, where a finger is wrong and where none is."""

import json
from pathlib import Path

import numpy as np
import pytest

from handopt.input.camera import Camera
from handopt.input.reader import read_image
from handopt.input.sequence.base import SequenceFrame
from handopt.rig.joints import KEYPOINT_NAMES
from handopt.tracking.run import Run

# The labels' wrist and thumb_cmc are other places than the rig's.
COMPARED = [row for row, name in enumerate(KEYPOINT_NAMES) if name not in ("wrist", "thumb_cmc")]
FIRST, COUNT = 40, 24


@pytest.fixture(scope="module")
def sureness(shared_data: Path) -> tuple[np.ndarray, np.ndarray]:
    """Confidence, and how far the worst joint is off, mm, of frames of an open hand that turns."""
    folder = shared_data / "cvar" / "P4"
    labels = json.loads((folder / "labels.json").read_text())
    run: Run | None = None
    for index in range(COUNT):
        image = read_image(folder / f"{FIRST + index:06d}.png")
        assert isinstance(image.camera, Camera)
        run = run or Run(image.camera, "right", fps=30.0)
        run.push(SequenceFrame(index, str(index), image.depth_mm, index / 30.0))
    assert run is not None
    track = run.track("frames", 30.0)
    truth = np.array([[labels[f"{FIRST + row:06d}"][name] for name in KEYPOINT_NAMES] for row in range(COUNT)])
    off = np.linalg.norm(track.joints_mm() - truth, axis=2)[:, COMPARED].max(axis=1)
    return track.confidence, off


def test_real_frames_that_are_right_are_called_sure(sureness: tuple[np.ndarray, np.ndarray]) -> None:
    confidence, off = sureness
    assert (off < 40).mean() > 0.9
    assert (confidence[off < 40] >= 0.9).mean() > 0.5
