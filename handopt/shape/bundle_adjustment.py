"""One size and one set of proportions for all images, with a pose of each: bundle adjustment by Levenberg-Marquardt.

The normal equations of B poses and S shared parameters are an arrowhead: each pose's own block, and a border.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final, Generic, TypeVar

import numpy as np

from handopt.backend import Array, namespace_of, to_device, to_numpy
from handopt.config import LMSchedule, LMSettings
from handopt.hand_model import Hand, Pose
from handopt.objective.least_squares import LeastSquares
from handopt.objective.pose_parameters import PoseParameters
from handopt.ops.normal_equations import RIGID
from handopt.optimise.arrowhead import solve_arrowhead
from handopt.optimise.levenberg_marquardt import levenberg_marquardt
from handopt.optimise.solution import Solution
from handopt.shape.bone_lengths import SHAPE_NAMES
from handopt.shape.state import HandShape, PosedShape
from handopt.typing import Bools, Floats, Indices

RecordShape = Callable[[Pose, dict[str, Floats], Floats], None]
"""Called with the poses, their terms and the offsets (V, 3) that they were compared with."""

SCHEDULE: Final = LMSchedule(first_damping=1e-3, lowest_damping=1e-7, highest_damping=1e4, accepted=0.2, refused=8.0)
"""Chosen by hand: many images hold a step together, so that it is damped less than that of a single pose."""
Model = TypeVar("Model", bound="SharedModel")
_LENGTH_STEP = 1e-3  # of a proportion, for central differences


class SharedModel:
    """The cost (1,) of all images together and its normal equations, which are there where derivatives were asked for.

    system: of each pose by itself; the cost is infinite where that of some pose is not finite
    """

    def __init__(
        self,
        problem: LeastSquares,
        pose: Pose,
        lm_settings: LMSettings,
        prior: float = 0.0,
        *,
        derivatives: bool = True,
    ) -> None:
        """prior: cost of what the images do not show."""
        self.problem, self.pose = problem, pose
        self.system = problem.system(pose, lm_settings, derivatives=derivatives)
        cost = float(np.sum(to_numpy(self.system.cost), dtype=np.float64))
        self.cost: Floats = np.array([(cost if np.isfinite(cost) else np.inf) + prior])

    @cached_property
    def hessian(self) -> Floats:
        """Both triangles of the poses' normal equations, (B, P, P)."""
        lower = np.tril(to_numpy(self.system.hessian).astype(np.float64))
        return np.asarray(lower + np.tril(lower, -1).transpose(0, 2, 1))

    @cached_property
    def gradient(self) -> Floats:
        """Half the derivatives of the poses' costs (B, P), those by bone lengths included."""
        gradient = self.system.gradient
        if (to_numpy(self.system.terms["collision"]) > 0).any():
            gradient = gradient.copy()
            gradient[:, -self.pose.proportions.shape[1] :] += length_gradient(self.problem, self.pose)
        return np.asarray(to_numpy(gradient).astype(np.float64))

    @property
    def terms(self) -> dict[str, Floats]:
        """The terms (B,) of each image."""
        return {name: to_numpy(term).astype(np.float64) for name, term in self.system.terms.items()}


class SharedProblem(Generic[Model]):
    """All images as one sum of squares: a step counts only where it lowers the sum of all costs."""

    def updated(
        self, accepted: Bools, new: tuple[PosedShape, Model], old: tuple[PosedShape, Model]
    ) -> tuple[PosedShape, Model]:
        """One of the two."""
        return new if accepted[0] else old


@dataclass(frozen=True, eq=False)
class BundleProblem(SharedProblem[SharedModel]):
    """Poses and the scale and proportions that they share, under one stage's settings."""

    least_squares: LeastSquares
    lm_settings: LMSettings

    def evaluate(self, state: PosedShape, *, derivatives: bool = True) -> SharedModel:
        """The cost of all images."""
        return SharedModel(self.least_squares, state.pose, self.lm_settings, derivatives=derivatives)

    def moved(self, state: PosedShape, step: Floats) -> PosedShape:
        """The poses after steps (B, P), whose shared parameters are the same in every row."""
        return moved_together(self.least_squares.parameters, state, step)


def adjust(
    problem: LeastSquares,
    pose: Pose,
    shape: HandShape,
    lm_settings: LMSettings,
    record: RecordShape | None = None,
) -> Solution[PosedShape, SharedModel]:
    """Move B poses, and the scale and proportions that they share. Offsets stay as they are in the problem's hand.

    lm_settings: also which of scale and proportions are free; record: called at the start and after every iteration
    The solution's model may lack derivatives.
    """
    free = np.array([lm_settings.scale, *[lm_settings.proportions] * len(shape.proportions)])

    def solve(model: SharedModel, damping: Floats) -> Floats:
        shared = shared_parameters(model.gradient.shape[1], len(shape.proportions))
        return solve_arrowhead(model.hessian, model.gradient, shared, free, float(damping[0]))

    def notify(_: int, state: PosedShape, model: SharedModel) -> None:
        if record is not None:
            record(state.pose, model.terms, state.shape.offsets_mm)

    schedule = replace(SCHEDULE, iterations=lm_settings.iterations)
    start = PosedShape.of(pose, shape)
    return levenberg_marquardt(BundleProblem(problem, lm_settings), start, schedule, solve, notify, linearised=False)


def shared_parameters(count: int, proportions: int = len(SHAPE_NAMES)) -> Indices:
    """Columns of the parameters that all images share, of a pose's `count`: scale and proportions."""
    return np.array([RIGID - 1, *range(count - proportions, count)])


def moved_together(parameters: PoseParameters, state: PosedShape, step: Floats) -> PosedShape:
    """Poses and shape after steps (B, P), whose shared parameters are the same in every row."""
    scale = state.pose.scale
    pose = parameters.moved(state.pose, to_device(step, parameters.device, scale.dtype))
    return PosedShape.at(pose, state.shape)


def length_gradient(problem: LeastSquares, pose: Pose) -> Array:
    """Half the derivative (B, S) of collisions by the proportions that bones' own changes of length add.

    The normal equations hold lengths constant, which is exact for poses; proportions change them (see
    handopt.ops.collision.collision_backward).
    """
    missing = problem.collision_gradient(pose, fixed_length=False) - problem.collision_gradient(pose)
    gradient = namespace_of(missing).zeros_like(pose.proportions)
    for number in range(pose.proportions.shape[1]):
        gradient[:, number] = 0.5 * (missing * _joint_motion(problem.hand, pose, number)).sum(axis=(1, 2))
    return gradient


def _joint_motion(hand: Hand, pose: Pose, number: int) -> Array:
    """How the keypoints (B, 21, 3) mm move with one proportion."""
    ends = []
    for sign in (-1, 1):
        moved = pose.copy()
        moved.proportions[:, number] += sign * _LENGTH_STEP
        bind = hand.bind_of(moved)
        ends.append(hand.joints(hand.transforms(moved, bind), hand.keypoints_of(moved, bind)))
    return (ends[1] - ends[0]) / (2 * _LENGTH_STEP)
