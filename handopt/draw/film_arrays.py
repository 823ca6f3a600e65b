"""The arrays of track.npz and trace.npz, which anybody may have changed: all that a film needs, checked once."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, Final

import numpy as np

from handopt.draw.stored_windows import StoredWindows, stored_windows
from handopt.files import UnreadableError, parse_json
from handopt.input.arrays import ArraySpec, read_arrays
from handopt.input.camera import Camera
from handopt.typing import AnyArray, Bools

FARTHEST_MM: Final = 1e5
SCALES: Final = (0.01, 100.0)
MOST_FRAMES: Final = 1_000_000
WINDOW_PX: Final = (8, 1024)

_RIG: Final = {
    "rig_rest_mm": ArraySpec("number", ("V", 3), -FARTHEST_MM, FARTHEST_MM),
    "rig_faces": ArraySpec("whole", ("F", 3), 0),
    "rig_skin_indices": ArraySpec("whole", ("V", "K"), 0),
    "rig_skin_weights": ArraySpec("number", ("V", "K"), 0, 1.01),
    "rig_parents": ArraySpec("whole", ("J",), -1),
    "rig_articulated": ArraySpec("whole", (15,), 0),
    "rig_bind": ArraySpec("number", ("J", 3, 4), -FARTHEST_MM, FARTHEST_MM),
    "rig_keypoint_joints": ArraySpec("whole", (21,), 0),
    "rig_bones": ArraySpec("whole", (20, 2), 0, 20),
    "rig_side_sign": ArraySpec("whole", (), -1, 1),
    "rig_keypoint_offsets_mm": ArraySpec("number", (21, 3), -FARTHEST_MM, FARTHEST_MM, optional=True),
    "rig_corrective_vertices": ArraySpec("number", (135, "V", 3), -FARTHEST_MM, FARTHEST_MM, optional=True),
    "rig_corrective_joints": ArraySpec("number", (135, "J", 3), -FARTHEST_MM, FARTHEST_MM, optional=True),
}
_POSES: Final = {
    "rotation": ArraySpec("number", ("T", 3, 3), -1.01, 1.01, gaps=True),
    "translation_mm": ArraySpec("number", ("T", 3), -FARTHEST_MM, FARTHEST_MM, gaps=True),
    "angles_rad": ArraySpec("number", ("T", 15, 3), -10, 10, gaps=True),
    "scale": ArraySpec("number", ("T",), *SCALES),
}
_WINDOWS: Final = {
    "window_depth_mm": ArraySpec("whole", ("W", "S", "S"), 0, 65535),
    "window_center_mm": ArraySpec("number", ("C", 3), -FARTHEST_MM, FARTHEST_MM),
    "window_half_mm": ArraySpec("number", (), 1, FARTHEST_MM),
}
COMMON: Final = {
    "header": ArraySpec("text", ()),
    "camera": ArraySpec("number", (6,)),
    **_POSES,
    **_WINDOWS,
    **_RIG,
}
TRACK: Final = {
    **COMMON,
    "time_s": ArraySpec("number", ("T",), -1e16, 1e16),
    "tracked": ArraySpec("flag", ("T",)),
    "bridged": ArraySpec("flag", ("T",)),
    "unexplained_fraction": ArraySpec("number", ("T",), 0, 1e6, gaps=True),
    "confidence": ArraySpec("number", ("T",), 0, 1, gaps=True),
    "joint_uncertainty_mm": ArraySpec("number", ("T", 21), 0, FARTHEST_MM, gaps=True),
    "joint_visible": ArraySpec("flag", ("T", 21)),
}
_WITHOUT_WINDOWS: Final = {name: spec for name, spec in TRACK.items() if name != "window_depth_mm"}
TRACE: Final = {
    **COMMON,
    "total": ArraySpec("number", ("T",), gaps=True),
    "stage": ArraySpec("text", ("T",), optional=True),
}


@dataclass(frozen=True)
class FilmArrays:
    """What a film is made of.

    values: arrays by name; windows: depth around the hand (W, S, S), mm, which may lie in a file; known: (T,) whether
    there is a pose; hand: which, for people; fps: None if not known.
    """

    values: Mapping[str, AnyArray]
    windows: AnyArray | StoredWindows
    camera: Camera
    known: Bools
    title: str
    hand: str
    fps: float | None


def read_film_arrays(path: Path, *, frame_by_frame: bool = False) -> FilmArrays:
    """Read and check track.npz or trace.npz. frame_by_frame: whether windows may lie in a file and not in memory.

    Raises UnreadableError, CameraError for its camera, and OSError.
    """
    is_trace = path.name.startswith("trace")
    stored = stored_windows(path) if frame_by_frame and not is_trace else None
    specs = TRACE if is_trace else TRACK if stored is None else _WITHOUT_WINDOWS
    values, sizes = read_arrays(path, specs)
    windows: AnyArray | StoredWindows = values["window_depth_mm"] if stored is None else stored
    sizes |= {"W": windows.shape[0], "S": windows.shape[1]}
    if windows.shape[1] != windows.shape[2]:
        raise UnreadableError(f"'window_depth_mm' has the shape {windows.shape}, expected squares")
    header = parse_json(str(values["header"]))
    if not isinstance(header, dict):
        raise UnreadableError("has a header that is no table")
    fx, fy, cx, cy, width, height = values["camera"].tolist()
    camera = Camera(fx, fy, cx, cy, width, height, "film")
    known = np.ones(sizes["T"], np.bool_) if is_trace else np.asarray(values["tracked"] | values["bridged"])
    _check_sizes(sizes)
    _check_rig(values, sizes)
    for name in _POSES:
        if not np.isfinite(values[name][known]).all():
            raise UnreadableError(f"{name!r} has values that are no numbers")
    if (values["translation_mm"][known, 2] < 1).any():
        raise UnreadableError("'translation_mm' lies behind the camera")
    if sizes["T"] and values["window_center_mm"][:, 2].min() < 1:
        raise UnreadableError("'window_center_mm' lies behind the camera")
    title = _title(header.get("image" if is_trace else "source"))
    return FilmArrays(values, windows, camera, known, title, str(header.get("hand")), _fps(header))


def _check_sizes(sizes: Mapping[str, int]) -> None:
    frames, side = sizes["T"], sizes["S"]
    if frames > MOST_FRAMES:
        raise UnreadableError(f"has {frames} frames, expected {MOST_FRAMES} at most")
    if not WINDOW_PX[0] <= side <= WINDOW_PX[1]:
        raise UnreadableError(
            f"'window_depth_mm' has windows of {side} pixels, expected {WINDOW_PX[0]} to {WINDOW_PX[1]}"
        )
    for name, size in (("window_depth_mm", sizes["W"]), ("window_center_mm", sizes["C"])):
        if size not in (1, frames):
            raise UnreadableError(f"{name!r} has {size} windows for {frames} frames")


def _check_rig(values: Mapping[str, AnyArray], sizes: Mapping[str, int]) -> None:
    """Refuse indices without a vertex or joint, a joint that does not come after its parent, and an empty hand."""
    if not (sizes["V"] and sizes["F"]):
        raise UnreadableError("has a hand without a surface")
    if ("rig_corrective_vertices" in values) != ("rig_corrective_joints" in values):
        raise UnreadableError("has pose correctives of the vertices or of the joints only")
    if not 1 <= sizes["K"] <= sizes["J"]:
        raise UnreadableError(f"'rig_skin_weights' has {sizes['K']} weights a vertex for {sizes['J']} joints")
    for name, size in (
        ("rig_faces", sizes["V"]),
        *((name, sizes["J"]) for name in ("rig_skin_indices", "rig_articulated", "rig_keypoint_joints")),
    ):
        if (largest := int(values[name].max())) >= size:
            raise UnreadableError(f"{name!r} has the index {largest}, expected less than {size}")
    parents = values["rig_parents"].astype(np.int64)
    if (parents >= np.arange(len(parents))).any() or (parents[1:] < 0).any():
        raise UnreadableError("'rig_parents' has a joint that does not come after its parent")
    if abs(int(values["rig_side_sign"])) != 1:
        raise UnreadableError("'rig_side_sign' is neither 1 nor -1")


def _title(source: Any) -> str:
    return PurePath(source).name if isinstance(source, str) and source else "depth image"


def _fps(header: Mapping[str, Any]) -> float | None:
    rate = header.get("fps")
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 < rate < math.inf:
        return None
    return float(rate)
