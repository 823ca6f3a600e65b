"""Which pixels of a frame belong to which of several hands, so that each is followed in what the others leave."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from handopt.input.camera import Camera
from handopt.observation.hand_pixels import PIXELS, arm_pixels, grown, hand_pixels
from handopt.ops.rasterise import rasterise
from handopt.tracking.frame_estimate import FrameEstimate
from handopt.tracking.pose_estimate import Placed
from handopt.typing import BoolImage, FloatImage

VELOCITY_KEPT = 0.9
"""Share of a hand's last motion that is expected to go on, as by TrackerConfig.velocity_kept."""


@dataclass(frozen=True)
class Claim:
    """What of a frame belongs to a hand: its own pixels (H, W), how far they are off its skin, mm, and its arm."""

    hand: BoolImage
    off_mm: FloatImage
    arm: BoolImage

    @property
    def pixels(self) -> BoolImage:
        """Hand and arm (H, W)."""
        return np.asarray(self.hand | self.arm)


def claim_of(estimate: FrameEstimate, depth_mm: FloatImage, camera: Camera) -> Claim:
    """The pixels of a hand that was found, or is expected, in a frame. depth_mm: (H, W), NaN where left out."""
    depth = np.nan_to_num(depth_mm)
    vertices = np.ascontiguousarray(estimate.vertices_mm()[None], np.float32)
    if not vertices[..., 2].min() > 0:
        nothing = np.zeros(depth.shape, np.bool_)
        return Claim(nothing, np.full(depth.shape, np.inf, np.float32), nothing)
    view = (camera.fx, camera.fy, camera.cx, camera.cy, camera.width, camera.height)
    fitted = np.asarray(rasterise(vertices, estimate.faces.astype(np.int32), view)[0])
    hand = hand_pixels(depth, fitted, camera)
    near = grown(fitted, camera, PIXELS.grown_mm)
    off = np.where(hand, np.abs(depth - near), np.float32(np.inf))
    return Claim(hand, off, arm_pixels(depth, estimate.joints_mm, hand, camera))


def without_others(depth_mm: FloatImage, own: Claim | None, others: Iterable[Claim]) -> FloatImage:
    """A frame (H, W) with NaN where pixels belong to other hands; one that two claim belongs to the nearer skin."""
    left_out = np.zeros(depth_mm.shape, np.bool_)
    for other in others:
        if own is None:
            left_out |= other.pixels
        else:
            left_out |= (other.hand & (other.off_mm <= own.off_mm)) | (other.arm & ~own.hand)
    if not left_out.any():
        return depth_mm
    return np.where(left_out, np.float32(np.nan), depth_mm)


def expected_from(last: FrameEstimate, before: FrameEstimate | None) -> FrameEstimate:
    """Where a hand is in the next frame if it goes on as it came. before: the frame before the last one, if known."""
    if before is None or last.refitted:
        return last
    places = [Placed(each.rotation, each.translation_mm, each.angles_rad) for each in (last, before)]
    moved = places[0].after(places[1], VELOCITY_KEPT)
    return replace(last, rotation=moved.rotation, translation_mm=moved.translation_mm, angles_rad=moved.angles_rad)
