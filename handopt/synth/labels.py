"""What a synthetic image shows, as JSON values."""

from importlib.metadata import version
from typing import Any

import numpy as np

from handopt.rig import KEYPOINT_NAMES, PROPORTION_NAMES, Rig
from handopt.rig.anatomy import MIRROR
from handopt.rig.joints import DIGITS
from handopt.synth.generate import UNIT_MM, Sample, Settings
from handopt.synth.poses import view_angles

FORMAT = "handopt.synth/1"
FRAME = "x right, y down, z forward; mm"
CONVENTION = (
    "local = Ry(s abd) Rx(-flex) Rz(s twist) in the joint's axes, s = 1 for a right and -1 for a left hand, radians, "
    "rows = 15 joints (thumb, index, middle, ring, pinky x 3); R: wrist's axes -> camera; rotation: rig -> camera"
)
_FLIP = np.diag(MIRROR)


def labels(sample: Sample, settings: Settings) -> dict[str, Any]:
    """Everything that is known about an image; poses belong to the rig of the image's own side."""
    hand, scene = sample.hand, sample.scene
    side, yaw, pitch, roll = view_angles(hand.rotation, settings.rig)
    return {
        "level": sample.level,
        "index": sample.index,
        "hand": sample.side,
        "camera": scene.camera.to_dict(),
        "unit_mm": UNIT_MM,
        "frame": FRAME,
        "keypoints": list(KEYPOINT_NAMES),
        "joints_mm": scene.joints.round(3).tolist(),
        "visible": scene.visible(hand.scale).tolist(),
        "pose": _pose(sample, settings.rig),
        "shape": _shape(sample),
        "rotation": {"side": side, "yaw": yaw, "pitch": pitch, "roll": roll if sample.side == "right" else -roll},
        "pose_name": hand.gesture,
        "forearm": sample.forearm,
        "background": sample.background,
        "distance_mm": float(scene.joints[:, 2].mean()),
        "tries": sample.tries,
        "seed": settings.seed,
        "noise": settings.noise,
        "generator": f"handopt synth {version('handopt')}",
    }


def _pose(sample: Sample, rig: Rig) -> dict[str, Any]:
    rotation, wrist = sample.hand.rotation, rig.bind[0, :, :3]
    if sample.side == "left":
        rotation, wrist = _FLIP @ rotation @ _FLIP, _FLIP @ wrist @ _FLIP
    return {
        "convention": CONVENTION,
        "angles_twist_abd_flex": sample.hand.angles_rad.round(6).tolist(),
        "R": (rotation @ wrist).round(8).tolist(),
        "rotation": rotation.round(8).tolist(),
        "t_mm": sample.scene.translation.round(4).tolist(),
    }


def _shape(sample: Sample) -> dict[str, Any]:
    subject = sample.hand.subject
    sizes = 1.0 + subject.proportions
    fingers = 2 * len(DIGITS)
    return {
        "scale": subject.scale,
        "len": sizes[0:fingers:2].tolist(),
        "thick": sizes[1:fingers:2].tolist(),
        "palm": sizes[fingers:].tolist(),
        "proportions": dict(zip(PROPORTION_NAMES, subject.proportions.tolist(), strict=True)),
        "surface_rms_mm": subject.surface_rms_mm,
        "surface_seed": subject.surface_seed if subject.surface_rms_mm > 0 else None,
    }
