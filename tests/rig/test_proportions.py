"""Tests of the basis of proportions."""

import numpy as np
import pytest

from handopt.errors import ShapeError
from handopt.rig import PROPORTION_NAMES, default_rig, with_proportions

RIG = default_rig("right")


def coefficients(**values: float) -> np.ndarray:
    return np.array([values.get(name, 0.0) for name in PROPORTION_NAMES])


def length(rig, start: str, end: str) -> float:
    positions = rig.bind[:, :, 3]
    return float(np.linalg.norm(positions[rig.joint_names.index(end)] - positions[rig.joint_names.index(start)]))


def test_zero_is_the_rig_itself() -> None:
    same = with_proportions(RIG, coefficients())
    np.testing.assert_array_equal(same.rest_mm, RIG.rest_mm)
    np.testing.assert_array_equal(same.bind, RIG.bind)


def test_a_length_stretches_one_finger_and_nothing_else() -> None:
    longer = with_proportions(RIG, coefficients(index_length=0.1))
    base, tip = "index-finger-phalanx-proximal", "index-finger-tip"
    assert length(longer, base, tip) == pytest.approx(1.1 * length(RIG, base, tip))
    others = [n for n, name in enumerate(RIG.joint_names) if not name.startswith("index")]
    np.testing.assert_array_equal(longer.bind[others], RIG.bind[others])
    moved = np.linalg.norm(longer.rest_mm - RIG.rest_mm, axis=1)
    assert moved.max() == pytest.approx(0.1 * 80, abs=2.5)  # the fingertip, about 80 mm from its base
    assert (moved > 0.5).mean() < 0.2


def test_thickness_moves_skin_but_no_joint() -> None:
    thicker = with_proportions(RIG, coefficients(middle_thickness=0.2))
    np.testing.assert_array_equal(thicker.bind, RIG.bind)
    moved = np.linalg.norm(thicker.rest_mm - RIG.rest_mm, axis=1)
    assert 1.2 < moved.max() < 4  # a fifth of a finger's radius


def test_a_wider_palm_carries_fingers_that_keep_their_size() -> None:
    wider = with_proportions(RIG, coefficients(palm_width=0.1))
    for digit in ("index", "pinky"):
        base, tip = f"{digit}-finger-phalanx-proximal", f"{digit}-finger-tip"
        assert length(wider, base, tip) == pytest.approx(length(RIG, base, tip))
    first, last = "index-finger-phalanx-proximal", "pinky-finger-phalanx-proximal"
    assert length(wider, first, last) > 1.05 * length(RIG, first, last)


def test_the_whole_basis_together_scales_the_hand() -> None:
    bigger = with_proportions(RIG, np.full(len(PROPORTION_NAMES), 0.1))
    wrist = RIG.bind[0, :, 3]
    np.testing.assert_allclose(bigger.bind[:, :, 3] - wrist, 1.1 * (RIG.bind[:, :, 3] - wrist), atol=1e-9)
    np.testing.assert_allclose(bigger.rest_mm - wrist, 1.1 * (RIG.rest_mm - wrist), atol=1e-9)


def test_the_basis_of_the_mirrored_rig_is_the_mirrored_basis() -> None:
    vertices, joints = RIG.proportion_basis
    left_vertices, left_joints = RIG.mirrored().proportion_basis
    np.testing.assert_allclose(left_vertices, vertices * [-1, 1, 1], atol=1e-9)
    np.testing.assert_allclose(left_joints, joints * [-1, 1, 1], atol=1e-9)


@pytest.mark.parametrize("values", [np.zeros(3), np.full(13, np.nan), np.full(13, -1.0)])
def test_senseless_coefficients_are_refused(values: np.ndarray) -> None:
    with pytest.raises(ShapeError, match="proportions"):
        with_proportions(RIG, values)
