"""MANO as a function of its parameters: against the published equations, and its Jacobian by finite differences."""

import numpy as np
import pytest
from support.mano_files import mano_arrays, mano_reference, write_mano

from handopt.export.mano.layer import Layer
from handopt.rig.mano_rig import read_hand_model


@pytest.fixture(scope="module", params=["right", "left"])
def layer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Layer]:
    path = tmp_path_factory.mktemp("mano") / f"MANO_{request.param.upper()}.pkl"
    return request.param, Layer.of(read_hand_model(write_mano(path, mano_arrays(request.param))))


def parameters(seed: int, size: float = 0.5) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.normal(0, size, 48), rng.normal(size=10), [0.1, -0.2, 0.5]])


@pytest.mark.parametrize("seed", range(3))
def test_vertices_and_joints_are_those_of_the_published_equations(layer: tuple[str, Layer], seed: int) -> None:
    side, own = layer
    values = parameters(seed)
    points = own.points(values)
    vertices, joints = mano_reference(mano_arrays(side), values[:48].reshape(16, 3), values[48:58], values[58:])
    assert points[: own.vertices] == pytest.approx(vertices, abs=1e-9)
    assert points[own.vertices :] == pytest.approx(joints, abs=1e-9)


@pytest.mark.parametrize("size", [0.0, 1e-5, 0.5, 1.5])
def test_the_jacobian_is_that_of_finite_differences(layer: tuple[str, Layer], size: float) -> None:
    own = layer[1]
    values, step = parameters(3, size), 1e-6
    points, jacobian = own.points_and_jacobian(values)
    assert points == pytest.approx(own.points(values), abs=1e-12)
    differences = [(own.points(values + step * axis) - own.points(values - step * axis)) / (2 * step)
                   for axis in np.eye(len(values))]  # fmt: skip
    assert np.abs(jacobian - np.stack(differences, axis=2)).max() < 1e-8
