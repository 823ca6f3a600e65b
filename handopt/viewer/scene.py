"""What the viewer shows of a fit or a track, and its form in the page: facts as JSON, arrays as one compressed text."""

import base64
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from handopt.input.camera import Camera
from handopt.observation.crop import Crop
from handopt.ops.rotation_features import rotation_features
from handopt.rig.pose import posed_keypoints
from handopt.rig.skinned import Skinned
from handopt.typing import AnyArray, Bools, Floats, Ints, Reals

NOTHING, TRACKED, BRIDGED, DOUBTFUL = range(4)
"""States of a frame, as view.js knows them."""
FINE_FRAMES, COARSE_FRAMES = 100, 2000
"""Up to so many frames the observed points keep every pixel, and every second pixel in each direction. By size."""
_ALIGNED_BYTES = 4


@dataclass(frozen=True)
class Scene:
    """T poses of a hand and what the camera saw; lengths in mm in the camera frame.

    kind: "fit", whose frames are iterations, or "track". hand: the skin. rotation (T, 3, 3), translation_mm (T, 3),
    angles_rad (T, 15, 3), scale (T,): poses. state: (T,) one of NOTHING, TRACKED, BRIDGED, DOUBTFUL. strip: (T,) what
    the timeline shows by colour, 0 (bad) to 1 (good). captions: (T,) texts.
    depth_mm: (T or 1, S, S) of cubes of half edge half_mm about centers_mm (T or 1, 3).
    joint_visible, joint_uncertainty_mm: (T or 1, 21). alternatives: names and joints (21, 3) of other poses.
    times_s: (T,) of the frames of a track. fps: frames a second, where there are no times.
    """

    kind: str
    title: str
    subtitle: str
    camera: Camera
    hand: Skinned
    rotation: Reals
    translation_mm: Reals
    angles_rad: Reals
    scale: Reals
    state: Ints
    strip: Reals
    captions: tuple[str, ...]
    depth_mm: AnyArray
    centers_mm: Reals
    half_mm: float
    joint_visible: Bools
    joint_uncertainty_mm: Reals
    alternatives: tuple[tuple[str, Floats], ...] = ()
    times_s: Floats | None = None
    fps: float = 30.0

    def packed(self) -> dict[str, Any]:
        """The scene as JSON values for the page."""
        given = (self.rotation, self.translation_mm, self.angles_rad, self.scale)
        rotation, translation, angles, scale = (np.asarray(each, np.float64) for each in given)
        transforms = self.hand.transforms(rotation, translation, angles, scale)
        joints = posed_keypoints(self.hand, transforms, angles)
        depth, windows = self._depth()
        others = [np.asarray(other) for _, other in self.alternatives]
        arrays = {
            "rest": self.hand.rest_mm.astype("<f4"),
            "faces": self.hand.faces.astype("<u4"),
            "skin_indices": self.hand.skin_indices.astype("<u4"),
            "skin_weights": self.hand.skin_weights.astype("<f4"),
            "bones": self.hand.bones.astype("u1"),
            **self._correctives(angles),
            "transforms": transforms.astype("<f4"),
            "joints": joints.astype("<f4"),
            "known": (self.state != NOTHING).astype("u1"),
            "state": self.state.astype("u1"),
            "strip": self.strip.astype("<f4"),
            "visible": self.joint_visible.astype("u1"),
            "uncertainty": np.nan_to_num(self.joint_uncertainty_mm).astype("<f4"),
            "alternatives": np.array(others, "<f4").reshape(-1, 21, 3),
            "depth": depth,
            "windows": windows,
        }
        facts = {
            "title": self.title,
            "subtitle": self.subtitle,
            "camera": self.camera.to_dict(),
            "captions": list(self.captions),
            "alternatives": [name for name, _ in self.alternatives],
            "times": None if self.times_s is None else [round(float(each), 4) for each in self.times_s],
            "fps": self.fps,
        }
        listed, data = _joined(arrays)
        return {"kind": self.kind, "facts": facts, "arrays": listed, "data": data}

    def _correctives(self, angles_rad: Floats) -> dict[str, AnyArray]:
        """How rest vertices move with the features of a pose (F, V, 3) mm, and the features (T, F); or nothing."""
        if (moved := self.hand.pose_correctives) is None:
            return {}
        features = rotation_features(angles_rad, int(self.hand.side_sign))
        return {"correctives": moved.vertices.astype("<f4"), "features": features.astype("<f4")}

    def _depth(self) -> tuple[AnyArray, AnyArray]:
        """Observed depth (N, S, S) mm, and of each window (ax, bx, ay, by, near, far): column ax X/Z + bx, near mm."""
        whole = np.clip(np.asarray(self.depth_mm), 0, 65535).astype("<u2")
        count = len(whole)
        step = 1 if count <= FINE_FRAMES else 2 if count <= COARSE_FRAMES else 4
        depth = np.ascontiguousarray(whole[:, ::step, ::step])
        rows = []
        for x, y, z in np.asarray(self.centers_mm, np.float64):
            crop = Crop((x, y, z), self.half_mm, whole.shape[1], self.camera)
            rows.append([*(crop.coefficients[:4] / step), z - self.half_mm, z + self.half_mm])
        return depth, np.array(rows, "<f4")


def glb_packed(data: bytes, title: str, subtitle: str) -> dict[str, Any]:
    """The bytes of a .glb file as JSON values for the page."""
    return {"kind": "glb", "facts": {"title": title, "subtitle": subtitle}, "data": _text(data)}


def _joined(arrays: Mapping[str, AnyArray]) -> tuple[list[dict[str, Any]], str]:
    """Where each array lies in the data, and the data, compressed, as text."""
    listed: list[dict[str, Any]] = []
    parts: list[bytes] = []
    offset = 0
    for name, values in arrays.items():
        data = np.ascontiguousarray(values).tobytes()
        data += bytes(-len(data) % _ALIGNED_BYTES)
        kind = f"{values.dtype.kind}{values.dtype.itemsize}"
        listed.append({"name": name, "type": kind, "shape": list(values.shape), "offset": offset})
        parts.append(data)
        offset += len(data)
    return listed, _text(b"".join(parts))


def _text(data: bytes) -> str:
    return base64.b64encode(zlib.compress(data, 6)).decode("ascii")


MOST_ALTERNATIVES: Final = 8


def alternatives_of(entries: Sequence[tuple[str, float, Any]]) -> tuple[tuple[str, Floats], ...]:
    """Names and joints of the best alternatives. entries: hand, unexplained fraction and joints (21, 3) of each."""
    return tuple(
        (f"alternative {number}: {hand} hand, {share:.0%} unexplained", np.asarray(joints, np.float64))
        for number, (hand, share, joints) in enumerate(entries[:MOST_ALTERNATIVES], 1)
    )


def progress_of(total: Floats) -> Floats:
    """How far each iteration (T,) has come from the highest to the lowest cost, 0 to 1, on a logarithmic scale."""
    logs = np.log(np.maximum(np.nan_to_num(np.asarray(total, np.float64), nan=1e30, posinf=1e30), 1e-12))
    span = float(np.ptp(logs))
    return np.asarray((logs.max() - logs) / span if span else np.ones(len(logs)))
