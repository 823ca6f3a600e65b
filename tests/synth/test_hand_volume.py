"""Tests of the quick measures of overlap against the mesh."""

import numpy as np
import pytest
from support import reference
from support.mesh_check import self_intersection_mm

from handopt.rig import default_rig
from handopt.synth.gestures import GESTURES, RANDOM, gesture_angles
from handopt.synth.hand_volume import PALM, volume_of
from handopt.synth.poses import sample_angles
from handopt.synth.subject import Subject, sample_subject

RIG = default_rig("right")
OPEN = np.zeros((1, 15, 3))
SKIN_MM = 3.0  # what may be found on the mesh where skin touches skin; a finger is 15 thick


def posed(subject: Subject, angles: np.ndarray) -> np.ndarray:
    rig = subject.dress(RIG)
    transforms = reference.forward_kinematics(
        angles[None], np.eye(3)[None], np.zeros((1, 3)), np.ones(1), rig.parents, rig.articulated, rig.bind, 1
    )  # fmt: skip
    return reference.skin(transforms, rig.rest_mm, rig.skin_indices, rig.skin_weights)[0]


def test_balls_lie_inside_the_open_hand() -> None:
    volume = volume_of(RIG)
    centres = volume.points[: len(volume.radius)]
    nearest = np.linalg.norm(centres[:, None] - RIG.rest_mm, axis=2).argmin(axis=1)
    assert (np.einsum("ni,ni->n", RIG.rest_mm[nearest] - centres, RIG.normals[nearest]) > 0).all()
    assert set(volume.digit) == set(range(PALM + 1))
    assert 3 < volume.radius.min() < volume.radius.max() < 25


def test_nothing_overlaps_in_the_open_hand_of_anybody() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        body = volume_of(RIG).of(sample_subject(rng).proportions)
        assert body.measure(OPEN)[0][0] < 1e-3
        assert body.depth_in_skin(OPEN[0]) < 1.5


def test_a_thumb_in_the_palm_and_crossed_fingers_are_found() -> None:
    body = volume_of(RIG).of(np.zeros(13))
    crossed, thumb = OPEN.copy(), OPEN.copy()
    crossed[0, 6, 1], crossed[0, 9, 1] = -0.35, 0.35
    thumb[0, 0] = 1.0, -0.6, 0.7
    thumb[0, 1, 2], thumb[0, 2, 2] = 1.2, 1.4
    for angles in (crossed, thumb):
        assert self_intersection_mm(RIG, posed(Subject(1.0, np.zeros(13)), angles[0])) > 3
        assert body.measure(angles)[0][0] > 3
        assert body.depth_in_skin(angles[0]) > 2


def test_the_depth_in_the_skin_agrees_with_winding_numbers() -> None:
    rng = np.random.default_rng(1)
    body, subject = volume_of(RIG).of(np.zeros(13)), Subject(1.0, np.zeros(13))
    angles = np.clip(gesture_angles(rng, "fist", 12), RIG.limits.lower, RIG.limits.upper)
    quick = np.array([body.depth_in_skin(each) for each in angles])
    slow = np.array([self_intersection_mm(RIG, posed(subject, each)) for each in angles])
    assert np.corrcoef(quick, slow)[0, 1] > 0.8


@pytest.mark.parametrize("gesture", [RANDOM, *GESTURES])
def test_no_drawn_pose_reaches_into_itself(gesture: str) -> None:
    rng = np.random.default_rng([7, len(gesture)])
    for _ in range(2):
        subject = sample_subject(rng)
        angles, _ = sample_angles(rng, "hard", gesture, subject.proportions, RIG)
        assert self_intersection_mm(RIG, posed(subject, angles)) < SKIN_MM


@pytest.mark.parametrize("gesture", [name for name, each in GESTURES.items() if each.touch is not None])
def test_the_thumb_touches_what_it_should(gesture: str) -> None:
    rng = np.random.default_rng(8)
    touch = GESTURES[gesture].touch
    assert touch is not None
    _, finger = touch
    owner = RIG.skin_indices[:, 0]
    thumb, target = (np.isin(owner, RIG.keypoint_joints[4 * digit + 2 : 4 * digit + 5]) for digit in (0, finger))
    gaps = []
    for _ in range(5):
        subject = sample_subject(rng)
        angles, _ = sample_angles(rng, "hard", gesture, subject.proportions, RIG)
        vertices = posed(subject, angles)
        gaps.append(np.linalg.norm(vertices[thumb][:, None] - vertices[target], axis=2).min())
    assert np.median(gaps) < 4  # vertices are 5 apart
