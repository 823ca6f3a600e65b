"""A track: a hand's pose in every frame of a sequence, with one shape."""

from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np

from handopt.assess.config import ASSESS
from handopt.input.camera import Camera
from handopt.rig import KEYPOINT_NAMES, Rig, with_shape
from handopt.rig.joints import PALM_KEYPOINTS
from handopt.rig.pose import joint_transforms, posed_keypoints, posed_vertices
from handopt.tracking.confidence import ranges
from handopt.tracking.config import SmoothingConfig
from handopt.tracking.depth_crops import StoredCrops
from handopt.tracking.frame_line import frame_line
from handopt.tracking.pose_estimate import Placed
from handopt.tracking.smoothing import SMOOTHING, smooth_rotations, two_sided
from handopt.typing import AnyArray, Bools, Floats, Indices

FORMAT: Final = "handopt.track/1"
FAMILY: Final = "handopt.track/"
"""What the formats of all versions begin with."""
INFO_NAME: Final = "track.json"
ARRAYS_NAME: Final = "track.npz"
LINES_NAME: Final = "track.jsonl"

NOT_SMOOTHED = "The hand moves too far between frames to be smoothed; each pose is that of its own frame."


@dataclass(frozen=True)
class Windows:
    """What the camera saw around the hand, for pictures: depth in mm, (T, S, S) uint16, in cubes about (T, 3).

    Of long tracks it is in a temporary file, from which frames and slices are read as they are asked for.
    """

    depth_mm: AnyArray | StoredCrops
    centers_mm: Floats
    half_mm: float


@dataclass(frozen=True)
class Track:
    """A followed hand; lengths in mm in the camera frame, T frames; poses belong to the rig of the hand's own side.

    rig: as it is, before the proportions. names: (T,) of frames. time_s: (T,). tracked: (T,) whether the hand was
    found; bridged: (T,) whether its pose was filled in between frames that were. refitted: found from scratch.
    errors: by frame, why it could not be read. unexplained_fraction: (T,), see handopt.objective.unexplained;
    confidence: (T,) probability that every visible joint lies within 20 mm; joint_uncertainty_mm: (T, 21) radius that
    holds a joint in two of three cases; all NaN where not tracked.
    rotation: (T, 3, 3) rig -> camera; translation_mm: (T, 3) of the wrist; angles_rad: (T, 15, 3);
    joint_visible: (T, 21).
    scale, proportions (13,): of the hand, the same in all frames. information: (T, 51) of rotation, translation and
    angles, for weights. smoothed: whether the two-sided pass was made. notes: sentences.
    """

    hand: str
    rig: Rig
    camera: Camera
    fps: float
    source: str
    names: tuple[str, ...]
    time_s: Floats
    tracked: Bools
    bridged: Bools
    refitted: Bools
    errors: dict[int, str]
    unexplained_fraction: Floats
    confidence: Floats
    joint_uncertainty_mm: Floats
    rotation: Floats
    translation_mm: Floats
    angles_rad: Floats
    joint_visible: Bools
    scale: float
    proportions: Floats
    information: Floats
    windows: Windows
    smoothed: bool = False
    notes: tuple[str, ...] = ()
    seconds: float = 0.0
    versions: dict[str, str] = field(default_factory=dict)
    proposals: dict[str, Any] | None = None

    def __len__(self) -> int:
        return len(self.time_s)

    @property
    def known(self) -> Bools:
        """(T,) whether there is a pose: tracked or bridged."""
        return np.asarray(self.tracked | self.bridged)

    @property
    def doubtful(self) -> Bools:
        """(T,) whether a frame that was tracked has a low confidence."""
        return np.asarray(self.tracked & ~(self.confidence >= ASSESS.doubtful))

    @property
    def shaped(self) -> Rig:
        """The rig with the hand's proportions."""
        return with_shape(self.rig, self.proportions)

    def transforms(self) -> Floats:
        """Joint transforms (T, J, 3, 4), rest space -> camera space."""
        scale = np.full(len(self), self.scale)
        return joint_transforms(self.shaped, self.rotation, self.translation_mm, self.angles_rad, scale)

    def joints_mm(self) -> Floats:
        """The 21 keypoints (T, 21, 3); NaN where there is no pose."""
        joints = posed_keypoints(self.shaped, self.transforms(), self.angles_rad)
        joints[~self.known] = np.nan
        return joints

    def vertices_mm(self, frame: int) -> Floats:
        """The skin (V, 3) of one frame."""
        one = replace(
            self, time_s=self.time_s[[frame]], rotation=self.rotation[[frame]],
            translation_mm=self.translation_mm[[frame]], angles_rad=self.angles_rad[[frame]],
        )  # fmt: skip
        return np.asarray(posed_vertices(self.shaped, one.transforms(), one.angles_rad)[0])

    def smooth(self, config: SmoothingConfig = SMOOTHING) -> "Track":
        """The track after the two-sided pass, with short gaps bridged."""
        if not self.tracked.any():
            return replace(self, smoothed=True)
        if self._restless() > config.quick_mm:
            return replace(self, notes=(*self.notes, NOT_SMOOTHED))
        weights = _weights(self.information, self.tracked, config)
        slots = _slots(self.time_s, self.fps)
        runs = _runs(self.tracked, slots, max(1, round(config.max_gap_s * self.fps)))
        rotation, translation, angles = self.rotation.copy(), self.translation_mm.copy(), self.angles_rad.copy()
        bridged = np.zeros(len(self), np.bool_)
        for run in runs:
            # Frames that were dropped by the camera have a place, and no weight.
            place = slots[run] - slots[run.start]
            source = np.searchsorted(place, np.arange(place[-1] + 1), side="right") - 1
            there = np.zeros((len(source), 1))
            there[place] = 1.0
            known = weights[run][source] * there
            # A rotation has one weight, of its worst known axis: quaternions have no axes of their own.
            turned = smooth_rotations(rotation[run][source], known[:, :3].min(axis=1), self.fps, config)
            moved = two_sided(translation[run][source], known[:, 3:6], self.fps, config, config.tolerance_mm)
            bent = two_sided(angles[run].reshape(-1, 45)[source], known[:, 6:], self.fps, config, config.tolerance_rad)
            rotation[run], translation[run], angles[run] = turned[place], moved[place], bent[place].reshape(-1, 15, 3)
            bridged[run] = ~self.tracked[run]
        angles = np.clip(angles, self.rig.limits.lower, self.rig.limits.upper)
        return replace(
            self, rotation=rotation, translation_mm=translation, angles_rad=angles, bridged=bridged, smoothed=True
        )

    def _restless(self) -> float:
        """By how much palms are off the middle of the frames before and after, mm: small where frames are dense."""
        places = self.joints_mm()[:, list(PALM_KEYPOINTS)]
        places[~self.tracked] = np.nan
        off = np.linalg.norm(np.diff(places, 2, axis=0), axis=2).mean(axis=1) / 2
        return float(np.median(off[np.isfinite(off)])) if np.isfinite(off).any() else 0.0

    def line(self, frame: int, joints: Floats) -> dict[str, Any]:
        """One frame as JSON values; joints: of all frames, as joints_mm gives them."""
        known, tracked = bool(self.known[frame]), bool(self.tracked[frame])
        placed = Placed(self.rotation[frame], self.translation_mm[frame], self.angles_rad[frame])
        return frame_line(
            frame=frame,
            name=self.names[frame],
            time_s=self.time_s[frame],
            tracked=tracked,
            bridged=self.bridged[frame],
            refitted=self.refitted[frame],
            unexplained_fraction=self.unexplained_fraction[frame],
            confidence=self.confidence[frame],
            error=self.errors.get(frame),
            joints_mm=joints[frame] if known else None,
            joint_uncertainty_mm=self.joint_uncertainty_mm[frame] if tracked else None,
            joint_visible=self.joint_visible[frame] if known else None,
            placed=placed if known else None,
        )

    def header(self) -> dict[str, Any]:
        """What holds for all frames, as JSON values."""
        return {
            "format": FORMAT,
            "source": self.source,
            "hand": self.hand,
            "rig": self.rig.name,
            "frames": len(self),
            "tracked_frames": int(self.tracked.sum()),
            "bridged_frames": int(self.bridged.sum()),
            "refitted_frames": int(self.refitted.sum()),
            "fps": self.fps,
            "smoothed": self.smoothed,
            "camera": self.camera.to_dict(),
            "keypoints": list(KEYPOINT_NAMES),
            "shape": {
                "scale": self.scale,
                **self.rig.shape_values(self.proportions),
            },
            "missing_frames": ranges(~self.tracked),
            "doubtful_frames": ranges(self.doubtful),
            "errors": {str(frame): error for frame, error in self.errors.items()},
            "notes": list(self.notes),
            "total_seconds": round(self.seconds, 3),
            "versions": self.versions,
            **({} if self.proposals is None else {"proposals": self.proposals}),
        }


def _weights(information: Floats, tracked: Bools, config: SmoothingConfig) -> Floats:
    """Weights (T, P) up to 1 from inverse variances: 1 where a parameter is known as well as it mostly is."""
    known = information[tracked]
    usual = np.percentile(known, config.reference_percentile, axis=0)
    weights = np.clip(information / np.where(usual > 0, usual, 1.0), config.min_weight, 1.0)
    weights[:, usual <= 0] = 1.0
    weights[~tracked] = 0.0
    return np.asarray(weights)


def _slots(time_s: Floats, fps: float) -> Indices:
    """The number of each frame (T,) with those that the camera dropped counted, by the time since the one before it."""
    steps = np.maximum(1, np.rint(np.diff(time_s) * fps)).astype(np.int64)
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(steps)])


def _runs(tracked: Bools, slots: Indices, max_gap: int) -> list[slice]:
    """Stretches of frames that begin and end tracked and hold no longer gap. slots: (T,) see _slots."""
    frames = np.flatnonzero(tracked)
    breaks = np.flatnonzero(np.diff(slots[frames]) > max_gap + 1)
    starts = np.concatenate([[frames[0]], frames[breaks + 1]])
    ends = np.concatenate([frames[breaks], [frames[-1]]])
    return [slice(int(start), int(end) + 1) for start, end in zip(starts, ends, strict=True)]
