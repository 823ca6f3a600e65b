"""How good a fit is, measured on the full image: depth residual, overlap of silhouettes, and a sentence on both."""

from dataclasses import dataclass

import numpy as np

from handopt.assess.config import ASSESS, AssessConfig
from handopt.observation.morphology import without_holes
from handopt.observation.observation import Observation
from handopt.observation.quantiles import median, percentile
from handopt.observation.surfaces import bounding_box
from handopt.ops.rasterise import rasterise
from handopt.typing import Faces, Reals


@dataclass(frozen=True)
class Quality:
    """fitted_depth_mm: (H, W) z-buffered mesh; residual_mm: median, mean and p95 over observed and covered pixels."""

    fitted_depth_mm: Reals
    residual_mm: dict[str, float]
    silhouette_iou: float


def measure(vertices_mm: Reals, observation: Observation, faces: Faces) -> Quality:
    """Measure the fit on the full image: a z-buffered mesh against the hand.

    The arm, ignored pixels and what is not of the hand do not count.
    """
    camera = observation.camera
    intrinsics = (camera.fx, camera.fy, camera.cx, camera.cy, camera.width, camera.height)
    vertices = np.ascontiguousarray(vertices_mm[None])
    fitted = rasterise(vertices, np.ascontiguousarray(faces), intrinsics)[0].astype(np.float32)
    covered = fitted > 0
    box = bounding_box(observation.mask | covered, 0)
    covered, depth, hand = covered[box], observation.depth_mm[box], observation.mask[box].copy()
    seen = hand & covered & (depth > 0)
    residual = np.abs(depth[seen] - fitted[box][seen])
    numbers = (
        {
            "median": median(residual),
            "mean": float(residual.mean()),
            "p95": percentile(residual, 95),
        }
        if residual.size
        else dict.fromkeys(("median", "mean", "p95"), float("inf"))
    )
    inner = bounding_box(hand, 0)
    hand[inner] = without_holes(hand[inner])
    union = (hand | covered) & ~observation.arm[box]
    both = hand & covered
    for unknown in (observation.ignored, observation.other):
        if unknown is not None:
            union, both = union & ~unknown[box], both & ~unknown[box]
    return Quality(fitted, numbers, float(both.sum() / max(1, union.sum())))


def status_of(
    converged: bool,
    observation: Observation,
    quality: Quality,
    confidence: float,
    config: AssessConfig = ASSESS,
    what: str = "fit",
) -> str:
    """Say how good a fit is (good from a confidence of 0.9 on, fair from 0.5, else doubtful), and what was measured.

    what: 'fit' or 'prediction'
    """
    median, mean, overlap = quality.residual_mm["median"], quality.residual_mm["mean"], quality.silhouette_iou
    facts = f"median residual {median:.1f} mm, mean {mean:.1f} mm, silhouettes overlap by {overlap:.0%}"
    if not np.isfinite(median):
        verdict = f"The {what} failed: the model does not cover the observed hand"
    else:
        fair = "fair" if confidence >= config.doubtful else "doubtful"
        verdict = f"The {what} is {'good' if confidence >= config.confident else fair}: {facts}"
    ending = "" if converged else "; it was still improving when the iterations ran out"
    border = "; the hand touches the image border" if observation.touches_border else ""
    holds = {"object": "; the hand holds an object", "hand": "; another hand touches it", None: ""}[observation.holds]
    return verdict + ending + border + holds + "."
