"""Free rest vertices: how the costs of all images depend on the vertices that they share (paper, Eq. 8)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from handopt.backend import Array, to_device, to_numpy
from handopt.config import LMSettings
from handopt.hand_model import Hand, Pose
from handopt.objective.least_squares import LeastSquares
from handopt.objective.pose_parameters import PoseParameters
from handopt.shape.state import Template
from handopt.typing import Floats

if TYPE_CHECKING:
    from scipy.sparse import csc_array

_STEP = 1e-5  # of a parameter, for finite differences in float64
_TRIANGLE = np.array([[0, 1, 2], [1, 3, 4], [2, 4, 5]])  # where A of vertex normal equations stands


@dataclass(frozen=True)
class VertexLinearisation:
    """The Gauss-Newton model of B images by the offsets: cost(offsets + d) = cost + 2 gradient.d + d.H d, summed.

    curvature: (3 V, 3 V) sparse; gradient: (3 V,); cross: (B, P, 3 V), half the mixed derivatives by the parameters of
    each pose (as in handopt.ops.normal_equations) and the offsets
    """

    curvature: "csc_array"
    gradient: Floats
    cross: Floats


def linearise_vertices(
    problem: LeastSquares, pose: Pose, lm_settings: LMSettings, template: Template
) -> VertexLinearisation:
    """Linearise the costs of all poses by the offsets of the template's vertices: gradients are summed (Eq. 8).

    problem: with the template's finer mesh
    """
    hand = problem.hand
    vertex_normal_equations = to_numpy(problem.vertex_normal_equations(pose, lm_settings)).astype(np.float64)
    linear = to_numpy(hand.transforms(pose, hand.bind_of(pose))).astype(np.float64)[..., :3]
    indices, weights = to_numpy(hand.indices), to_numpy(hand.weights).astype(np.float64)
    motion = pose_motion(problem, pose)
    count, fine, size = len(pose), vertex_normal_equations.shape[1], motion.shape[1]
    blocks, gradient = np.zeros((fine, 3, 3)), np.zeros((fine, 3))
    cross = np.empty((count, size, 3 * len(template.rig.rest_mm)))
    for image in range(count):
        blended = (weights[:, None] @ linear[image].reshape(-1, 9)[indices]).reshape(-1, 3, 3)
        turned = vertex_normal_equations[image][:, _TRIANGLE] @ blended  # A B
        blocks += blended.transpose(0, 2, 1) @ turned
        gradient += np.einsum("vab,va->vb", blended, vertex_normal_equations[image][:, 6:])
        mixed = (motion[image].transpose(1, 0, 2) @ turned).transpose(1, 0, 2)
        cross[image] = template.gathered(mixed).reshape(size, -1)
    by_joints = _collision_gradient(problem, pose, linear)
    flat = template.gathered(gradient[None])[0] + template.regressor.backward(by_joints)
    return VertexLinearisation(_curvature(blocks, template), flat.ravel(), cross)


def pose_motion(problem: LeastSquares, pose: Pose) -> Floats:
    """How the posed vertices move with each parameter of their pose, (B, P, V, 3) mm, by finite differences."""
    hand = problem.hand
    fine = Hand(
        **{
            name: value.astype(np.float64) if getattr(value, "dtype", None) == np.float32 else value
            for name, value in vars(hand).items()
        }
    )
    parameters = PoseParameters(fine)
    start = Pose(**{name: v if name == "image" else v.astype(np.float64) for name, v in vars(pose).items()})
    rest = to_numpy(_vertices(fine, start))
    size = parameters.count + pose.proportions.shape[1]
    motion = np.empty((len(pose), size, *rest.shape[1:]))
    for number in range(size):
        step = np.zeros((len(pose), size))
        step[:, number] = _STEP
        moved = parameters.moved(start, to_device(step, hand.device, np.float64))
        motion[:, number] = (to_numpy(_vertices(fine, moved)) - rest) / _STEP
    return motion


def _vertices(hand: Hand, pose: Pose) -> Array:
    return hand.vertices(hand.transforms(pose, hand.bind_of(pose)), hand.rest_of(pose))


def _collision_gradient(problem: LeastSquares, pose: Pose, linear: Floats) -> Floats:
    """Half the derivative (J, 3) of all collisions by the bind positions, bone lengths free. linear: (B, J, 3, 3)."""
    contact = to_numpy(problem.collision_gradient(pose, fixed_length=False)).astype(np.float64)
    rows = to_numpy(problem.hand.keypoint_joints)[:, 0]
    gradient = np.zeros((linear.shape[1], 3))
    np.add.at(gradient, rows, np.einsum("bkac,bka->kc", linear[:, rows], contact) / 2)
    return gradient


def _curvature(blocks: Floats, template: Template) -> "csc_array":
    """From blocks (V + E, 3, 3) of the finer mesh to (3 V, 3 V): a middle moves by half of what its ends do."""
    from scipy.sparse import csc_array

    count = len(template.rig.rest_mm)
    first, second = template.edges.T
    middle = blocks[count:] / 4
    rows = np.concatenate([np.arange(count), first, second, first, second])
    columns = np.concatenate([np.arange(count), first, second, second, first])
    values = np.concatenate([blocks[:count], middle, middle, middle, middle])
    down, across = np.meshgrid(np.arange(3), np.arange(3), indexing="ij")
    places = (3 * rows[:, None, None] + down, 3 * columns[:, None, None] + across)
    flat = tuple(np.broadcast_to(each, values.shape).ravel() for each in places)
    return csc_array((values.ravel(), flat), shape=(3 * count, 3 * count))
