"""Fits of real frames whose joints are labelled, with no hint but the camera: the arm comes from the camera's side."""

import json
from pathlib import Path

import numpy as np
import pytest

from handopt.fitting import fit
from handopt.input.camera import Camera
from handopt.input.reader import read_image
from handopt.rig.joints import KEYPOINT_NAMES

# The labels' wrist and thumb_cmc are other places than the rig's.
COMPARED = [row for row, name in enumerate(KEYPOINT_NAMES) if name not in ("wrist", "thumb_cmc")]


@pytest.mark.parametrize("frame", ["000080", "000160", "000280", "000300"])
def test_an_arm_that_is_nearer_than_the_hand_is_not_taken_for_it(shared_data: Path, frame: str) -> None:
    folder = shared_data / "cvar" / "P1"
    image = read_image(folder / f"{frame}.png")
    assert isinstance(image.camera, Camera)
    label = json.loads((folder / "labels.json").read_text())[frame]
    joints = np.array([label[name] for name in KEYPOINT_NAMES])
    result = fit(image.depth_mm, image.camera, hand="auto", device="cpu")
    away = np.linalg.norm(result.joints_mm - joints, axis=1)[COMPARED]
    assert result.hand == "right"
    assert np.median(away) < 25.0
    # Neither does the cut lose a finger: every tip lies in the hand's pixels.
    u, v = np.rint(image.camera.project(joints[[4, 8, 12, 16, 20]])).astype(int).T
    for column, row in zip(u, v, strict=True):
        assert result.observation.mask[row - 4 : row + 5, column - 4 : column + 5].any()
