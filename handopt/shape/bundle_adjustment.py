"""One size and one set of proportions for all images, with a pose of each: Levenberg-Marquardt on all of them at once.

The normal equations of B poses and S shared parameters are an arrow: each pose's own block, and a border. The border is
solved first (the Schur complement of bundle adjustment, Triggs et al., 2000), then each pose by itself.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from handopt.backend import Array, to_device, to_numpy
from handopt.config import LMSettings
from handopt.hand_model import Hand, Pose
from handopt.objective.least_squares import LeastSquares, System
from handopt.objective.terms import SCALES
from handopt.ops.collision import collision_backward
from handopt.ops.normal_equations import RIGID
from handopt.shape.bone_lengths import SHAPE_NAMES
from handopt.shape.state import HandShape, shared

Floats = NDArray[np.float64]
Record = Callable[[Pose, dict[str, Floats], Floats], None]
"""Called with the poses, their terms and the offsets (V, 3) that they were compared with."""

FIRST_DAMPING: Final = 1e-3
LOWEST_DAMPING: Final = 1e-7
HIGHEST_DAMPING: Final = 1e4
ACCEPTED, REFUSED = 0.2, 8.0
_SCALE = RIGID - 1
_LENGTH_STEP = 1e-3


@dataclass(frozen=True)
class FreeParameters:
    """Which of the shared parameters may move."""

    scale: bool = True
    proportions: bool = True


def fit_together(
    problem: LeastSquares,
    pose: Pose,
    shape: HandShape,
    lm_settings: LMSettings,
    freedom: FreeParameters,
    record: Record | None = None,
) -> tuple[Pose, HandShape, float]:
    """Move B poses and the scale and proportions that they share, and return them with the total cost.

    A step is taken where it lowers the sum of all costs. Offsets stay as they are in the problem's hand.
    """
    pose = shared(pose, shape)
    system = problem.system(pose, lm_settings)
    free_lengths(problem, pose, system)
    damping, total = FIRST_DAMPING, total_of(system)
    notify(record, pose, system, shape)
    for _ in range(lm_settings.iterations):
        step = _arrow_step(system, damping, freedom)
        trial = problem.moved(pose, to_device(step, problem.hand.device, pose.scale.dtype))
        found = problem.system(trial, lm_settings)
        cost = total_of(found)
        if cost < total:
            pose, system, total = trial, found, cost
            free_lengths(problem, pose, system)
            damping = max(damping * ACCEPTED, LOWEST_DAMPING)
        else:
            damping = min(damping * REFUSED, HIGHEST_DAMPING)
        notify(record, pose, system, shape)
    scale, proportions = to_numpy(pose.scale), to_numpy(pose.proportions)
    return pose, replace(shape, scale=float(scale[0]), proportions=proportions[0].astype(np.float64)), total


def own_and_common(size: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Of a pose's parameters, those that are its own, and those that all images share: scale and proportions."""
    common = np.array([_SCALE, *range(size - len(SHAPE_NAMES), size)])
    return np.setdiff1d(np.arange(size), common), common


def whole_hessian(system: System) -> Floats:
    """Both triangles of the poses' normal equations (B, P, P); a system has only the lower one in full."""
    lower = np.tril(to_numpy(system.hessian).astype(np.float64))
    return np.asarray(lower + np.tril(lower, -1).transpose(0, 2, 1))


def total_of(system: System) -> float:
    """The cost of all images; infinite where it is no number."""
    cost = float(np.sum(to_numpy(system.cost), dtype=np.float64))
    return cost if np.isfinite(cost) else float("inf")


def notify(record: Record | None, pose: Pose, system: System, shape: HandShape) -> None:
    """Report an iteration."""
    if record is not None:
        record(pose, {name: to_numpy(term).astype(np.float64) for name, term in system.terms.items()}, shape.offsets_mm)


def _arrow_step(system: System, damping: float, freedom: FreeParameters) -> Floats:
    """The damped Gauss-Newton step (B, P) of all poses and of the parameters that they share."""
    hessian, gradient = whole_hessian(system), to_numpy(system.gradient).astype(np.float64)
    count, size = gradient.shape
    own, common = own_and_common(size)
    mobile = np.concatenate([[freedom.scale], np.full(len(common) - 1, freedom.proportions)])
    blocks = hessian[:, own[:, None], own]
    diagonal = np.einsum("bii->bi", blocks)
    dead = diagonal <= 1e-12  # nothing depends on it
    diagonal += damping * diagonal + dead
    border = hessian[:, own[:, None], common]
    corner = hessian[:, common[:, None], common].sum(axis=0)
    corner[np.diag_indices_from(corner)] *= 1 + damping
    solved = np.linalg.solve(blocks, np.concatenate([border, gradient[:, own, None]], axis=2))
    schur = corner - np.einsum("bpc,bpd->cd", border, solved[..., :-1])
    right = gradient[:, common].sum(axis=0) - np.einsum("bpc,bp->c", border, solved[..., -1])
    step = np.zeros((count, size))
    move = np.zeros(len(common))
    if mobile.any():
        move[mobile] = -np.linalg.solve(schur[np.ix_(mobile, mobile)], right[mobile])
    step[:, common] = move
    step[:, own] = -solved[..., -1] - solved[..., :-1] @ move
    return step


def free_lengths(problem: LeastSquares, pose: Pose, system: System) -> None:
    """Add to the gradient how collisions change because bones change their lengths (README, "Collision", h free).

    The system holds lengths constant, which is exact for poses; proportions change them.
    """
    if not (to_numpy(system.terms["collision"]) > 0).any():
        return
    hand, config = problem.hand, problem.config
    bind = hand.bind_of(pose)
    transforms = hand.transforms(pose, bind)
    joints = hand.joints(transforms, hand.keypoints_of(pose, bind))
    weight = to_device(
        np.full(len(pose), config.weights.collision / SCALES.length_unit_mm**2), hand.device, pose.scale.dtype
    )
    arguments = (weight, joints, hand.bones, config.collision_radius_mm)
    missing = collision_backward(*arguments, fixed_length=False) - collision_backward(*arguments)
    first = system.gradient.shape[1] - len(SHAPE_NAMES)
    for number in range(len(SHAPE_NAMES)):
        system.gradient[:, first + number] += 0.5 * (missing * _joint_motion(hand, pose, number)).sum(axis=(1, 2))


def _joint_motion(hand: Hand, pose: Pose, number: int) -> Array:
    """How the keypoints (B, 21, 3) mm move with one proportion."""
    ends = []
    for sign in (-1, 1):
        moved = pose.copy()
        moved.proportions[:, number] += sign * _LENGTH_STEP
        bind = hand.bind_of(moved)
        ends.append(hand.joints(hand.transforms(moved, bind), hand.keypoints_of(moved, bind)))
    return (ends[1] - ends[0]) / (2 * _LENGTH_STEP)
