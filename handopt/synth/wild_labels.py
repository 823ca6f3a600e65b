"""What an image of level wild shows, as JSON values."""

from typing import Any

import numpy as np

from handopt.input.pixel_labels import PIXEL_LABELS
from handopt.rig.joints import DIGITS
from handopt.synth.labels import labels
from handopt.synth.wild import WildSample


def wild_labels(wild: WildSample) -> dict[str, Any]:
    """Everything that is known about an image, by the keys of handopt/storage/README.md.

    Joints are visible where neither an object nor anything else hides them. The values of a mask stand in mask_labels.
    """
    known = labels(wild.sample, wild.settings)
    known["joint_visible"] = wild.visible.tolist()
    touching = [DIGITS[digit] for digit in np.flatnonzero(wild.touching)]
    held = None if wild.held is None else {"kind": wild.held, "grip": wild.grip, "touching": touching}
    other = None
    if wild.other is not None:
        other = {
            "hand": wild.other.side,
            "joints_mm": wild.other.joints.round(3).tolist(),
            "joint_visible": wild.other.visible.tolist(),
            "touching": wild.other.touching,
        }
    return {
        **known,
        "filter_passes": wild.filter_passes,
        "viewpoint": wild.view,
        "crop": wild.crop,
        "arm": None if wild.arm is None else wild.arm.dress,
        "object": held,
        "other_hand": other,
        "mask_labels": PIXEL_LABELS,
    }
