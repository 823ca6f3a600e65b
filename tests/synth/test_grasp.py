"""Tests of grasps: skin touches the object and does not reach into it."""

import numpy as np
import pytest

from handopt.rig import Rig, default_rig
from handopt.rig.pose import joint_transforms, posed_vertices
from handopt.synth.grasp import Grasp, sample_grasp
from handopt.synth.hand_volume import volume_of
from handopt.synth.held_objects import KINDS
from handopt.synth.subject import Subject, sample_subject

RIG = default_rig("right")


def grasp_of(seed: int, kind: str) -> tuple[Grasp, Rig, Subject]:
    rng = np.random.default_rng(seed)
    subject = sample_subject(rng, 1.0)
    dressed = subject.dress(RIG)
    body = volume_of(RIG).of(subject.proportions)
    return sample_grasp(rng, dressed, RIG, body, subject.scale, kind), dressed, subject


def skin_in_object(grasp: Grasp, rig: Rig) -> np.ndarray:
    """The posed vertices (V, 3) in the object's frame."""
    turn = rig.bind[0, :, :3].T
    pose = turn[None], np.zeros((1, 3)), grasp.angles_rad[None], np.ones(1)
    vertices = posed_vertices(rig, joint_transforms(rig, *pose))[0]
    return (vertices - grasp.centre) @ grasp.rotation


def depth_in(grasp: Grasp, points: np.ndarray) -> np.ndarray:
    """How far points (n, 3) lie inside the object's first solid, mm: by its faces' planes or its axis, in float64."""
    solid = grasp.object.solids[0]
    x, y, z = (points - solid.centre).T
    half = np.array(solid.half)
    if grasp.object.kind == "ball":
        return half[0] - np.linalg.norm(points, axis=1)
    if solid.shape == "cylinder":
        return np.minimum(half[0] - np.hypot(x, y), half[2] - np.abs(z))
    return np.minimum(half - np.abs(points - solid.centre), np.inf).min(axis=1)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(5))
def test_no_skin_lies_deeper_than_two_millimetres_in_the_object(kind: str, seed: int) -> None:
    grasp, rig, _ = grasp_of(seed, kind)
    depth = depth_in(grasp, skin_in_object(grasp, rig))
    assert depth.max() <= 2.0 + 1e-3
    assert depth.max() > -6.0  # near it, if only by a handle


@pytest.mark.parametrize("kind", KINDS)
def test_the_digits_that_touch_are_at_the_object(kind: str) -> None:
    grasp, rig, _ = grasp_of(17, kind)
    assert grasp.touching.sum() >= 2
    owner = rig.skin_indices[:, 0]
    points = skin_in_object(grasp, rig)
    for digit in np.flatnonzero(grasp.touching):
        mine = np.isin(owner, rig.articulated[3 * digit : 3 * digit + 3])
        distance = grasp.object.distance(points[mine].astype(np.float32)).min()
        assert -2.0 - 1e-3 <= distance < 2.6


def test_the_angles_keep_the_limits() -> None:
    for seed, kind in enumerate(KINDS):
        grasp, rig, _ = grasp_of(seed, kind)
        assert (grasp.angles_rad >= rig.limits.lower).all()
        assert (grasp.angles_rad <= rig.limits.upper).all()


def test_objects_keep_their_size_in_small_and_large_hands() -> None:
    for seed in range(8):
        grasp, _, subject = grasp_of(seed, "phone")
        assert 120.0 < subject.scale * grasp.object.size_mm[2] < 165.0
