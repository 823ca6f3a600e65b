"""The entries of local rotations and their derivatives: against SciPy, and by finite differences."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from handopt.errors import ShapeError
from handopt.ops.rotation_features import (
    rotation_features,
    rotation_features_backward,
    rotation_features_jacobian,
)

SIDES = pytest.mark.parametrize("side", [1, -1])


@SIDES
def test_features_are_the_rotations_less_the_identity(side: int) -> None:
    angles = np.random.default_rng(0).uniform(-1.5, 1.5, (4, 15, 3))
    twist, abduction, flexion = (angles[..., column].ravel() for column in range(3))
    turns: Rotation = (
        Rotation.from_euler("y", (side * abduction)[:, None])
        * Rotation.from_euler("x", -flexion[:, None])
        * Rotation.from_euler("z", (side * twist)[:, None])
    )
    expected = (turns.as_matrix() - np.eye(3)).reshape(4, 135)
    np.testing.assert_allclose(rotation_features(angles, side), expected, rtol=0, atol=1e-14)
    single = rotation_features(angles.astype(np.float32), side)
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, expected, rtol=0, atol=1e-6)  # some roundings of 6e-8 of numbers up to 1


@SIDES
def test_derivatives_by_finite_differences(side: int) -> None:
    rng, step = np.random.default_rng(1), 1e-6
    angles, upstream = rng.uniform(-1.5, 1.5, (3, 15, 3)), rng.normal(size=(3, 135))
    gradient, jacobian = (
        rotation_features_backward(upstream, angles, side),
        rotation_features_jacobian(angles, side),
    )
    for axis in range(3):
        moved = np.zeros(3)
        moved[axis] = step
        change = (rotation_features(angles + moved, side) - rotation_features(angles - moved, side)) / (2 * step)
        np.testing.assert_allclose(jacobian[:, :, axis].reshape(3, 135), change, rtol=0, atol=1e-9)
        slopes = (change * upstream).reshape(3, 15, 9).sum(axis=2)
        np.testing.assert_allclose(gradient[:, :, axis], slopes, rtol=0, atol=1e-8)


def test_angles_of_another_shape_are_refused() -> None:
    with pytest.raises(ShapeError, match="angles"):
        rotation_features(np.zeros((15, 3)))
