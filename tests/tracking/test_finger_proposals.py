"""Fingers that are drawn anew towards what nothing explains."""

import numpy as np
import pytest
from support.sequences import CAMERA, samples

from handopt.backend import resolve_device
from handopt.config import Config
from handopt.observation.crop import Grid
from handopt.ops.rasterise import rasterise
from handopt.rig import default_rig
from handopt.tracking.config import FingerProposalConfig, RoiConfig
from handopt.tracking.estimate import Placed
from handopt.tracking.finger_proposals import FingerProposer, unexplained_patches
from handopt.tracking.frame_problem import Model
from handopt.tracking.frame_residuals import ShapeEstimate
from handopt.tracking.roi import crop_around

RIG = default_rig("right")
CONFIG = FingerProposalConfig()


@pytest.fixture(scope="module")
def proposer() -> FingerProposer:
    return FingerProposer(Model(RIG, Config(), resolve_device("cpu"), set()), CONFIG)


def test_a_finger_reaches_for_what_is_missed(proposer: FingerProposer) -> None:
    straight, bent = np.zeros((15, 3)), np.zeros((15, 3))
    bent[3:6, 2] = (0.7, 0.6, 0.36)  # the index finger
    model = proposer._model
    unknown = ShapeEstimate(np.zeros(14), np.eye(14))
    poses = model.poses([Placed(np.eye(3), np.zeros(3), each) for each in (straight, bent)], unknown)
    tip = model.meshes(poses, unknown)[1][1, 8]
    drawn = proposer._reaching(tip[None], straight)
    assert len(drawn) >= 1
    index = [each for each in drawn if (each[3:6] != 0).any()]
    reached = model.meshes(model.poses([Placed(np.eye(3), np.zeros(3), index[0])], unknown), unknown)[1][0, 8]
    assert np.linalg.norm(reached - tip) < 10
    for each in drawn:
        assert (each != 0).any(axis=1).reshape(5, 3).any(axis=1).sum() == 1, "one finger each"
    assert len(proposer._reaching(tip[None] + 300.0, straight)) == 0, "out of reach"


def test_the_middle_of_a_missed_patch_is_told_in_the_wrists_frame() -> None:
    scene, hand = samples()[0].scene, samples()[0].hand
    crop = crop_around(scene.vertices, CAMERA, RoiConfig())
    seen = crop.as_camera()
    numbers = (seen.fx, seen.fy, seen.cx, seen.cy, seen.width, seen.height)
    depth = rasterise(np.ascontiguousarray(scene.vertices[None], np.float32), RIG.faces, numbers)[0]
    placed = Placed(hand.rotation, scene.translation, hand.angles_rad)
    grid = Grid(depth, depth > 0, depth == 0)
    assert len(unexplained_patches(depth, grid, crop, placed, hand.scale, CONFIG)) == 0
    rows, columns = np.nonzero(depth > 0)
    row, column = int(np.median(rows)), int(np.median(columns[rows == np.median(rows).astype(int)]))
    fitted = depth.copy()
    fitted[row - 3 : row + 4, column - 3 : column + 4] = 0
    (middle,) = unexplained_patches(fitted, grid, crop, placed, hand.scale, CONFIG)
    point = placed.rotation @ middle * hand.scale + placed.translation_mm
    assert np.abs(seen.project(point[None])[0] - [column, row]).max() < 1
    assert point[2] == pytest.approx(np.median(depth[row - 3 : row + 4, column - 3 : column + 4]), abs=14.0)
