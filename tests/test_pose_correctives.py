"""A rig with pose correctives in the rooms that pose hands: tracks, shapes, films and pictures agree on its skin."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.mano_files import mano_arrays, write_mano
from support.observation_factory import CPU

from handopt.backend import to_numpy
from handopt.config import Config
from handopt.errors import ShapeError
from handopt.hand_model import Hand, Pose
from handopt.rig import Rig, load_rig
from handopt.rig.pose import joint_transforms, posed_keypoints, posed_vertices
from handopt.rig.skinned import Skinned
from handopt.shape.state import Template
from handopt.tracking.frame_residuals import ShapeEstimate
from handopt.tracking.pose_estimate import Placed
from handopt.tracking.tracking_model import TrackingModel

ANGLES = np.random.default_rng(2).uniform(-0.3, 0.8, (1, 15, 3))
PLACE = np.array([[10.0, -20.0, 400.0]])


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Rig:
    return load_rig(write_mano(Path(tmp_path_factory.mktemp("mano")) / "MANO_RIGHT.pkl", mano_arrays()))


@pytest.fixture(scope="module")
def expected(rig: Rig) -> tuple[np.ndarray, np.ndarray]:
    transforms = joint_transforms(rig, np.eye(3)[None], PLACE, ANGLES, np.ones(1))
    plain = posed_vertices(replace(rig, pose_correctives=None), transforms)
    vertices = posed_vertices(rig, transforms, ANGLES)
    assert np.linalg.norm(vertices - plain, axis=2).max() > 0.3, "the correctives of this pose move nothing"
    return vertices[0], posed_keypoints(rig, transforms, ANGLES)[0]


def test_angles_are_needed(rig: Rig) -> None:
    transforms = joint_transforms(rig, np.eye(3)[None], PLACE, ANGLES, np.ones(1))
    with pytest.raises(
        ShapeError, match=r"angles_rad: expected shape .T, 15, 3., because the rig has pose correctives"
    ):
        posed_vertices(rig, transforms)


def test_a_film_poses_the_same_skin_from_its_arrays(rig: Rig, expected: tuple[np.ndarray, np.ndarray]) -> None:
    own = Skinned.of(rig).arrays()
    arrays = {name: each.astype(np.float32) if each.dtype.kind == "f" else each for name, each in own.items()}
    vertices, joints = Skinned.from_arrays(arrays).posed(np.eye(3)[None], PLACE, ANGLES, np.ones(1))
    np.testing.assert_allclose(vertices[0], expected[0], rtol=0, atol=1e-3)  # arrays of float32
    np.testing.assert_allclose(joints[0], expected[1], rtol=0, atol=1e-3)


def test_a_track_poses_the_same_skin(rig: Rig, expected: tuple[np.ndarray, np.ndarray]) -> None:
    model = TrackingModel(rig, Config(), CPU, {50})
    free = np.where(rig.limits.free, ANGLES[0], 0)
    placed = Placed(np.eye(3), PLACE[0], np.clip(free, rig.limits.lower, rig.limits.upper))
    shape = ShapeEstimate(np.zeros(11), np.eye(11))
    transforms = joint_transforms(rig, np.eye(3)[None], PLACE, placed.angles_rad[None], np.ones(1))
    wanted = posed_vertices(rig, transforms, placed.angles_rad[None])[0]
    np.testing.assert_allclose(model.vertices(placed, shape), wanted, rtol=0, atol=2e-3)  # float32 at 400 mm
    rest = to_numpy(model.shaped(shape).rest)
    np.testing.assert_allclose(rest, rig.rest_mm, rtol=0, atol=1e-4)  # correctives are not part of the shape


def test_a_shape_is_fitted_to_the_same_skin(rig: Rig, expected: tuple[np.ndarray, np.ndarray]) -> None:
    template = Template.of(rig, CPU, np.float64)
    hand: Hand = template.hand(np.zeros_like(rig.rest_mm))
    pose = Pose(ANGLES, np.eye(3)[None], PLACE, np.ones(1), np.zeros(1, np.int32), np.zeros((1, 0)))
    transforms = hand.transforms(pose)
    vertices = hand.vertices(transforms, hand.rest_of(pose))[0]
    np.testing.assert_allclose(vertices[: len(rig.rest_mm)], expected[0], rtol=0, atol=1e-9)
    finer = Hand.of(rig, CPU, np.float64).subdivided(1)
    np.testing.assert_allclose(
        finer.vertices(transforms, finer.rest_of(pose))[0, : len(rig.rest_mm)], expected[0], rtol=0, atol=1e-9
    )
