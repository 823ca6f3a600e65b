"""The images' pull on the rest vertices: by finite differences of the cost, with matches and normals held constant."""

from dataclasses import replace

import numpy as np
import pytest
from support.compare import assert_close
from support.shape_cases import LM_SETTINGS, smooth_offsets, start, targets, template

from handopt.config import Config, Weights
from handopt.hand_model import Pose
from handopt.objective.least_squares import LeastSquares
from handopt.shape.state import PosedShape
from handopt.shape.vertex_hessian import VertexLinearisation, linearise_vertices, pose_motion

CONFIG = Config(points=300, crop_px=64, weights=Weights(collision=0.0))
STEP = 1e-5


@pytest.fixture(scope="module")
def problem() -> LeastSquares:
    return LeastSquares(template().hand(smooth_offsets(1.0)), targets(), CONFIG)


@pytest.fixture(scope="module")
def pose() -> Pose:
    return PosedShape.of(*start()).pose


@pytest.fixture(scope="module")
def pull(problem: LeastSquares, pose: Pose) -> VertexLinearisation:
    return linearise_vertices(problem, pose, LM_SETTINGS, template())


def moved(problem: LeastSquares, change: np.ndarray) -> LeastSquares:
    """The same with other rest vertices; normals and joints stay."""
    rest = problem.hand.rest + template().fine(change)
    return LeastSquares(replace(problem.hand, rest=np.ascontiguousarray(rest)), problem.targets, problem.config)


def test_the_gradient_is_that_of_the_cost(problem: LeastSquares, pose: Pose, pull: VertexLinearisation) -> None:
    for seed in range(3):
        direction = smooth_offsets(1.0, seed)
        ends = [moved(problem, sign * STEP * direction).cost(pose, LM_SETTINGS).sum() for sign in (-1, 1)]
        slope = (ends[1] - ends[0]) / (2 * STEP)
        # A vertex in front of the observed surface is pushed along z alone, whatever the surface's slope.
        assert 2 * pull.gradient @ direction.ravel() == pytest.approx(slope, rel=0.02)
        assert abs(slope) > 1e-3


def test_the_curvature_is_symmetric_and_not_negative(pull: VertexLinearisation, rng: np.random.Generator) -> None:
    assert abs(pull.curvature - pull.curvature.T).max() < 1e-12
    for _ in range(5):
        direction = rng.normal(size=pull.curvature.shape[0])
        assert direction @ (pull.curvature @ direction) >= 0


def test_the_curvature_is_the_gradients_derivative(
    problem: LeastSquares, pose: Pose, pull: VertexLinearisation
) -> None:
    """Gauss-Newton leaves out how weights change, so it is the derivative only about."""
    flat, along = smooth_offsets(1.0, 1), smooth_offsets(1.0, 2).ravel()
    ends = [
        linearise_vertices(moved(problem, sign * 0.01 * flat), pose, LM_SETTINGS, template()).gradient
        for sign in (-1, 1)
    ]
    derivative = (ends[1] - ends[0]) / 0.02
    assert flat.ravel() @ derivative == pytest.approx(flat.ravel() @ (pull.curvature @ flat.ravel()), rel=0.5)
    assert along @ (pull.curvature @ along) > 0


def test_pose_motion_is_how_vertices_move(problem: LeastSquares, pose: Pose) -> None:
    motion = pose_motion(problem, pose)
    hand = problem.hand
    posed = hand.vertices(hand.transforms(pose, hand.bind_of(pose)), hand.rest_of(pose))
    lever = posed - pose.translation[:, None]
    for axis in range(3):
        unit = np.eye(3)[axis]
        assert_close(motion[:, axis], np.cross(unit, lever), atol=1e-2, reason="a step of 1e-5 rad at 200 mm")
        assert_close(
            motion[:, 3 + axis], np.broadcast_to(unit, lever.shape), atol=1e-6, reason="rounding over the step"
        )
    assert_close(motion[:, 6], lever, atol=1e-2, reason="a relative step of 1e-5 at 200 mm")


def test_cross_is_the_motion_through_the_curvature(
    problem: LeastSquares, pose: Pose, pull: VertexLinearisation
) -> None:
    """Moving all vertices of one image by the camera's z: as a translation and as offsets it is the same motion."""
    size = pull.cross.shape[1]
    assert pull.cross.shape == (len(pose), size, 3 * len(template().rig.rest_mm))
    system = problem.system(pose, LM_SETTINGS)
    for image in range(len(pose)):
        back = pose.rotation[image].T @ [0.0, 0.0, 1.0] / pose.scale[0]
        palm = np.tile(back, len(template().rig.rest_mm))
        ratio = (pull.cross[image, 5] @ palm) / system.hessian[image, 5, 5]
        assert 0.7 < ratio < 1.1  # fingers are bent, so that their rest axes are not the palm's
