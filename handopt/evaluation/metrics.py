"""Joint errors over many frames, by the measures of the literature on hand pose from depth images.

The error of a joint is the distance from prediction to label in the camera frame, in mm, without any alignment. Of it
are made

- the *mean joint error*: over all joints of all frames (Oberweger, Wohlhart, Lepetit, *Hands Deep in Deep Learning for
  Hand Pose Estimation*, CVWW 2015, and most papers since);
- the *median frame*: the median over frames of the mean over a frame's joints;
- the *success rate* at D: the share of frames whose worst joint is within D mm. Taylor, Shotton, Sharp, Fitzgibbon,
  *The Vitruvian Manifold*, CVPR 2012, introduced it for bodies; for hands it is used by Tang, Chang, Tejani, Kim,
  *Latent Regression Forest*, CVPR 2014, by Sun, Wei, Liang, Tang, Sun, *Cascaded Hand Pose Regression*, CVPR 2015, and
  by Oberweger et al.

Mean and success rate were checked against public code: that derived from DeepPrior (Oberweger et al.) and that of
xinghaochen/awesome-hand-pose-estimation on GitHub agree in both, "within D" includes D, and the latter also has the
share of frames whose mean is within D, and the share of joints.

Beside them stand the *PA-MPJPE*, the mean error after each prediction was moved, turned and scaled onto its label, and
the *AUC* of the share of joints within D from 20 to 50 mm, before and after that; sets of colour images report these.

What they leave open, handopt does so: a frame without a prediction is a failure in every share, at every D, and is left
out of means and medians. Where labels say which joints are visible, the measures are given for visible joints too; a
frame without a visible joint is left out of these.
"""

from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike

from handopt.errors import ShapeError
from handopt.evaluation.frames import LEVELS
from handopt.evaluation.mapping import JointSet
from handopt.typing import BoolImage, Floats

FORMAT: Final = "handopt.evaluation/1"
THRESHOLDS_MM: Final = tuple(range(5, 81))
CONFIDENCE_LEVELS: Final = (0.5, 0.7, 0.9)
TRUSTED_MM: Final = 20.0
AUC_RANGE_MM: Final = (20.0, 50.0)
SHOWN_MM: Final = (10, 20, 30, 40, 60, 80)


@dataclass(frozen=True)
class Evaluation:
    """Errors of N frames with J joints.

    frames: their names. errors_mm: (N, J), NaN in frames without a (finite) prediction. visible: (N, J), or None where
    the labels do not say; then every joint counts as visible. confidence: (N,) of the predictions, NaN where there is
    none. predictions: which prediction each frame got, or None. unused: predictions of no frame. notes: what was
    assumed. motion: of frames that are those of a sequence, or of each group of them, see handopt.evaluation.motion.
    aligned_mm: (N, J) errors after the best similarity, see aligned_errors, None for labels without depth.
    """

    joint_set: JointSet
    joints: tuple[str, ...]
    frames: tuple[str, ...]
    errors_mm: Floats
    visible: BoolImage | None
    confidence: Floats
    predictions: tuple[str | None, ...]
    unused: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    motion: dict[str, dict[str, Any]] = field(default_factory=dict)
    aligned_mm: Floats | None = None

    @property
    def predicted(self) -> BoolImage:
        """Which frames (N,) have a prediction that is finite."""
        return np.asarray(np.isfinite(self.errors_mm).all(axis=1))

    @property
    def missing(self) -> tuple[str, ...]:
        """Names of the frames without a prediction."""
        return tuple(name for name, there in zip(self.frames, self.predicted, strict=True) if not there)

    @property
    def groups(self) -> dict[str, BoolImage]:
        """Rows (N,) of the frames of each folder, if there are several; of each set's levels, subjects or sequences."""
        folders = np.array([name.rsplit("/", 1)[0].split("/")[0] if "/" in name else "" for name in self.frames])
        names = sorted(set(folders.tolist()), key=lambda name: (LEVELS.index(name) if name in LEVELS else -1, name))
        return {name or "(top)": folders == name for name in names} if len(names) > 1 else {}

    def scores(self, rows: BoolImage | None = None) -> dict[str, Any]:
        """The measures over all frames or the given rows (N,); mm, None where there is nothing to measure."""
        rows = np.ones(len(self.frames), bool) if rows is None else rows
        errors = self.errors_mm[rows]
        worst = frame_worst(errors)
        scores: dict[str, Any] = {
            "frames": len(errors),
            "missing": int((~self.predicted[rows]).sum()),
            "mean_joint_error_mm": _mean(errors),
            "median_frame_error_mm": _median(frame_means(errors)),
            "worst_joint_within": {str(limit): share_within(worst, limit) for limit in THRESHOLDS_MM},
            "auc_20_50": area_under_curve(errors),
        }
        if self.aligned_mm is not None:
            aligned = self.aligned_mm[rows]
            scores |= {"pa_mpjpe_mm": _mean(aligned), "pa_auc_20_50": area_under_curve(aligned)}
        if self.visible is None:
            return scores
        seen = self.visible[rows]
        worst = frame_worst(errors, seen)
        return scores | {
            "visible_joint_error_mm": _mean(errors[seen]),
            "occluded_joint_error_mm": _mean(errors[~seen]),
            "median_visible_frame_error_mm": _median(frame_means(errors, seen)),
            "worst_visible_joint_within": {str(limit): share_within(worst, limit) for limit in THRESHOLDS_MM},
            "visible_joints": int(seen[self.predicted[rows]].sum()),
            "occluded_joints": int((~seen[self.predicted[rows]]).sum()),
        }

    def per_joint(self) -> list[dict[str, Any]]:
        """For each joint mean and median error in mm, over the frames with a prediction, and split by visibility."""
        table = []
        for column, name in enumerate(self.joints):
            errors = self.errors_mm[:, column]
            row: dict[str, Any] = {"joint": name, "mean_error_mm": _mean(errors), "median_error_mm": _median(errors)}
            if self.visible is not None:
                seen = self.visible[:, column]
                row |= {
                    "visible_mean_error_mm": _mean(errors[seen]),
                    "visible_median_error_mm": _median(errors[seen]),
                    "occluded_mean_error_mm": _mean(errors[~seen]),
                    "occluded_median_error_mm": _median(errors[~seen]),
                    "visible_frames": int((seen & self.predicted).sum()),
                    "occluded_frames": int((~seen & self.predicted).sum()),
                }
            table.append(row)
        return table

    def curves(self) -> dict[str, Floats]:
        """Shares (76,) within D = 5 .. 80 mm: of frames by worst joint and by mean, of joints, and of visible ones."""
        joints = np.where(np.isnan(self.errors_mm), np.inf, self.errors_mm)
        measured = {"worst_joint": frame_worst(joints), "frame_mean": frame_means(joints), "joints": joints.ravel()}
        if self.visible is not None:
            measured |= {
                "worst_visible_joint": frame_worst(joints, self.visible),
                "visible_frame_mean": frame_means(joints, self.visible),
                "visible_joints": joints[self.visible],
                "occluded_joints": joints[~self.visible],
            }
        return {name: success_curve(values) for name, values in measured.items()}

    def calibration(self) -> list[dict[str, Any]]:
        """Share of frames at or above each confidence, and of these the share with every visible joint in 20 mm."""
        if not np.isfinite(self.confidence).any():
            return []
        worst = frame_worst(self.errors_mm, self.visible)
        table = []
        for level in CONFIDENCE_LEVELS:
            kept = self.confidence >= level
            share = share_within(worst[kept], TRUSTED_MM)
            table.append({"min_confidence": level, "kept": float(kept.mean()), "visible_within_20_mm": share})
        return table

    def to_dict(self) -> dict[str, Any]:
        """Everything but the single frames, as JSON values, format "handopt.evaluation/1"."""
        return {
            "format": FORMAT,
            "joint_set": self.joint_set.name,
            "all": self.scores(),
            "groups": {name: self.scores(rows) for name, rows in self.groups.items()},
            "joints": self.per_joint(),
            "calibration": self.calibration(),
            "motion": self.motion,
            "missing_names": list(self.missing),
            "unused_predictions": list(self.unused),
            "notes": list(self.notes),
        }


def joint_errors(predicted_mm: ArrayLike, truth_mm: ArrayLike) -> Floats:
    """Distances (N, J) in mm between joints (N, J, 3) mm; all NaN in a frame that is not finite. Raises ShapeError."""
    predicted, truth = np.asarray(predicted_mm, np.float64), np.asarray(truth_mm, np.float64)
    if predicted.shape != truth.shape or truth.ndim != 3 or truth.shape[-1] != 3:
        raise ShapeError(
            f"predicted_mm, truth_mm: expected equal shapes (N, J, 3), got {predicted.shape}, {truth.shape}"
        )
    errors: Floats = np.linalg.norm(predicted - truth, axis=-1)
    errors[~np.isfinite(errors).all(axis=1)] = np.nan
    return errors


def aligned_errors(predicted_mm: ArrayLike, truth_mm: ArrayLike) -> Floats:
    """Distances (N, J) mm after each prediction (N, J, 3) is moved, turned and scaled onto its label (N, J, 3).

    The similarity is the one of least squares (Umeyama, *Least-squares estimation of transformation parameters between
    two point patterns*, TPAMI 1991); it never mirrors. All NaN in a frame that is not finite. Raises ShapeError.
    """
    errors = joint_errors(predicted_mm, truth_mm)
    known = np.isfinite(errors).all(axis=1)
    predicted, truth = (np.asarray(each, np.float64)[known] for each in (predicted_mm, truth_mm))
    middle = truth.mean(axis=1, keepdims=True)
    moved, goal = predicted - predicted.mean(axis=1, keepdims=True), truth - middle
    left, values, right = np.linalg.svd(np.swapaxes(goal, 1, 2) @ moved)
    proper = np.ones((len(moved), 3))
    proper[:, 2] = np.sign(np.linalg.det(left @ right))
    rotation = (left * proper[:, None, :]) @ right
    size = (moved**2).sum(axis=(1, 2))
    total = (values * proper).sum(axis=1)
    scale = np.divide(total, size, out=np.zeros_like(size), where=size > 0)
    errors[known] = np.linalg.norm(scale[:, None, None] * (moved @ np.swapaxes(rotation, 1, 2)) - goal, axis=-1)
    return errors


def area_under_curve(errors_mm: Floats) -> float | None:
    """Mean share of joints within D for D from 20 to 50 mm, from errors (N, J) mm: 1 where all are within 20 mm.

    As Zimmermann and Brox (*Learning to Estimate 3D Hand Pose from Single RGB Images*, ICCV 2017) measure it; exact, as
    the curve is integrated between its steps. Frames without a prediction count as failed. None without frames.
    """
    low, high = AUC_RANGE_MM
    if not errors_mm.size:
        return None
    missed = np.clip(np.where(np.isnan(errors_mm), np.inf, errors_mm), low, high)
    return float(((high - missed) / (high - low)).mean())


def frame_means(errors_mm: Floats, visible: BoolImage | None = None) -> Floats:
    """Mean error (N,) of the (visible) joints of each frame, from errors (N, J) mm.

    Infinite in a frame without a prediction; NaN, for it is not counted, in one without a visible joint.
    """
    seen = np.ones(errors_mm.shape, bool) if visible is None else visible
    errors = np.where(np.isnan(errors_mm), np.inf, errors_mm)
    count = seen.sum(axis=1)
    total = np.where(seen, errors, 0.0).sum(axis=1)
    means: Floats = np.divide(total, count, out=np.full(len(errors), np.nan), where=count > 0)
    return means


def frame_worst(errors_mm: Floats, visible: BoolImage | None = None) -> Floats:
    """Largest error (N,) of the (visible) joints of each frame, from errors (N, J) mm; inf, NaN as in frame_means."""
    seen = np.ones(errors_mm.shape, bool) if visible is None else visible
    errors = np.where(np.isnan(errors_mm), np.inf, errors_mm)
    worst = np.where(seen, errors, -1.0).max(axis=1, initial=-1.0)
    return np.where(seen.any(axis=1), worst, np.nan)


def share_within(values_mm: Floats, limit_mm: float) -> float | None:
    """Share of values (M,) of at most limit_mm; infinite ones fail, NaN is not counted. None if nothing is counted."""
    counted = values_mm[~np.isnan(values_mm)]
    return float((counted <= limit_mm).mean()) if len(counted) else None


def success_curve(values_mm: Floats) -> Floats:
    """Shares (76,) of values (M,) within each D, as share_within counts them; NaN where nothing is counted."""
    shares = [share_within(values_mm, limit) for limit in THRESHOLDS_MM]
    return np.array([np.nan if share is None else share for share in shares])


def _mean(values_mm: Floats) -> float | None:
    finite = values_mm[np.isfinite(values_mm)]
    return float(finite.mean()) if finite.size else None


def _median(values_mm: Floats) -> float | None:
    finite = values_mm[np.isfinite(values_mm)]
    return float(np.median(finite)) if finite.size else None
