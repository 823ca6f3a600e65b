"""How sure each frame of a track is, and how far each of its joints may be off.

Confidence is the probability that every visible joint lies within 20 mm, by a logistic regression on features of the
frame and of those around it. scripts/calibrate/calibrate_tracks.py finds the weights on sequences of handopt synth.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from handopt.assess.calibration import weights
from handopt.assess.confidence import logistic
from handopt.assess.config import ASSESS
from handopt.hand_model import exponential
from handopt.rig import Rig, with_shape
from handopt.rig.joints import PALM_KEYPOINTS
from handopt.rig.pose import joint_transforms, posed_keypoints
from handopt.tracking.config import TrackConfidenceConfig
from handopt.tracking.pose_estimate import PoseEstimate
from handopt.typing import Bools, Floats, Indices

FEATURES = ("log_unexplained_fraction", "runner_up_margin", "log_jump")
"""What the regression sees; the anchor's confidence comes after them."""
RADIUS_WEIGHT_NAMES = ("best_mm2", "visible", "hidden_per_mm")
CONFIDENCE = TrackConfidenceConfig()
_STEP_RAD = 1e-3
_CHUNK = 64


def features(
    found: Sequence[PoseEstimate | None], *, causal: bool, config: TrackConfidenceConfig = CONFIDENCE, first: int = 0
) -> Floats:
    """What speaks for and against each frame (T, 4), NaN where there is no hand, and before row `first`.

    In the order of FEATURES: the unexplained fraction; the margin over the runner-up; how far visible joints are from
    the line through the two frames before, in frames around it. Where a trusted fit from scratch stands behind the
    frame, that is relative to the palm, and 0 where frames are so far apart that the hand is mostly elsewhere in the
    next one. Then the confidence of the fit from scratch that the track rests on.
    causal: look at no later frames.
    """
    rows = np.full((len(found), len(FEATURES) + 1), np.nan)
    wide, narrow, later = config.usual_frames, config.jump_frames, 0 if causal else 1
    off, bent = _off_line(found, max(2, first - narrow))
    palm_bends = _palm_bends(found)
    for row, each in enumerate(found):
        if each is None or row < first:
            continue
        trusted = each.anchor_confidence >= config.trusted_anchor
        near = (bent if trusted else off)[max(0, row - narrow) : row + later * narrow + 1]
        moves = palm_bends[max(0, row - wide) : row + later * wide + 1]
        sparse = np.isfinite(moves).any() and np.nanmedian(moves) > config.sparse_mm
        if sparse and trusted:
            near = np.zeros(0)
        rows[row] = (
            np.log(max(each.unexplained_fraction, 1e-3)), each.runner_up_margin,
            np.log1p(near.max(initial=0.0) / config.jump_unit_mm), each.anchor_confidence,
        )  # fmt: skip
    return rows


def _off_line(found: Sequence[PoseEstimate | None], start: int) -> tuple[Floats, Floats]:
    """How far the worst visible joint of each frame (T,) is from where the two before it lead, mm; 0 before a start.

    First as it is, then with the palm's middle taken for fixed: a hand that is moved quickly is no fault.
    """
    off, bent = np.zeros((2, len(found)))
    for row in range(start, len(found)):
        first, second, third = found[row - 2 : row + 1]
        if first is None or second is None or third is None:
            continue
        away = first.joints_mm - 2 * second.joints_mm + third.joints_mm
        seen = third.joint_visible | second.joint_visible
        off[row] = np.linalg.norm(away, axis=1)[seen].max(initial=0.0)
        bent[row] = np.linalg.norm(away - away[list(PALM_KEYPOINTS)].mean(axis=0), axis=1)[seen].max(initial=0.0)
    return off, bent


def _palm_bends(found: Sequence[PoseEstimate | None]) -> Floats:
    """How far the palm of each frame (T,) is from the middle of its two neighbours, mm, NaN where one has no hand.

    The value stands at the later neighbour, which is the first frame that knows it.
    """
    palms = np.full((len(found), len(PALM_KEYPOINTS), 3), np.nan)
    for row, each in enumerate(found):
        if each is not None:
            palms[row] = each.joints_mm[list(PALM_KEYPOINTS)]
    bends = np.full(len(found), np.nan)
    bends[2:] = np.linalg.norm(np.diff(palms, 2, axis=0), axis=2).mean(axis=1) / 2
    return bends


def inputs(rows: Floats, config: TrackConfidenceConfig = CONFIDENCE) -> Floats:
    """The features (T, 3) as the regression sees them, without what tells rendered hands apart but not real ones."""
    fraction, margin, jump = rows[:, 0], rows[:, 1], rows[:, 2]
    least_jump = np.log1p(config.least_jump_mm / config.jump_unit_mm)
    return np.column_stack(
        [
            np.maximum(fraction, np.log(ASSESS.least_unexplained)),
            np.clip(margin, -ASSESS.max_margin, ASSESS.most_margin),
            np.maximum(jump, least_jump),
        ]
    )


def confidence(rows: Floats, config: TrackConfidenceConfig = CONFIDENCE) -> Floats:
    """The probabilities (T,) of features (T, 4), NaN where there is no hand.

    Frames that leave too much unexplained for any hand, and those of a track that rests on a doubtful fit, are
    doubtful.
    """
    probability = logistic(np.array(weights("track_confidence", "constant", *FEATURES)), inputs(rows, config))
    return np.where(doubtful(rows), np.minimum(probability, ASSESS.contradicted), probability)


def doubtful(rows: Floats) -> Bools:
    """Frames (T,) that are doubtful whatever the regression says, by their features (T, 4)."""
    return np.asarray((rows[:, 0] > np.log(ASSESS.most_unexplained)) | (rows[:, -1] < ASSESS.doubtful))


def causal_confidence(recent: Sequence[PoseEstimate | None], config: TrackConfidenceConfig = CONFIDENCE) -> float:
    """The probability of the last of some frames, as a track of all frames has it.

    There need be no more than config.usual_frames + 3: the bend of each of the usual frames and of the last one comes
    from the two frames before it.
    """
    return float(confidence(features(recent, causal=True, config=config, first=len(recent) - 1)[-1:], config)[0])


def uncertainty_mm(spread: Floats, visible: Bools, calibrated: ArrayLike | None = None) -> Floats:
    """The radii (T, 21) in which the true joints lie in two of three cases if the hand is found, NaN where none is.

    The root of best + seen spread, and of best + (hidden spread)^2 of joints that are not visible: a hidden joint
    that is wrong lies in another minimum of the cost, not on the slopes of this one. calibrated: the weights in the
    order of RADIUS_WEIGHT_NAMES, by default those of assets/calibration.toml.
    """
    if calibrated is None:
        calibrated = weights("track_uncertainty", *RADIUS_WEIGHT_NAMES)
    best, seen, hidden = np.asarray(calibrated, np.float64)
    return np.asarray(np.sqrt(best + np.where(visible, seen * spread, (hidden * spread) ** 2)))


def spread_mm2(
    found: Sequence[PoseEstimate | None],
    rig: Rig,
    scale: float,
    proportions: Floats,
    config: TrackConfidenceConfig = CONFIDENCE,
) -> Floats:
    """Trace of each joint's covariance (T, 21), mm^2, as the frames' own covariances make it. rig: a right hand."""
    spread = np.full((len(found), 21), np.nan)
    shaped = with_shape(rig, proportions)
    free = np.flatnonzero(np.asarray(rig.limits.free).ravel())
    rows = [row for row, each in enumerate(found) if each is not None]
    for start in range(0, len(rows), _CHUNK):
        chosen = rows[start : start + _CHUNK]
        some = [each for row in chosen if (each := found[row]) is not None]
        slopes = _slopes(some, shaped, scale, free)
        covariance = np.stack([each.covariance for each in some]).astype(np.float64)
        spread[chosen] = np.einsum("tpji,tpq,tqji->tj", slopes, covariance, slopes)
    return np.asarray(np.minimum(spread, config.max_spread_mm2))


def _slopes(found: Sequence[PoseEstimate], shaped: Rig, scale: float, free: Indices) -> Floats:
    """Derivatives of joints (T, 6 + A, 21, 3) by rotation, translation and free angles."""
    count, steps = len(found), 1 + 3 + len(free)
    rotation = np.repeat(np.stack([each.placed.rotation for each in found])[:, None], steps, axis=1)
    angles = np.repeat(np.stack([each.placed.angles_rad.ravel() for each in found])[:, None], steps, axis=1)
    turns = np.asarray(exponential(_STEP_RAD * np.eye(3)))
    for axis in range(3):
        rotation[:, 1 + axis] = turns[axis] @ rotation[:, 1 + axis]
    angles[:, 4 + np.arange(len(free)), free] += _STEP_RAD
    translation = np.zeros((count * steps, 3))
    turned = angles.reshape(-1, 15, 3)
    transforms = joint_transforms(
        shaped, rotation.reshape(-1, 3, 3), translation, turned, np.full(count * steps, scale)
    )
    joints = posed_keypoints(shaped, transforms, turned)
    moved = (joints.reshape(count, steps, 21, 3)[:, 1:] - joints.reshape(count, steps, 21, 3)[:, :1]) / _STEP_RAD
    shifts = np.broadcast_to(np.eye(3)[:, None], (count, 3, 21, 3))
    return np.concatenate([moved[:, :3], shifts, moved[:, 3:]], axis=1)


def ranges(flags: Bools) -> list[str]:
    """Rows that are true as text: 12-19, 40."""
    rows = np.flatnonzero(flags)
    if len(rows) == 0:
        return []
    parts = np.split(rows, np.flatnonzero(np.diff(rows) > 1) + 1)
    return [str(part[0]) if len(part) == 1 else f"{part[0]}-{part[-1]}" for part in parts]
