"""How sure each frame of a track is, and how far each of its joints may be off.

Confidence is the probability that every visible joint lies within 20 mm, by a logistic regression on signs of the frame
and of those around it. scripts/calibrate/calibrate_tracks.py finds the weights on sequences of handopt synth.
"""

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from handopt.assess.confidence import logistic
from handopt.hand_model import exponential
from handopt.rig import Rig, with_proportions
from handopt.rig.pose import joint_transforms, posed_keypoints
from handopt.tracking.estimate import FrameEstimate

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

SIGNS: Final = ("unexplained", "excess", "runner_up_margin", "visible", "anchor_confidence", "jump")
WEIGHTS: Final = (-9.625, -3.523, 2.071, 0.2124, 3.747, 5.431, -1.611)
"""Of 1 and of the signs in order."""
RADIUS_WEIGHTS: Final = (2.646, 0.003451, 0.001362)
"""mm^2 at best; of the spread of visible joints; 1/mm, of the spread of hidden joints."""
LARGEST_SPREAD_MM2: Final = 2e4
SURE, DOUBTFUL = 0.9, 0.5
USUAL_FRAMES, USUAL_PERCENTILE = 60, 20
JUMP_FRAMES, JUMP_UNIT_MM = 8, 5.0
_STEP_RAD = 1e-3
_CHUNK = 64


def signs(found: list[FrameEstimate | None], *, causal: bool) -> Floats:
    """What speaks for and against each frame (T, 6), NaN where there is no hand. causal: look at no later frames.

    unexplained: logarithm of the share. excess: the same relative to what good frames around it leave. gap: by how much
    the best other pose is worse. visible: share of joints. standing: confidence of the fit the track goes back to.
    jump: how much visible joints are off the line of their neighbours in frames around it.
    """
    count = len(found)
    rows = np.full((count, len(SIGNS)), np.nan)
    share = np.array([np.nan if each is None else max(each.unexplained, 1e-3) for each in found])
    off = _off_line(found)
    later = 0 if causal else 1
    for row, each in enumerate(found):
        if each is None:
            continue
        around = share[max(0, row - USUAL_FRAMES) : row + later * USUAL_FRAMES + 1]
        usual = float(np.nanpercentile(around, USUAL_PERCENTILE))
        near = off[max(0, row - JUMP_FRAMES) : row + later * JUMP_FRAMES + 1]
        rows[row] = (
            np.log(share[row]), np.log(share[row] / usual), each.runner_up_margin, each.visible.mean(), each.anchor_confidence,
            np.log1p(near.max(initial=0.0) / JUMP_UNIT_MM),
        )  # fmt: skip
    return rows


def _off_line(found: list[FrameEstimate | None]) -> Floats:
    """By how much the worst visible joint of each frame (T,) is off where the two before it lead, mm."""
    off = np.zeros(len(found))
    for row in range(2, len(found)):
        first, second, third = found[row - 2 : row + 1]
        if first is None or second is None or third is None:
            continue
        bend = np.linalg.norm(first.joints_mm - 2 * second.joints_mm + third.joints_mm, axis=1)
        off[row] = bend[third.visible | second.visible].max(initial=0.0)
    return off


def confidence(every: Floats) -> Floats:
    """The probabilities (T,) of signs (T, 6), NaN where there is no hand."""
    return logistic(np.array(WEIGHTS), every)


def uncertainty_mm(spread: Floats, visible: Flags, weights: ArrayLike = RADIUS_WEIGHTS) -> Floats:
    """The radii (T, 21) in which the true joints lie in two of three cases if the hand is found, NaN where none is.

    The root of best + seen spread, and of best + (hidden spread)^2 of joints that are not visible: these lie in another
    valley of the cost rather than on the slopes of this one.
    """
    best, seen, hidden = np.asarray(weights, np.float64)
    return np.asarray(np.sqrt(best + np.where(visible, seen * spread, (hidden * spread) ** 2)))


def spread_mm2(found: list[FrameEstimate | None], rig: Rig, scale: float, proportions: Floats) -> Floats:
    """Trace of each joint's covariance (T, 21), mm^2, as the frames' own covariances make it. rig: a right hand."""
    spread = np.full((len(found), 21), np.nan)
    shaped = with_proportions(rig, proportions)
    free = np.flatnonzero(np.asarray(rig.limits.free).ravel())
    rows = [row for row, each in enumerate(found) if each is not None]
    for start in range(0, len(rows), _CHUNK):
        chosen = rows[start : start + _CHUNK]
        some = [each for row in chosen if (each := found[row]) is not None]
        slopes = _slopes(some, shaped, scale, free)
        covariance = np.stack([each.covariance for each in some]).astype(np.float64)
        spread[chosen] = np.einsum("tpji,tpq,tqji->tj", slopes, covariance, slopes)
    return np.asarray(np.minimum(spread, LARGEST_SPREAD_MM2))


def _slopes(found: list[FrameEstimate], shaped: Rig, scale: float, free: NDArray[np.int64]) -> Floats:
    """Derivatives of joints (T, 6 + A, 21, 3) by rotation, translation and free angles."""
    count, steps = len(found), 1 + 3 + len(free)
    rotation = np.repeat(np.stack([each.placed.rotation for each in found])[:, None], steps, axis=1)
    angles = np.repeat(np.stack([each.placed.angles_rad.ravel() for each in found])[:, None], steps, axis=1)
    turns = np.asarray(exponential(_STEP_RAD * np.eye(3)))
    for axis in range(3):
        rotation[:, 1 + axis] = turns[axis] @ rotation[:, 1 + axis]
    angles[:, 4 + np.arange(len(free)), free] += _STEP_RAD
    translation = np.zeros((count * steps, 3))
    transforms = joint_transforms(
        shaped, rotation.reshape(-1, 3, 3), translation, angles.reshape(-1, 15, 3), np.full(count * steps, scale)
    )
    joints = posed_keypoints(shaped, transforms)
    moved = (joints.reshape(count, steps, 21, 3)[:, 1:] - joints.reshape(count, steps, 21, 3)[:, :1]) / _STEP_RAD
    shifts = np.broadcast_to(np.eye(3)[:, None], (count, 3, 21, 3))
    return np.concatenate([moved[:, :3], shifts, moved[:, 3:]], axis=1)


def ranges(flags: Flags) -> list[str]:
    """Rows that are true as text: 12-19, 40."""
    rows = np.flatnonzero(flags)
    if len(rows) == 0:
        return []
    parts = np.split(rows, np.flatnonzero(np.diff(rows) > 1) + 1)
    return [str(part[0]) if len(part) == 1 else f"{part[0]}-{part[-1]}" for part in parts]
