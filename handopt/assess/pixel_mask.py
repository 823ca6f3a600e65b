"""What each pixel around a fitted hand is, as the networks of pixel labels see it there."""

from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import distance_transform_edt

from handopt.input.camera import Camera
from handopt.input.pixel_labels import HAND
from handopt.observation.pixel_reading import probability_in_image, read_windows, turned_as_well
from handopt.observation.second_look import look_again
from handopt.rig import default_rig
from handopt.rig.joints import KEYPOINT_NAMES, palm_of
from handopt.typing import BoolImage, FloatImage, Mask, Reals

if TYPE_CHECKING:
    from handopt.result import FitResult

BESIDE_MM, OFF_MM = 8.0, 20.0
"""How far beside the fitted hand's silhouette a pixel may be the hand's, and how far before or behind its skin, mm. By
hand: of 60 rendered hands that hold a thing, 83 % of its pixels are told from the hand's, 77 % without this."""
_WRIST, _MIDDLE = KEYPOINT_NAMES.index("wrist"), KEYPOINT_NAMES.index("middle_mcp")


def pixel_mask(result: "FitResult") -> Mask:
    """What each pixel of a result's image is: (H, W) uint8 with the values of handopt.input.pixel_labels.

    0 background, 1 hand, 2 forearm, 3 other hand, 4 held object, 5 body, as `handopt synth --masks` writes it of
    scenes. More than about 180 mm to the side of the palm all is background, and so is what was left out. It is of the
    image as it was fitted, mirrored back and without its lens, and as right as the fit is; a mask that was given does
    not count.
    """
    depth, skin = result.observation.depth_mm, np.asarray(result.fitted_depth_mm, np.float32)
    joints = np.asarray(result.joints_mm, np.float64)
    middle = 0.5 * (joints[_WRIST] + joints[_MIDDLE])
    first = turned_as_well(read_windows(depth, result.camera, middle[None], rounds=1)[0])
    again = look_again(depth, result.camera, first, skin, palm_of(joints), _size(joints))
    box, probability = probability_in_image(again, depth, result.camera)
    probability[..., HAND][~_is_near(depth, skin, result.camera)[box]] = 0
    mask = np.zeros(depth.shape, np.uint8)
    mask[box] = probability.argmax(axis=-1)
    mask[depth <= 0] = 0
    return mask


def _is_near(depth_mm: FloatImage, skin_mm: FloatImage, camera: Camera) -> BoolImage:
    """Which pixels (H, W) lie at the fitted hand, whose z-buffer is given, 0 = none."""
    if not skin_mm.any():
        return np.zeros(skin_mm.shape, np.bool_)
    beside_px, (rows, columns) = distance_transform_edt(skin_mm == 0, return_indices=True)
    nearest_mm = skin_mm[rows, columns]
    beside_mm = beside_px * nearest_mm / camera.fx
    return np.asarray((beside_mm < BESIDE_MM) & (np.abs(depth_mm - nearest_mm) < OFF_MM))


def _size(joints_mm: Reals) -> float:
    """The size of a hand with joints (21, 3), relative to the default rig's: of its palm."""
    usual = default_rig("right").keypoints_mm
    return float(
        np.linalg.norm(joints_mm[_MIDDLE] - joints_mm[_WRIST]) / np.linalg.norm(usual[_MIDDLE] - usual[_WRIST])
    )
