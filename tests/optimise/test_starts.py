"""Fixed starts: which poses there are, and where they are put."""

import numpy as np
import pytest
from numpy.typing import NDArray
from support.compare import assert_close, assert_same_bits
from support.observation_factory import CPU, gather, mirrored, small_observation
from support.op_check import Place

from handopt.config import Config
from handopt.hand_model import Hand, Pose
from handopt.objective.targets import FitTargets
from handopt.ops.joint_limits import joint_limits
from handopt.optimise.starts import GESTURES, fixed_starts, gesture_angles
from handopt.rig import default_rig

Floats = NDArray[np.float64]

CONFIG = Config(crop_px=32, points=100)
NEAR_MM = 5.0


@pytest.fixture(scope="module")
def hand() -> Hand:
    return Hand.of(default_rig("right"), CPU)


@pytest.fixture(scope="module")
def targets() -> FitTargets:
    observation = small_observation()
    return gather(CONFIG, [(observation, False), (mirrored(small_observation(1.0)), True)], dtype=np.float32)


@pytest.fixture(scope="module")
def starts(hand: Hand, targets: FitTargets) -> Pose:
    return fixed_starts(hand, targets)


def wrist_axes(pose: Pose) -> Floats:
    """(B, 3, 3) columns in the camera frame: little finger's side, back of the hand, towards the arm."""
    return np.asarray(pose.rotation @ default_rig("right").bind[0, :, :3], np.float64)


def test_every_image_has_the_same_starts(starts: Pose) -> None:
    first, second = (starts.select(np.flatnonzero(starts.image == image)) for image in (0, 1))
    assert len(first) + len(second) == len(starts)
    for name in ("angles", "rotation", "scale"):
        assert_same_bits(getattr(first, name), getattr(second, name), name)
    assert (starts.scale == 1).all()
    assert len(first) >= 64
    whole = np.concatenate([first.angles.reshape(len(first), -1), first.rotation.reshape(len(first), -1)], axis=1)
    assert len(np.unique(np.round(whole, 4), axis=0)) == len(first), "no start stands there twice"


def test_rotations_are_rotations(starts: Pose) -> None:
    rotation = starts.rotation.astype(np.float64)
    unit = np.broadcast_to(np.eye(3), rotation.shape)
    assert_close(rotation @ rotation.transpose(0, 2, 1), unit, atol=1e-6, reason="float32")
    assert_close(np.linalg.det(rotation), np.ones(len(rotation)), atol=1e-6, reason="no reflection")


def test_palm_and_back_in_every_direction(starts: Pose) -> None:
    axes = wrist_axes(starts)
    fingers, back = -axes[:, :, 2], axes[:, :, 1]
    for side in (1, -1):
        faces = side * back[:, 2] > 0.7
        turns = np.arctan2(fingers[faces, 1], fingers[faces, 0])
        gaps = np.diff(np.sort(np.append(turns, turns.min() + 2 * np.pi)))
        assert gaps.max() < np.radians(50), "no direction of the fingers in the image is far from a start"
    tilt = np.degrees(np.arcsin(np.abs(fingers[:, 2])))
    assert tilt.max() > 20
    assert tilt.min() < 1


def test_the_side_that_faces_the_camera_lies_on_the_points(hand: Hand, targets: FitTargets, starts: Pose) -> None:
    transforms = hand.transforms(starts)
    facing = hand.vertex_normals(transforms)[:, :, 2] < 0
    vertices = hand.vertices(transforms).astype(np.float64)
    centre = (vertices * facing[:, :, None]).sum(axis=1) / facing.sum(axis=1)[:, None]
    expected = targets.points.astype(np.float64).mean(axis=1)[starts.image]
    assert np.linalg.norm(centre - expected, axis=1).max() < NEAR_MM


def test_gestures_respect_the_limits_and_differ() -> None:
    limits = default_rig("right").limits
    angles = np.stack([gesture_angles(name) for name in GESTURES])
    assert angles.shape == (len(GESTURES), 15, 3)
    assert joint_limits(angles, limits.lower.copy(), limits.upper.copy()).tolist() == [0.0] * len(GESTURES)
    assert len(np.unique(angles.reshape(len(GESTURES), -1), axis=0)) == len(GESTURES)
    assert gesture_angles("fist")[3:, 2].min() > gesture_angles("open")[3:, 2].max()
    pointing, fist = gesture_angles("pointing"), gesture_angles("fist")
    assert (pointing[3:6, 2] < 0.2).all(), "the index is stretched"
    assert_same_bits(pointing[6:], fist[6:], "the other fingers")


def test_starts_are_the_same_on_every_device_and_close_in_double(device: Place, targets: FitTargets) -> None:
    observation = small_observation()
    found = []
    for place, dtype in ((CPU, np.float64), (device.device, np.float32)):
        there = Hand.of(default_rig("right"), place, dtype)
        pose = fixed_starts(there, gather(CONFIG, [(observation, False)], device=place, dtype=dtype))
        found.append(pose)
        assert pose.angles.dtype == dtype
        assert pose.image.dtype == np.int32
    for name in ("angles", "rotation", "translation"):
        expected = getattr(found[0], name)
        assert_close(device.fetch(getattr(found[1], name)), expected, of_max=1e-5, reason="means of float32 positions")
