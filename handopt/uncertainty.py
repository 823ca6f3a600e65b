"""How far each joint may lie from where the fit says: from the fit's own curvature, other poses, and its confidence.

The curvature of the cost at the answer says how freely each joint moves (Laplace's approximation: the covariance of the
pose is proportional to the inverse of the Gauss-Newton Hessian); hidden fingers are held by the pose prior alone. Other
poses that explain the image about as well, and a low confidence, widen that. scripts/calibrate.py finds the weights.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from handopt.backend import to_device, to_numpy
from handopt.config import Approach
from handopt.hand import Pose
from handopt.optimise.levenberg import LeastSquares

Floats = NDArray[np.float64]

RIVAL_UNEXPLAINED = 0.02
"""A pose that leaves this much more unexplained counts 1/e."""
RIDGE = 1e-6  # of the largest diagonal element
WEIGHTS = (1.0, 1.0, 1.0, 1.0)
"""mm^2 at best; of the local spread; of the rivals' spread; mm^2 of a fit without confidence."""


@dataclass(frozen=True, eq=False)
class Spread:
    """Mean squared distances from the joints of a fit, (21,) mm^2: of poses nearby, and of other poses."""

    near: Floats
    rivals: Floats

    def radius_mm(self, confidence: float) -> Floats:
        """The radius (21,) mm around each joint in which the true one lies in two of three cases."""
        return radius_mm(WEIGHTS, self.near, self.rivals, confidence)


def radius_mm(weights: ArrayLike, near_mm2: Floats, rivals_mm2: Floats, confidence: float | Floats) -> Floats:
    """Radii in mm of joints with these spreads in fits of this confidence. weights: (4,) in the order of WEIGHTS."""
    best, near, rivals, doubt = np.asarray(weights, np.float64)
    return np.asarray(np.sqrt(best + near * near_mm2 + rivals * rivals_mm2 + doubt * (1 - confidence) ** 2))


def spread_of(
    problem: LeastSquares, pose: Pose, approach: Approach, unexplained: float, others: list[tuple[float, Floats]]
) -> Spread:
    """The spread of a pose's joints.

    pose: one; approach: with which it was found; unexplained: its share; others: shares and joints (21, 3) mm of the
    other poses that survived the search, in the frame of the image that `pose` is fitted to.
    """
    joints = _joints(problem, pose)[0]
    weights = np.exp([(unexplained - share) / RIVAL_UNEXPLAINED for share, _ in others]).clip(0, 1)
    distances = np.array([((other - joints) ** 2).sum(axis=1) for _, other in others]).reshape(-1, len(joints))
    return Spread(near_mm2(problem, pose, approach), weights @ distances / (1 + weights.sum()))


def near_mm2(problem: LeastSquares, pose: Pose, approach: Approach) -> Floats:
    """Trace of each joint's covariance (21,) mm^2, where the pose's is the inverse Hessian of the cost."""
    hessian = to_numpy(problem.system(pose, approach).hessian)[0].astype(np.float64)
    free = np.flatnonzero(to_numpy(problem.free(pose, approach)) > 0)
    lower = np.tril(hessian[np.ix_(free, free)])
    whole = lower + np.tril(lower, -1).T
    whole += RIDGE * whole.diagonal().max() * np.eye(len(free))
    values, vectors = np.linalg.eigh(whole)
    steps = np.zeros((len(free) + 1, hessian.shape[0]))
    steps[1:, free] = (vectors / np.sqrt(np.maximum(values, RIDGE * values.max()))).T
    copies = pose.select(to_device(np.zeros(len(steps)), problem.hand.device, np.int64))
    moved = problem.moved(copies, to_device(steps, problem.hand.device, problem.hand.rest.dtype))
    joints = _joints(problem, moved)
    return np.asarray(((joints[1:] - joints[0]) ** 2).sum(axis=(0, 2)))


def _joints(problem: LeastSquares, pose: Pose) -> Floats:
    hand = problem.hand
    return np.asarray(to_numpy(hand.joints(hand.transforms(pose), hand.keypoints_of(pose))), np.float64)
