"""What a synthetic image shows, as JSON values."""

from importlib.metadata import version
from typing import Any

import numpy as np

from handopt.rig import ANGLE_NAMES, KEYPOINT_NAMES, PROPORTION_NAMES
from handopt.rig.anatomy import MIRROR
from handopt.synth.generate import UNIT_MM, Sample, Settings
from handopt.synth.poses import view_angles

FORMAT = "handopt.synth/1"
COORDINATE_FRAME = "x right, y down, z forward; mm"
_FLIP = np.diag(MIRROR)


def labels(sample: Sample, settings: Settings) -> dict[str, Any]:
    """Everything that is known about an image, by the keys of handopt/storage/README.md.

    Poses belong to the rig of the image's own side.
    """
    hand, scene = sample.hand, sample.scene
    side, yaw, pitch, roll = view_angles(hand.rotation, settings.rig)
    roll = roll if sample.side == "right" else -roll
    return {
        "format": FORMAT,
        "level": sample.level,
        "index": sample.index,
        "gesture": hand.gesture,
        "hand": sample.side,
        "camera": scene.camera.to_dict(),
        "unit_mm": UNIT_MM,
        "coordinate_frame": COORDINATE_FRAME,
        "keypoints": list(KEYPOINT_NAMES),
        "joints_mm": scene.joints.round(3).tolist(),
        "joint_visible": scene.visible(hand.scale).tolist(),
        "pose": _pose(sample),
        "shape": _shape(sample),
        "view": {"side": side, "yaw_rad": yaw, "pitch_rad": pitch, "roll_rad": roll},
        "forearm": sample.forearm,
        "background": sample.background,
        "distance_mm": float(scene.joints[:, 2].mean()),
        "tries": sample.tries,
        "seed": settings.seed,
        "noise": settings.noise,
        "versions": {"handopt": version("handopt")},
    }


def _pose(sample: Sample) -> dict[str, Any]:
    rotation = sample.hand.rotation
    if sample.side == "left":
        rotation = _FLIP @ rotation @ _FLIP
    return {
        "rotation": rotation.round(8).tolist(),
        "translation_mm": sample.scene.translation.round(4).tolist(),
        "angles_rad": dict(zip(ANGLE_NAMES, sample.hand.angles_rad.round(6).tolist(), strict=True)),
    }


def _shape(sample: Sample) -> dict[str, Any]:
    subject = sample.hand.subject
    return {
        "scale": subject.scale,
        "proportions": dict(zip(PROPORTION_NAMES, subject.proportions.tolist(), strict=True)),
        "surface_rms_mm": subject.surface_rms_mm,
        "surface_seed": subject.surface_seed if subject.surface_rms_mm > 0 else None,
    }
