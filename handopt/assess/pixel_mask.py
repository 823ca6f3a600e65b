"""What each pixel around a fitted hand is, as the networks of pixel labels see it there."""

import numpy as np
from scipy.ndimage import distance_transform_edt

from handopt.input.camera import Camera
from handopt.input.pixel_labels import BACKGROUND, BODY, FOREARM, HAND, OBJECT, OTHER_HAND
from handopt.observation.hand_pixels import arm_pixels
from handopt.observation.observation import Observation
from handopt.observation.pixel_reading import probability_in_image, read_windows, turned_as_well
from handopt.observation.second_look import look_again
from handopt.rig import default_rig
from handopt.rig.joints import KEYPOINT_NAMES, labelled_palm_of, palm_of
from handopt.typing import BoolImage, FloatImage, Floats, Mask, Reals

BESIDE_MM, OFF_MM = 8.0, 20.0
"""How far beside the fitted hand's silhouette a pixel may be the hand's, and how far before or behind its skin, mm. By
hand: of 60 rendered hands that hold a thing, 83 % of its pixels are told from the hand's, 77 % without this."""
LEAST_OBJECT_CM2 = 10.0
"""With less of a held object none is marked. By hand: beside real hands that hold nothing up to 7 cm2 look like one."""
_WRIST, _MIDDLE = KEYPOINT_NAMES.index("wrist"), KEYPOINT_NAMES.index("middle_mcp")


def pixel_mask(observation: Observation, fitted_depth_mm: Reals, joints_mm: Reals) -> Mask:
    """What each pixel of a fitted image is: (H, W) uint8 with values of handopt.input.pixel_labels.

    1 where it is the hand's; 2 its forearm's; 4 of what it holds; 3 of another hand, where the observation says that
    one touches it; 0 all else, and all that is more than about 180 mm to the side of the palm.
    fitted_depth_mm: (H, W) z-buffer of the fitted hand, 0 = none; joints_mm: (21, 3) of it
    """
    depth, camera = observation.depth_mm, observation.camera
    skin, joints = np.asarray(fitted_depth_mm, np.float32), np.asarray(joints_mm, np.float64)
    first = turned_as_well(read_windows(depth, camera, labelled_palm_of(joints)[None], rounds=1)[0])
    again = look_again(depth, camera, first, skin, palm_of(joints), _size(joints))
    box, probability = probability_in_image(again, depth, camera)
    probability[..., HAND][~_is_near(depth, skin, camera)[box]] = 0
    mask = np.full(depth.shape, BACKGROUND, np.uint8)
    mask[box] = probability.argmax(axis=-1)
    mask[(depth <= 0) | (mask == BODY)] = BACKGROUND
    mask[(mask == FOREARM) & ~arm_pixels(depth, joints, mask == HAND, camera)] = BACKGROUND
    if observation.holds != "hand":
        mask[mask == OTHER_HAND] = BACKGROUND
    held = mask == OBJECT
    if np.square(depth[held]).sum() <= 100 * camera.fx * camera.fy * LEAST_OBJECT_CM2:
        mask[held] = BACKGROUND
    return mask


def _is_near(depth_mm: FloatImage, skin_mm: FloatImage, camera: Camera) -> BoolImage:
    """Which pixels (H, W) lie at the fitted hand, whose z-buffer is given, 0 = none."""
    if not skin_mm.any():
        return np.zeros(skin_mm.shape, np.bool_)
    beside_px, (rows, columns) = distance_transform_edt(skin_mm == 0, return_indices=True)
    nearest_mm = skin_mm[rows, columns]
    beside_mm = beside_px * nearest_mm / camera.fx
    return np.asarray((beside_mm < BESIDE_MM) & (np.abs(depth_mm - nearest_mm) < OFF_MM))


def _size(joints_mm: Floats) -> float:
    """The size of a hand with joints (21, 3), relative to the default rig's: of its palm."""
    usual = default_rig("right").keypoints_mm
    return float(
        np.linalg.norm(joints_mm[_MIDDLE] - joints_mm[_WRIST]) / np.linalg.norm(usual[_MIDDLE] - usual[_WRIST])
    )
