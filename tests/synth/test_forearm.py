"""Tests of the forearm."""

import numpy as np
import pytest

from handopt.input.camera import Camera
from handopt.rig import default_rig
from handopt.synth.forearm import Forearm, bend_wrist, forearm_mesh, sample_forearm
from handopt.synth.scene import render_mesh

RIG = default_rig("right")
AXES, WRIST = RIG.bind[0, :, :3], RIG.bind[0, :, 3]
STRAIGHT = Forearm(0.0, 0.0, 200.0, 40.0, 34.0)
CAMERA = Camera(475.0, 475.0, 319.5, 239.5, 640, 480)


def local(points: np.ndarray) -> np.ndarray:
    """Points in the wrist's frame: across the hand, towards its back, towards the elbow."""
    return (points - WRIST) @ AXES


def test_a_straight_forearm_goes_on_from_the_wrist_and_tapers_towards_it() -> None:
    points, _ = forearm_mesh(STRAIGHT, RIG)
    tube = local(points)
    assert tube[:, 2].min() == pytest.approx(-4)
    assert tube[:, 2].max() == pytest.approx(196)
    far, near = tube[tube[:, 2] > 190], tube[tube[:, 2] < 5]
    np.testing.assert_allclose(np.ptp(far[:, :2], axis=0) / 2, [40, 34], rtol=0.03)
    assert (np.ptp(near[:, :2], axis=0) < np.ptp(far[:, :2], axis=0)).all()
    np.testing.assert_allclose(bend_wrist(STRAIGHT, RIG).rest_mm, RIG.rest_mm, atol=1e-5)


def test_the_tube_is_closed() -> None:
    _, faces = forearm_mesh(STRAIGHT, RIG)
    edges = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=1)
    _, counts = np.unique(edges, axis=0, return_counts=True)
    assert (counts == 2).all()


def test_bends_turn_the_arm_and_keep_its_length() -> None:
    flexed, _ = forearm_mesh(Forearm(0.8, 0.0, 200.0, 40.0, 34.0), RIG)
    aside, _ = forearm_mesh(Forearm(0.0, -0.4, 200.0, 40.0, 34.0), RIG)
    ends = [local(mesh)[-1] - local(mesh)[-2] for mesh in (flexed, aside)]
    assert ends[0][1] < -100  # towards the palm, as a rotation about x turns z
    assert abs(ends[0][0]) < 5
    assert ends[1][0] < -50
    for end in ends:
        assert 180 < np.linalg.norm(end) < 200


@pytest.mark.parametrize("bend", [(0.0, 0.0), (1.0, 0.0), (-0.9, 0.3), (0.0, 0.6)])
def test_hand_and_arm_meet_without_a_gap_or_a_step(bend: tuple[float, float]) -> None:
    forearm = Forearm(*bend, 200.0, 40.0, 34.0)
    bent, (arm, arm_faces) = bend_wrist(forearm, RIG), forearm_mesh(forearm, RIG)
    turn = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])  # the back of the hand to the camera

    def seen(points: np.ndarray, faces: np.ndarray) -> np.ndarray:
        return render_mesh(local(points) @ turn.T * [1, 1, -1] + [0, -60, 600], faces, CAMERA)

    hand, tube = seen(bent.rest_mm, RIG.faces), seen(arm, arm_faces)
    both = np.where(hand == 0, tube, np.where(tube == 0, hand, np.minimum(hand, tube)))
    column = both[:, 320]
    assert (column[np.flatnonzero(column)[0] : np.flatnonzero(column)[-1]] > 0).all()
    overlap = (hand > 0) & (tube > 0)
    assert overlap.sum() > 300
    boundary = np.flatnonzero((hand[:, 320] > 0) & (tube[:, 320] > 0))[-1]
    assert abs(np.diff(column[boundary - 2 : boundary + 3])).max() < 4


def test_only_the_skin_beyond_the_wrist_follows_the_bend() -> None:
    bent = bend_wrist(Forearm(0.9, 0.2, 200.0, 40.0, 34.0), RIG)
    moved = np.linalg.norm(bent.rest_mm - RIG.rest_mm, axis=1)
    beyond = local(RIG.rest_mm)[:, 2] > -4
    assert moved[~beyond].max() < 1e-9
    assert moved[beyond].max() > 2
    np.testing.assert_array_equal(bent.bind, RIG.bind)


def test_drawn_forearms_bend_both_ways_and_not_too_far() -> None:
    rng = np.random.default_rng(0)
    arms = [sample_forearm(rng) for _ in range(300)]
    bends = np.array([(arm.flexion, arm.deviation) for arm in arms])
    assert np.hypot(*bends.T).max() <= 1.2 + 1e-9  # rad: 69 degrees, and a wrist goes hardly farther
    assert bends[:, 0].min() < -0.8
    assert bends[:, 0].max() > 0.8
    assert all(arm.half_height_mm < arm.half_width_mm for arm in arms)
