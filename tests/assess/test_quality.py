"""How good a fit is: residual and overlap by hand, the sentence on them, and the choice between candidates."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from support.compare import assert_same_bits
from support.factories import bent, posed
from support.observation_factory import CAMERA, CPU, WRIST_MM, mirrored, near_poses, small_observation, true_rotation

from handopt.assess.quality import (
    Quality,
    measure,
    status_of,
)
from handopt.assess.visibility import visible_joints, with_things
from handopt.hand_model import Hand, Pose
from handopt.observation.observation import Observation
from handopt.optimise.history import SearchHistory
from handopt.optimise.ranking import most_plausible
from handopt.rig import default_rig
from handopt.rig.anatomy import MIRROR

Floats = NDArray[np.float64]

Z_MM = 400.0


def square(rows: tuple[int, int], columns: tuple[int, int], z: float = Z_MM) -> tuple[Floats, NDArray[np.int32]]:
    """Two triangles that cover the pixels rows[0] <= v < rows[1], columns[0] <= u < columns[1] at a depth."""
    (top, bottom), (left, right) = rows, columns
    corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
    points = [((u - 0.5 - CAMERA.cx) / CAMERA.fx * z, (v - 0.5 - CAMERA.cy) / CAMERA.fy * z, z) for u, v in corners]
    return np.array(points), np.array([[0, 1, 2], [0, 2, 3]], np.int32)


def seen(rows: tuple[int, int], columns: tuple[int, int], z: float = Z_MM) -> Observation:
    """A flat rectangle before nothing."""
    observation = small_observation()
    mask = np.zeros((CAMERA.height, CAMERA.width), bool)
    mask[slice(*rows), slice(*columns)] = True
    depth = np.where(mask, np.float32(z), np.float32(0))
    return replace(observation, depth_mm=depth, mask=mask, arm=np.zeros_like(mask), points_mm=np.zeros((1, 3)))


def judge(mesh: tuple[Floats, NDArray[np.int32]], observation: Observation) -> Quality:
    return measure(mesh[0], observation, mesh[1])


def test_a_perfect_fit() -> None:
    quality = judge(square((20, 60), (30, 70)), seen((20, 60), (30, 70)))
    assert quality.residual_mm == pytest.approx({"median": 0.0, "mean": 0.0, "p95": 0.0}, abs=1e-3)
    assert quality.silhouette_iou == 1.0
    assert quality.fitted_depth_mm.dtype == np.float32
    assert quality.fitted_depth_mm.shape == (CAMERA.height, CAMERA.width)
    assert (quality.fitted_depth_mm > 0).sum() == 40 * 40


def test_residuals_are_absolute_and_over_the_common_pixels() -> None:
    observation = seen((20, 60), (30, 70))
    depth = observation.depth_mm.copy()
    depth[20:30, 30:70] += 8.0  # a quarter of the hand is 8 mm behind the fit
    depth[30:31, 30:70] -= 60.0  # and a row is far before it
    depth[40:60, 30:70] = 0.0  # and half of it was not measured
    quality = judge(square((20, 60), (30, 110)), replace(observation, depth_mm=depth))
    assert quality.residual_mm["median"] == pytest.approx(8.0, abs=1e-3)
    assert quality.residual_mm["mean"] == pytest.approx((10 * 8 + 60) / 20, abs=1e-3)
    assert quality.residual_mm["p95"] == pytest.approx(8 + 0.05 * (60 - 8), abs=1e-2)
    assert quality.silhouette_iou == pytest.approx(0.5)


def test_the_overlap_is_intersection_over_union() -> None:
    quality = judge(square((20, 60), (50, 90)), seen((20, 60), (30, 70)))
    assert quality.silhouette_iou == pytest.approx(20 / 60)


def test_the_forearm_is_left_out_and_holes_are_filled() -> None:
    observation = seen((20, 60), (30, 70))
    arm = np.zeros_like(observation.mask)
    arm[60:80, 30:70] = True
    mesh = square((20, 80), (30, 70))
    assert judge(mesh, observation).silhouette_iou == pytest.approx(40 / 60)
    assert judge(mesh, replace(observation, arm=arm)).silhouette_iou == 1.0
    holed = observation.mask.copy()
    holed[30:40, 40:50] = False
    assert judge(mesh, replace(observation, arm=arm, mask=holed)).silhouette_iou == 1.0


def test_a_fit_beside_the_hand_has_no_residual() -> None:
    quality = judge(square((80, 100), (100, 140)), seen((20, 60), (30, 70)))
    assert quality.residual_mm == dict.fromkeys(("median", "mean", "p95"), np.inf)
    assert quality.silhouette_iou == 0.0
    behind = judge(square((20, 60), (30, 70), z=-Z_MM), seen((20, 60), (30, 70)))
    assert behind.silhouette_iou == 0.0
    assert (behind.fitted_depth_mm == 0).all()


def quality(residual: float, overlap: float) -> Quality:
    return Quality(np.zeros((1, 1)), {"median": residual, "mean": residual, "p95": residual}, overlap)


def test_the_status_is_a_sentence() -> None:
    observation = small_observation()
    good = status_of(True, observation, quality(1.2, 0.85), 0.9)
    assert good == "The fit is good: median residual 1.2 mm, mean 1.2 mm, silhouettes overlap by 85%."
    late = status_of(False, observation, quality(1.2, 0.9), 0.9)
    assert late.endswith("overlap by 90%; it was still improving when the iterations ran out.")
    cut = status_of(True, replace(observation, touches_border=True), quality(1.2, 0.9), 0.9)
    assert cut.endswith("; the hand touches the image border.")
    for holds, ending in (("object", "; the hand holds an object."), ("hand", "; another hand touches it.")):
        assert status_of(True, replace(observation, holds=holds), quality(1.2, 0.9), 0.9).endswith(ending)
    facts = "median residual 5.0 mm, mean 5.0 mm, silhouettes overlap by 70%."
    verdicts = {0.99: "good", 0.9: "good", 0.897: "fair", 0.5: "fair", 0.49: "doubtful", 0.0: "doubtful"}
    for sure, verdict in verdicts.items():
        assert status_of(True, observation, quality(5.0, 0.7), sure) == f"The fit is {verdict}: {facts}"
    none = status_of(True, observation, quality(np.inf, 0.0), 0.1)
    assert none == "The fit failed: the model does not cover the observed hand."
    predicted = status_of(True, observation, quality(5.0, 0.7), 0.95, what="prediction")
    assert predicted == f"The prediction is good: {facts}"


def test_what_is_held_before_the_hand_does_not_count_against_the_overlap() -> None:
    behind = square((20, 60), (30, 70))
    observation = seen((20, 40), (30, 70))
    assert judge(behind, observation).silhouette_iou == pytest.approx(0.5)
    other = np.zeros_like(observation.mask)
    other[40:60, 30:70] = True
    assert judge(behind, replace(observation, other=other)).silhouette_iou == 1.0


def test_a_joint_behind_what_is_held_is_not_seen() -> None:
    quality = judge(square((20, 60), (30, 70)), seen((20, 60), (30, 70)))
    observation = seen((20, 60), (30, 70))
    joints = np.array(
        [[(u - CAMERA.cx) / CAMERA.fx, (v - CAMERA.cy) / CAMERA.fy, 1.0] for u, v in ((40, 30), (60, 30))]
    )
    other = np.zeros_like(observation.mask)
    other[:, 50:] = True
    observation.depth_mm[:, 50:] = Z_MM - 50
    for things, expected in ((None, [True, True]), (other, [True, False])):
        surface = with_things(quality.fitted_depth_mm, replace(observation, other=things))
        assert visible_joints(joints * Z_MM, surface, CAMERA, 1.0).tolist() == expected


# -------------------------------------------------------------------------------------- choice of a candidate


@pytest.fixture(scope="module")
def hand() -> Hand:
    return Hand.of(default_rig("right"), CPU)


def true_pose(images: tuple[int, ...]) -> Pose:
    """The pose that small_observation() shows, once for each image."""
    pose = near_poses((0.5,) * len(images), images, dtype=np.float32)
    pose.angles[:], pose.scale[:], pose.translation[:] = bent(0.5), 1.0, WRIST_MM
    pose.rotation[:] = true_rotation(default_rig("right").bind)
    return pose


def history(pose: Pose, totals: tuple[float, ...]) -> SearchHistory:
    return SearchHistory(pose, np.arange(len(pose)), np.array(totals), True, [], {})


def choose(found: SearchHistory, hand: Hand, observations: list[Observation], mirror: tuple[bool, ...]) -> int:
    return most_plausible(found, hand, observations, mirror, default_rig("right").faces)


def test_a_single_candidate_is_taken_as_it_is(hand: Hand) -> None:
    assert choose(history(true_pose((0, 0)), (1.0, 2.0)), hand, [small_observation()], (False,)) == 0


def test_the_lower_total_wins_between_equals(hand: Hand) -> None:
    observations = [small_observation()] * 2
    pose = true_pose((1, 0, 1, 0))
    assert choose(history(pose, (1.0, 1.5, 2.0, 2.5)), hand, observations, (False, False)) == 0
    assert choose(history(pose, (1.5, 1.0, 2.0, 2.5)), hand, observations, (False, False)) == 1


def test_the_better_overlap_wins_at_equal_totals(hand: Hand) -> None:
    observations = [small_observation()] * 2
    for wrong in (0, 1):
        pose = true_pose((0, 1))
        pose.translation[wrong, 0] += 40
        assert choose(history(pose, (1.0, 1.0)), hand, observations, (False, False)) == 1 - wrong


def test_the_more_plausible_candidate_wins_at_equal_totals(hand: Hand) -> None:
    pose = true_pose((0, 1))
    for worse in (0, 1):
        observations = [small_observation(score=0.0 if image == worse else 1.0) for image in (0, 1)]
        assert choose(history(pose, (1.0, 1.0)), hand, observations, (False, False)) == 1 - worse


def test_a_left_hand_is_measured_in_its_own_image(hand: Hand) -> None:
    """The pose fits the mirrored image as a left hand, and does not fit it as a right one."""
    observations = [mirrored(small_observation())] * 2
    for left in (0, 1):
        mirror = tuple(image == left for image in (0, 1))
        assert choose(history(true_pose((0, 1)), (1.0, 1.0)), hand, observations, mirror) == left


def test_measuring_the_true_pose() -> None:
    rig = default_rig("right")
    vertices, _ = posed(rig, bent(0.5), true_rotation(rig.bind), WRIST_MM, 1.0)
    right = measure(vertices, small_observation(), rig.faces)
    assert right.residual_mm["p95"] < 0.01
    assert right.silhouette_iou > 0.99
    left = measure(vertices * MIRROR, mirrored(small_observation()), rig.mirrored().faces)
    assert left.silhouette_iou == right.silhouette_iou
    assert_same_bits(left.fitted_depth_mm[:, ::-1].copy() > 0, right.fitted_depth_mm > 0, "silhouette")
