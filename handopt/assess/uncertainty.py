"""How far each joint may lie from where the fit says: from the fit's own curvature and its confidence.

The curvature of the cost at the answer says how freely each joint moves (Laplace's approximation: the covariance of the
pose is proportional to the inverse of the Gauss-Newton Hessian); hidden fingers are held by the pose prior alone.
Errors grow with that covariance rather than with its root: a loosely held joint that is wrong lies in another minimum
of the cost, not on the slopes of this one. scripts/calibrate/calibrate_fits.py finds the weights.
"""

import numpy as np
from numpy.typing import ArrayLike

from handopt.assess.calibration import weights
from handopt.assess.config import ASSESS
from handopt.backend import to_device, to_numpy
from handopt.config import LMSettings
from handopt.hand_model import Pose
from handopt.objective.least_squares import LeastSquares
from handopt.typing import Bools, Floats

WEIGHT_NAMES = ("best_mm2", "visible_per_mm", "hidden_per_mm", "doubt_mm2")


def radius_mm(
    spread_mm2: Floats, visible: Bools, confidence: float | Floats, calibrated: ArrayLike | None = None
) -> Floats:
    """The radii in mm in which the true joints lie in two of three cases.

    spread_mm2: of joints, see `spread_of`; visible: which of them are; confidence: of their fits; calibrated: the
    weights in the order of WEIGHT_NAMES, by default those of assets/calibration.toml. The root of
    best + (near spread)^2 + doubt (1 - confidence)^2, where near is another weight for hidden joints.
    """
    if calibrated is None:
        calibrated = weights("fit_uncertainty", *WEIGHT_NAMES)
    best, seen, hidden, doubt = np.asarray(calibrated, np.float64)
    near = np.where(visible, seen, hidden)
    return np.asarray(np.sqrt(best + (near * spread_mm2) ** 2 + doubt * (1 - np.asarray(confidence)) ** 2))


def spread_of(problem: LeastSquares, pose: Pose, lm_settings: LMSettings) -> Floats:
    """Trace of each joint's covariance (21,) mm^2, where the pose's is the inverse Hessian of the cost.

    pose: one; lm_settings: those it was found with
    """
    hand = problem.hand
    hessian = to_numpy(problem.system(pose, lm_settings).hessian)[0].astype(np.float64)
    free = np.flatnonzero(to_numpy(problem.parameters.free(pose, lm_settings)) > 0)
    values, vectors = np.linalg.eigh(np.tril(hessian[np.ix_(free, free)]))  # which reads the lower triangle alone
    steps = np.zeros((len(free) + 1, len(hessian)))
    steps[1:, free] = (vectors / np.sqrt(np.maximum(values, ASSESS.hessian_ridge * values.max()))).T
    copies = pose.select(to_device(np.zeros(len(steps)), hand.device, np.int64))
    moved = problem.parameters.moved(copies, to_device(steps, hand.device, hand.rest.dtype))
    joints = to_numpy(hand.joints(hand.transforms(moved), hand.keypoints_of(moved))).astype(np.float64)
    return np.asarray(((joints[1:] - joints[0]) ** 2).sum(axis=(0, 2)))
