"""Fingers that are drawn anew towards what nothing explains."""

from dataclasses import replace

import numpy as np
import pytest
from support.sequences import CAMERA, samples

from handopt.backend import resolve_device, to_numpy
from handopt.config import Config
from handopt.hand_model import Pose
from handopt.observation.crop import Grid
from handopt.ops.rasterise import rasterise
from handopt.rig import default_rig
from handopt.tracking.config import FingerProposalConfig, RoiConfig, TrackerConfig, TrackingConfig
from handopt.tracking.finger_proposals import FingerProposer, unexplained_patches
from handopt.tracking.frame_fit import FrameFitter
from handopt.tracking.frame_residuals import ShapeEstimate, Temporal
from handopt.tracking.pose_estimate import Placed
from handopt.tracking.roi import RoiObservation, crop_around
from handopt.tracking.tracking_model import TrackingModel

RIG = default_rig("right")
CONFIG = FingerProposalConfig()


@pytest.fixture(scope="module")
def proposer() -> FingerProposer:
    return FingerProposer(TrackingModel(RIG, Config(), resolve_device("cpu"), set()), CONFIG)


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


def roi_and_pose(finger: slice, bend: tuple[float, float, float]) -> tuple[TrackingModel, RoiObservation, Pose, Placed]:
    """The first frame, and the pose that it shows but for one finger."""
    sample = samples()[0]
    level = TrackerConfig().expect
    model = TrackingModel(RIG, Config(), resolve_device("cpu"), {level.vertices})
    fitter = FrameFitter(RIG, CAMERA, Config(), TrackingConfig(), resolve_device("cpu"))
    true = Placed(sample.hand.rotation, sample.scene.translation, sample.hand.angles_rad)
    shape = ShapeEstimate(np.r_[np.log(sample.hand.scale), np.zeros(13)], np.eye(14))
    roi = fitter.observe(sample.counts.astype(np.float32), true, shape, np.random.default_rng(0))
    assert roi is not None
    angles = true.angles_rad.copy()
    angles[finger, 2] = bend
    return model, roi, model.poses([Placed(true.rotation, true.translation_mm, angles)], shape), true


@pytest.mark.parametrize("finger", [1, 2, 3, 4])
def test_one_proposal_brings_a_wrong_finger_back(finger: int) -> None:
    """A finger that is bent the wrong way is redrawn near where it is, and each proposal redraws one finger alone."""
    rows = slice(3 * finger, 3 * finger + 3)
    true_flexion = samples()[0].hand.angles_rad[rows, 2]
    wrong = (1.5, 1.5, 0.9) if true_flexion[0] < 0.7 else (0.0, 0.1, 0.06)
    model, roi, pose, true = roi_and_pose(rows, wrong)
    shape = ShapeEstimate(np.r_[np.log(samples()[0].hand.scale), np.zeros(13)], np.eye(14))
    proposer = FingerProposer(model, CONFIG)
    expected = Temporal(true.rotation, true.translation_mm, to_numpy(pose.angles)[0].astype(np.float64))
    drawn = proposer.finger_proposals(
        roi, TrackerConfig().expect, model.shaped(shape), pose, expected, np.zeros((0, 3))
    )
    angles, before = to_numpy(drawn.angles), to_numpy(pose.angles)[0]
    assert angles.shape == (5, 15, 3), "the cheapest of each finger"
    for row in range(5):
        others = np.r_[0 : 3 * row, 3 * row + 3 : 15]
        assert np.array_equal(angles[row, others], before[others]), "one finger each"
    joints = model.meshes(drawn, shape)[1]
    tip = 4 * (finger + 1)
    truth_mm = samples()[0].scene.joints[tip]
    start = np.linalg.norm(model.meshes(pose, shape)[1][0, tip] - truth_mm)
    assert start > 40, "it was wrong"
    assert np.linalg.norm(joints[finger, tip] - truth_mm) < 0.6 * start


def test_far_fetched_proposals_are_left_out(proposer: FingerProposer) -> None:
    """No more proposals than are asked for, the cheapest first."""
    straight = np.zeros((15, 3))
    tips = proposer._tips[1][[0, 60, 120, 180, 240]]
    every = proposer._reaching(tips, straight)
    assert 3 <= len(every) <= 6
    few = FingerProposer(proposer._model, replace(CONFIG, max_proposals=2))._reaching(tips, straight)
    assert np.array_equal(few, every[:2])


def test_the_least_squares_of_a_frame_is_its_own() -> None:
    model, roi, _, placed = roi_and_pose(slice(3, 6), (0.7, 0.6, 0.36))
    shape = ShapeEstimate.unknown(Config(), len(RIG.proportion_basis[0]))
    temporal = Temporal(placed.rotation, placed.translation_mm, placed.angles_rad)
    level, shaped, poses = TrackerConfig().expect, model.shaped(shape), model.poses([placed], shape)
    alone, expected = (model.problem(roi, level, shaped, each) for each in (None, temporal))
    moved = model.redrawn(poses, placed.angles_rad[None] + 0.2)
    assert alone.cost(moved, level) < expected.cost(moved, level), "the second leaves the first as it was"
