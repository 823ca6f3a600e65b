"""Which pixels of a depth image belong to a posed hand and its arm: what other hands must leave to it."""

from dataclasses import dataclass

import numpy as np

from handopt.input.camera import Camera
from handopt.observation.surfaces import bounding_box, lifted_points
from handopt.ops.surfaces import extreme_filter
from handopt.rig.joints import KNUCKLES
from handopt.typing import BoolImage, FloatImage, Floats, Reals


@dataclass(frozen=True)
class PixelConfig:
    """How far a posed hand and its arm reach. By hand, on images of `handopt synth --level wild`."""

    grown_mm: float = 10.0
    """How far beyond its silhouette pixels belong to a hand, mm."""
    behind_mm: float = 40.0
    """How far behind its skin they do, mm: a hand is not thicker."""
    before_mm: float = 25.0
    """How far before its skin they do, mm: what is nearer hides the hand, and is something else."""
    arm_mm: float = 450.0
    """How long an arm is that is left out, mm: to beyond the elbow."""
    arm_radius_mm: tuple[float, float] = (50.0, 0.1)
    """Its radius at the wrist, mm, and what is added to it for each mm along it; sleeves and muscles."""
    axis_mm: tuple[float, float] = (25.0, 140.0)
    """Distances from the wrist between which its direction is taken, mm."""
    bend: float = 0.5
    """Least cosine between the arm and the hand's own direction: wrists bend by up to 60 degrees here."""
    min_axis_px: int = 20
    """Pixels that say a direction; with fewer, the arm goes on as the hand does."""


PIXELS = PixelConfig()


def hand_pixels(depth_mm: FloatImage, fitted_mm: FloatImage, camera: Camera, config: PixelConfig = PIXELS) -> BoolImage:
    """The pixels (H, W) of a posed hand: in its silhouette, or a little beyond it, and at about its depth.

    depth_mm: (H, W) of the image; fitted_mm: (H, W) z-buffer of the posed hand; 0 = none in both
    """
    near = grown(fitted_mm, camera, config.grown_mm)
    off = depth_mm - near
    return np.asarray((near > 0) & (off < config.behind_mm) & (off > -config.before_mm))


def arm_pixels(
    depth_mm: FloatImage, joints_mm: Reals, hand: BoolImage, camera: Camera, config: PixelConfig = PIXELS
) -> BoolImage:
    """The pixels (H, W) of the arm of a hand with joints (21, 3) mm; hand: its own pixels (H, W)."""
    joints = np.asarray(joints_mm, np.float32)
    wrist = joints[0]
    others = (depth_mm > 0) & ~hand
    offsets = lifted_points(camera, depth_mm, others) - wrist
    away = np.sqrt(np.einsum("ij,ij->i", offsets, offsets))
    to_arm = wrist - joints[list(KNUCKLES)].mean(axis=0)
    to_arm /= np.linalg.norm(to_arm)
    near = (away > config.axis_mm[0]) & (away < config.axis_mm[1]) & (offsets @ to_arm > config.bend * away)
    axis = to_arm
    if np.count_nonzero(near) >= config.min_axis_px:
        axis = _direction(offsets[near], away[near])
    along = offsets @ axis
    across = np.sqrt(np.maximum(away**2 - along**2, 0.0))
    radius = config.arm_radius_mm[0] + config.arm_radius_mm[1] * np.maximum(along, 0.0)
    arm = np.zeros(depth_mm.shape, np.bool_)
    arm[others] = (along > 0.0) & (along < config.arm_mm) & (across < radius)
    return arm


def grown(fitted_mm: FloatImage, camera: Camera, reach_mm: float) -> FloatImage:
    """The z-buffer (H, W) of a hand, 0 = none, with the nearest depth within a reach in mm around it."""
    seen = fitted_mm > 0
    if not seen.any():
        return np.zeros_like(fitted_mm)
    focal = float(np.sqrt(camera.fx * camera.fy))
    reach_px = max(1, round(reach_mm * focal / float(np.median(fitted_mm[seen]))))
    box = bounding_box(seen, reach_px)
    found = np.zeros_like(fitted_mm)
    near = extreme_filter(np.where(seen[box], fitted_mm[box], np.float32(np.inf)), 2 * reach_px + 1, largest=False)
    found[box] = np.where(np.isfinite(near), near, np.float32(0))
    return found


def _direction(offsets: FloatImage, away: FloatImage) -> Floats:
    axis = (offsets / away[:, None]).mean(axis=0)
    return np.asarray(axis / np.linalg.norm(axis))
