"""What a video shows: depth, poses and figures, frame by frame, from a track or from an optimisation."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from handopt.camera import Camera
from handopt.crop import Crop
from handopt.errors import OutputError
from handopt.output.skinned import Skinned

if TYPE_CHECKING:
    from handopt.result import FitResult
    from handopt.track.track import Track

Floats = NDArray[np.float64]

TRACE_NAME = "trace.npz"
TRACE_PX, TRACE_HALF_MM = 160, 150.0


@dataclass(frozen=True)
class Film:
    """T frames to be shown; lengths in mm in the camera frame.

    depth_mm: (T or 1, S, S) of cubes of half edge half_mm about centers_mm (T or 1, 3), 1 where all frames share it.
    rotation (T, 3, 3), translation_mm (T, 3), angles_rad (T, 15, 3), scale (T,): poses. known: (T,) whether there is
    one. captions: (T,). total: (T,) of the objective, of an optimisation only. fps: of the original, if it has one.
    """

    title: str
    camera: Camera
    hand: Skinned
    depth_mm: NDArray[Any]
    centers_mm: Floats
    half_mm: float
    rotation: Floats
    translation_mm: Floats
    angles_rad: Floats
    scale: Floats
    known: NDArray[np.bool_]
    captions: tuple[str, ...]
    total: Floats | None = None
    fps: float | None = None

    def __len__(self) -> int:
        return len(self.scale)

    def crop(self, frame: int) -> Crop:
        """The window of a frame."""
        x, y, z = (float(value) for value in self.centers_mm[frame % len(self.centers_mm)])
        return Crop((x, y, z), self.half_mm, self.depth_mm.shape[1], self.camera)

    def depth(self, frame: int) -> Floats:
        """Observed depth (S, S)."""
        return np.asarray(self.depth_mm[frame % len(self.depth_mm)], np.float64)

    def posed(self, frame: int) -> tuple[Floats, Floats]:
        """Vertices (V, 3) and keypoints (21, 3)."""
        one = slice(frame, frame + 1)
        vertices, joints = self.hand.posed(
            self.rotation[one], self.translation_mm[one], self.angles_rad[one], self.scale[one]
        )
        return vertices[0], joints[0]

    @classmethod
    def of_track(cls, track: "Track") -> "Film":
        """A track."""
        captions = _captions(track.time_s, track.tracked, track.bridged, track.unexplained)
        return cls(
            Path(track.source).name, track.camera, Skinned.of(track.shaped), track.windows.depth_mm,
            track.windows.centers_mm, track.windows.half_mm, track.rotation, track.translation_mm, track.angles_rad,
            np.full(len(track), track.scale), track.known, captions, None, track.fps,
        )  # fmt: skip


def write_trace(result: "FitResult", path: Path) -> None:
    """Write what a video of an optimisation needs: the pose at every iteration, the hand, and the depth around it.

    In small types but not compressed, which would take as long as all else that a folder of results has.
    """
    from handopt.rig import with_proportions
    from handopt.track.window import looked_up

    rig = with_proportions(result.rig, result.proportions) if len(result.proportions) else result.rig
    middle = 0.5 * (result.joints_mm.min(axis=0) + result.joints_mm.max(axis=0))
    x, y, z = (float(value) for value in middle)
    depth = looked_up(result.observation.depth_mm, Crop((x, y, z), TRACE_HALF_MM, TRACE_PX, result.camera))[2]
    camera, trace = result.camera, result.trace
    header = {"format": "handopt.trace/1", "image": result.image, "hand": result.hand}
    arrays = {
        "rotation": trace.rotation,
        "translation_mm": trace.translation_mm,
        "angles_rad": trace.angles_rad,
        "scale": trace.scale,
        "total": result.history["total"],
        "window_depth_mm": np.clip(depth, 0, 65535).astype(np.uint16)[None],
        "window_center_mm": middle[None],
        "window_half_mm": np.array(TRACE_HALF_MM),
        **Skinned.of(rig, np.asarray(result.rest_mm)).arrays(),
    }
    np.savez(
        path,
        header=np.array(json.dumps(header)),
        camera=np.array([camera.fx, camera.fy, camera.cx, camera.cy, camera.width, camera.height]),
        **{name: _small(np.asarray(values)) for name, values in arrays.items()},  # type: ignore[arg-type]
    )


def _small(values: NDArray[Any]) -> NDArray[Any]:
    """The same numbers in a type that takes less room."""
    if values.dtype.kind == "f":
        return values.astype(np.float32)
    return values.astype(np.result_type(*(np.min_scalar_type(value) for value in (values.min(), values.max()))))


def load_film(folder: Path) -> Film:
    """What a folder of handopt fit or handopt track can show. Raises OutputError."""
    from handopt.output.trackfolder import ARRAYS_NAME

    folder = Path(folder)
    if not folder.is_dir():
        raise OutputError(f"{folder} is not a folder: give a folder that handopt fit or handopt track wrote")
    name = next((name for name in (ARRAYS_NAME, TRACE_NAME) if (folder / name).is_file()), None)
    if name is None:
        raise OutputError(
            f"{folder} holds neither {ARRAYS_NAME} nor {TRACE_NAME}: give a folder that handopt track or handopt fit "
            "wrote"
        )
    try:
        with np.load(folder / name, allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
        return _film(arrays, json.loads(str(arrays["header"])))
    except Exception as error:  # NumPy and zlib raise almost anything on damaged files
        reason = f"{type(error).__name__}: {error}"
        raise OutputError(f"{folder / name} is damaged ({reason}): make it again") from error


def _film(arrays: Mapping[str, Any], header: Mapping[str, Any]) -> Film:
    fx, fy, cx, cy, width, height = arrays["camera"].tolist()
    total = arrays.get("total")
    count = len(arrays["scale"])
    if total is None:
        known = arrays["tracked"] | arrays["bridged"]
        captions = _captions(arrays["time_s"], arrays["tracked"], arrays["bridged"], arrays["unexplained"])
        title = Path(header["source"]).name
    else:
        known = np.ones(count, np.bool_)
        captions = tuple(f"iteration {row + 1} of {count}   ·   total {value:.5g}" for row, value in enumerate(total))
        title = Path(header["image"] or "depth image").name
    return Film(
        title, Camera(fx, fy, cx, cy, int(width), int(height), "film"), Skinned.from_arrays(arrays),
        arrays["window_depth_mm"], arrays["window_center_mm"], float(arrays["window_half_mm"]),
        arrays["rotation"], arrays["translation_mm"], arrays["angles_rad"].astype(np.float64), arrays["scale"],
        known, captions, total, header.get("fps"),
    )  # fmt: skip


def _captions(
    time_s: Floats, tracked: NDArray[np.bool_], bridged: NDArray[np.bool_], unexplained: Floats
) -> tuple[str, ...]:
    lines = []
    for row, seconds in enumerate(time_s):
        state = f"unexplained {unexplained[row]:.0%}" if tracked[row] else "bridged" if bridged[row] else "no hand"
        lines.append(f"frame {row}   ·   {seconds:.2f} s   ·   {state}")
    return tuple(lines)
