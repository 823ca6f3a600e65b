"""A hand that pictures and animations can pose without its rig's file: plain arrays that fit into an .npz file."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handopt.rig import Rig
from handopt.rig.pose import joint_transforms, posed_keypoints, posed_vertices
from handopt.rig.pose_correctives import PoseCorrectives
from handopt.typing import Floats, Ints


@dataclass(frozen=True)
class Skinned:
    """Arrays of a rig in a hand's proportions; see handopt.rig.Rig. side_sign: () +1 for a right hand, else -1."""

    rest_mm: Floats
    faces: Ints
    skin_indices: Ints
    skin_weights: Floats
    parents: Ints
    articulated: Ints
    bind: Floats
    keypoint_joints: Ints
    bones: Ints
    side_sign: NDArray[np.integer]
    pose_correctives: PoseCorrectives | None = None
    keypoint_offsets_mm: Floats | None = None

    @classmethod
    def of(cls, rig: Rig, rest_mm: Floats | None = None) -> "Skinned":
        """Of a rig that has the proportions. rest_mm: (V, 3) where its surface differs."""
        own = {each.name: getattr(rig, each.name) for each in fields(cls) if each.name != "rest_mm"}
        own["side_sign"] = np.array(rig.side_sign)
        return cls(rest_mm=np.asarray(rig.rest_mm if rest_mm is None else rest_mm, np.float64), **own)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All arrays, by names that begin with "rig_"."""
        arrays = {f"rig_{name}": np.asarray(getattr(self, name)) for name in self._plain()}
        if self.keypoint_offsets_mm is not None:
            arrays["rig_keypoint_offsets_mm"] = self.keypoint_offsets_mm
        if (moved := self.pose_correctives) is not None:
            arrays |= {"rig_corrective_vertices": moved.vertices, "rig_corrective_joints": moved.joints}
        return arrays

    @classmethod
    def _plain(cls) -> list[str]:
        """Names of the fields that are arrays of every hand."""
        return [each.name for each in fields(cls) if each.name not in ("pose_correctives", "keypoint_offsets_mm")]

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Any]) -> "Skinned":
        """What arrays() gave, perhaps in smaller types. Raises KeyError where one is missing."""
        given = {name: np.asarray(arrays[f"rig_{name}"]) for name in cls._plain()}
        full: dict[str, Any] = {
            name: values.astype(np.float64 if values.dtype.kind == "f" else np.int32) for name, values in given.items()
        }
        if "rig_corrective_vertices" in arrays:
            full["pose_correctives"] = PoseCorrectives(
                arrays["rig_corrective_vertices"], arrays["rig_corrective_joints"]
            )
        if "rig_keypoint_offsets_mm" in arrays:
            full["keypoint_offsets_mm"] = np.asarray(arrays["rig_keypoint_offsets_mm"], np.float64)
        return cls(**full)

    def transforms(self, rotation: Floats, translation_mm: Floats, angles_rad: Floats, scale: Floats) -> Floats:
        """Joint transforms (T, J, 3, 4), rest space -> camera space, of T poses."""
        return joint_transforms(self, rotation, translation_mm, angles_rad, scale)

    def posed(
        self, rotation: Floats, translation_mm: Floats, angles_rad: Floats, scale: Floats
    ) -> tuple[Floats, Floats]:
        """Vertices (T, V, 3) and keypoints (T, 21, 3) of T poses, mm."""
        transforms = self.transforms(rotation, translation_mm, angles_rad, scale)
        return posed_vertices(self, transforms, angles_rad), posed_keypoints(self, transforms, angles_rad)
