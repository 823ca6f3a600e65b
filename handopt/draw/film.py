"""What a video shows: depth, poses and figures, frame by frame, from a track or from an optimisation."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from handopt.assess.confidence import confidence_text
from handopt.assess.config import ASSESS
from handopt.draw import colour
from handopt.draw.film_arrays import FilmArrays, read_film_arrays
from handopt.draw.stored_windows import StoredWindows
from handopt.errors import CameraError, OutputError
from handopt.files import UnreadableError, is_file, is_folder
from handopt.input.camera import Camera
from handopt.observation.crop import Crop
from handopt.rig.anatomy import JOINT_RADIUS_MM
from handopt.rig.skinned import Skinned
from handopt.tracking.depth_crops import StoredCrops
from handopt.tracking.track import ARRAYS_NAME, INFO_NAME, LINES_NAME
from handopt.typing import AnyArray, Bools, Bytes, Floats

if TYPE_CHECKING:
    from handopt.ops.rasterise import Camera as RasterCamera
    from handopt.result import FitResult
    from handopt.tracking.track import Track

Made = TypeVar("Made")

TRACE_NAME = "trace.npz"
TRACE_PX, TRACE_HALF_MM = 160, 150.0  # edge of the depth image around a fit, px; half of it, mm. By eye
SOURCE_NAMES = frozenset((ARRAYS_NAME, INFO_NAME, LINES_NAME, TRACE_NAME, "result.json"))
"""Files that stand for the folder in which they lie."""
SAMPLED = 200  # frames on which the view is chosen, about; bounds the time of long videos
SHOWN_PERCENTILE = 98  # of the frames of a track that show the whole hand, %; an optimisation shows it always. By eye


@dataclass(frozen=True)
class Film:
    """T frames to be shown; lengths in mm in the camera frame.

    depth_mm: (T or 1, S, S) of cubes of half edge half_mm about centers_mm (T or 1, 3), 1 where all frames share it.
    rotation (T, 3, 3), translation_mm (T, 3), angles_rad (T, 15, 3), scale (T,): poses. known: (T,) whether there is
    one. captions: (T,) of parts that stand side by side. Of an optimisation total: (T,) of the objective, and stages:
    (T,) names of the stages, of which each has its own objective. fps: of the original, if it has one. Of a track
    visible: (T, 21) whether the camera sees a joint; bridged: (T,) whether a pose was filled in; confidence: (T,).
    """

    title: str
    camera: Camera
    hand: Skinned
    depth_mm: AnyArray | StoredCrops | StoredWindows
    centers_mm: Floats
    half_mm: float
    rotation: Floats
    translation_mm: Floats
    angles_rad: Floats
    scale: Floats
    known: Bools
    captions: tuple[tuple[str, ...], ...]
    total: Floats | None = None
    fps: float | None = None
    visible: Bools | None = None
    bridged: Bools | None = None
    confidence: Floats | None = None
    stages: tuple[str, ...] | None = None

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
        """Vertices (V, 3) and keypoints (21, 3). Raises OutputError where no camera could see them."""
        one = slice(frame, frame + 1)
        vertices, joints = self.hand.posed(
            self.rotation[one], self.translation_mm[one], self.angles_rad[one], self.scale[one]
        )
        if not (np.isfinite(vertices).all() and np.isfinite(joints).all() and joints[..., 2].min() > 0):
            raise OutputError(f"{self.title}: the pose of frame {frame} lies behind the camera: track or fit it again")
        return vertices[0], joints[0]

    def mark(self, frame: int) -> str:
        """What is to be said of a frame of a track: "bridged" or "doubtful", else nothing."""
        if self.bridged is not None and self.bridged[frame]:
            return "bridged"
        if self.confidence is None or not self.known[frame] or self.confidence[frame] >= ASSESS.doubtful:
            return ""
        return "doubtful"

    def view(self, frame: int, side: int) -> "View":
        """The middle of a frame's window, side x side pixels."""
        return View(self.crop(frame), self.depth(frame), side)

    def sampled(self) -> list[int]:
        """Some frames with a pose, evenly spread."""
        shown = np.flatnonzero(self.known)
        return [int(frame) for frame in shown[:: max(1, len(shown) // SAMPLED)]]

    def needed_px(self) -> int:
        """Pixels of the windows' middle that hold the hand in nearly all frames, of the parity of the windows."""
        whole, reach = int(self.depth_mm.shape[1]), []
        for frame in self.sampled():
            crop, joints = self.crop(frame), self.posed(frame)[1]
            flesh = JOINT_RADIUS_MM * crop.coefficients[0] / joints[:, 2:]
            reach.append(float((np.abs(crop.as_camera().project(joints) - 0.5 * (whole - 1)) + flesh).max()))
        if not reach:
            return whole
        share = SHOWN_PERCENTILE if self.total is None else 100
        side = int(np.clip(np.ceil(2 * np.percentile(reach, share)), whole // 2, whole))
        return side + (whole - side) % 2

    @classmethod
    def of_track(cls, track: "Track") -> "Film":
        """A track."""
        captions = _captions(track.time_s, track.tracked, track.bridged, track.unexplained_fraction, track.confidence)
        return cls(
            Path(track.source).name, track.camera, Skinned.of(track.shaped), track.windows.depth_mm,
            track.windows.centers_mm, track.windows.half_mm, track.rotation, track.translation_mm, track.angles_rad,
            np.full(len(track), track.scale), track.known, captions, None, track.fps, track.joint_visible,
            track.bridged, track.confidence,
        )  # fmt: skip

    @classmethod
    def of_fit(cls, result: "FitResult") -> "Film":
        """The iterations of a fit."""
        trace, history = result.trace, result.history
        hand, middle, depth = _fitted_hand(result), *_fitted_window(result)
        total, stages = np.asarray(history["total"], np.float64), _stages(history.get("stage"))
        parts = trace.rotation, trace.translation_mm, trace.angles_rad, trace.scale
        rotation, translation, angles, scale = (np.asarray(each, np.float64) for each in parts)
        return cls(
            PurePath(result.image).name if result.image else "depth image", result.camera, hand, depth[None],
            middle[None], TRACE_HALF_MM, rotation, translation, angles, scale,
            np.ones(len(trace.scale), np.bool_), _iterations(total, stages), total, stages=stages,
        )  # fmt: skip


@dataclass(frozen=True)
class View:
    """The middle of a window, side x side pixels. whole_mm: depth (S, S) of all of it."""

    crop: Crop
    whole_mm: Floats
    side: int

    @property
    def side_mm(self) -> float:
        """What the view measures at the depth of its middle."""
        return 2 * self.crop.half_mm * self.side / self.crop.size

    @property
    def depth_mm(self) -> Floats:
        """Observed depth (side, side)."""
        inside = slice(self._margin, self._margin + self.side)
        return self.whole_mm[inside, inside]

    def cut(self, picture: Bytes) -> Bytes:
        """What the view shows (side, side, 3) of a picture (H, W, 3) of the camera's; black beyond its border."""
        inside = slice(self._margin, self._margin + self.side)
        down, right = (np.rint(each).astype(np.int64)[inside] for each in self.crop.image_coordinates())
        height, width = picture.shape[:2]
        shown = picture[np.clip(down, 0, height - 1)[:, None], np.clip(right, 0, width - 1)]
        shown[(down < 0) | (down >= height)] = 0
        shown[:, (right < 0) | (right >= width)] = 0
        return shown

    @property
    def _margin(self) -> int:
        return (self.crop.size - self.side) // 2

    def rasterised(self, vertices: Floats, faces: Any, size: int | None = None) -> Floats:
        """Depth (size, size) of a mesh, at the pixels of the view if None."""
        from handopt.ops.rasterise import rasterise

        points = np.ascontiguousarray(vertices[None], np.float32)
        return np.asarray(rasterise(points, faces, self.camera(size or self.side))[0], np.float64)

    def camera(self, size: int) -> "RasterCamera":
        """The rasteriser's camera whose image of size x size pixels is the view."""
        ax, bx, ay, by = (float(value) for value in self.crop.coefficients[:4])
        fine = size / self.side
        cx, cy = ((value - self._margin + 0.5) * fine - 0.5 for value in (bx, by))
        return ax * fine, ay * fine, cx, cy, size, size

    def pixels(self, points: Floats, size: int) -> Floats:
        """Places (N, 2) of points (N, 3) in a picture of the view of size x size pixels."""
        return np.asarray((self.crop.as_camera().project(points) - self._margin + 0.5) * (size / self.side))


def write_trace(result: "FitResult", path: Path) -> None:
    """Write what a video of an optimisation needs: the pose at every iteration, the hand, and the depth around it.

    In small types but not compressed, which would take as long as all else that a folder of results has.
    """
    middle, depth = _fitted_window(result)
    camera, trace = result.camera, result.trace
    header = {"format": "handopt.trace/1", "image": result.image, "hand": result.hand}
    arrays = {
        "rotation": trace.rotation,
        "translation_mm": trace.translation_mm,
        "angles_rad": trace.angles_rad,
        "scale": trace.scale,
        "total": result.history["total"],
        "window_depth_mm": depth[None],
        "window_center_mm": middle[None],
        "window_half_mm": np.array(TRACE_HALF_MM),
        **_fitted_hand(result).arrays(),
    }
    stages = _stages(result.history.get("stage"))
    texts = {} if stages is None else {"stage": np.array(stages)}
    np.savez(
        path,
        header=np.array(json.dumps(header)),
        camera=np.array([camera.fx, camera.fy, camera.cx, camera.cy, camera.width, camera.height]),
        **texts,  # type: ignore[arg-type]
        **{name: _small(np.asarray(values)) for name, values in arrays.items()},  # type: ignore[arg-type]
    )


def _fitted_hand(result: "FitResult") -> Skinned:
    from handopt.rig import with_shape

    rig = with_shape(result.rig, result.proportions) if len(result.proportions) else result.rig
    return Skinned.of(rig, np.asarray(result.rest_mm))


def _fitted_window(result: "FitResult") -> tuple[Floats, AnyArray]:
    """The middle (3,) of the window around a fit, and its depth (S, S) in whole mm."""
    middle = 0.5 * (result.joints_mm.min(axis=0) + result.joints_mm.max(axis=0))
    x, y, z = (float(value) for value in middle)
    depth = Crop((x, y, z), TRACE_HALF_MM, TRACE_PX, result.camera).look_up(result.observation.depth_mm)[2]
    return middle, np.clip(depth, 0, 65535).astype(np.uint16)


def _small(values: AnyArray) -> AnyArray:
    """The same numbers in a type that takes less room."""
    if values.dtype.kind == "f":
        return values.astype(np.float32)
    return values.astype(np.result_type(*(np.min_scalar_type(value) for value in (values.min(), values.max()))))


def load_film(folder: Path) -> Film:
    """What a folder of handopt fit or handopt track can show. Raises OutputError."""
    return read_arrays(folder, _film, frame_by_frame=True)


def read_arrays(folder: Path, made: Callable[[FilmArrays], Made], *, frame_by_frame: bool = False) -> Made:
    """What a function makes of the arrays of a folder of handopt fit or handopt track, which are checked.

    frame_by_frame: whether the depth of a long track may lie in a file, so that memory does not grow with its length.

    Raises OutputError where the folder is of neither, where its file is damaged, or where it lacks what is needed.
    """
    folder = Path(folder)
    if not is_folder(folder):
        raise OutputError(f"{folder} is not a folder: give a folder that handopt fit or handopt track wrote")
    name = next((name for name in (ARRAYS_NAME, TRACE_NAME) if is_file(folder / name)), None)
    if name is None:
        raise OutputError(
            f"{folder} holds neither {ARRAYS_NAME} nor {TRACE_NAME}: give a folder that handopt track or handopt fit "
            "wrote"
        )
    again = "track or fit it again"
    try:
        if (folder / name).stat().st_size == 0:
            raise OutputError(f"{folder / name} is empty (0 bytes): {again}")
        return made(read_film_arrays(folder / name, frame_by_frame=frame_by_frame))
    except (UnreadableError, CameraError) as error:
        advice = "check its permission, or " if isinstance(error.__cause__, OSError) else ""
        reason = error.reason if isinstance(error, UnreadableError) else error
        said = error if isinstance(error.__cause__, OSError) else f"is damaged or none of handopt's ({reason})"
        raise OutputError(f"{folder / name} {said}: {advice}{again}") from error
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(f"{folder / name} cannot be read ({error.strerror or error}): {again}") from error
    except (KeyError, TypeError, ValueError, IndexError) as error:  # of other files that a function reads as well
        reason = type(error).__name__
        raise OutputError(f"{folder / name} is damaged or none of handopt's ({reason}): {again}") from error


def _film(arrays: FilmArrays) -> Film:
    values, total = arrays.values, arrays.values.get("total")
    stages = _stages(values.get("stage"))
    if total is None:
        states = (values[name] for name in ("time_s", "tracked", "bridged", "unexplained_fraction", "confidence"))
        captions = _captions(*states)
    else:
        captions = _iterations(total, stages)
    return Film(
        arrays.title, arrays.camera, Skinned.from_arrays(values), arrays.windows,
        values["window_center_mm"], float(values["window_half_mm"]), values["rotation"], values["translation_mm"],
        values["angles_rad"].astype(np.float64), values["scale"], arrays.known, captions, total, arrays.fps,
        values.get("joint_visible"), values.get("bridged"), values.get("confidence"), stages,
    )  # fmt: skip


def _stages(values: AnyArray | None) -> tuple[str, ...] | None:
    return None if values is None else tuple(colour.printable(str(each)) for each in values.tolist())


def _iterations(total: Floats, stages: tuple[str, ...] | None) -> tuple[tuple[str, ...], ...]:
    """What stands below each iteration."""
    captions = []
    for row, value in enumerate(total):
        stage = () if stages is None else (f"stage {stages[row]}",)
        captions.append((f"iteration {row + 1} of {len(total)}", *stage, f"total {value:.5g}"))
    return tuple(captions)


def _captions(
    time_s: Floats, tracked: Bools, bridged: Bools, shares: Floats, confidence: Floats
) -> tuple[tuple[str, ...], ...]:
    lines = []
    for row, seconds in enumerate(time_s):
        state: tuple[str, ...] = ("bridged" if bridged[row] else "no hand",)
        if tracked[row]:
            state = (f"confidence {confidence_text(float(confidence[row]))}", f"unexplained {shares[row]:.0%}")
        lines.append((f"frame {row}", f"{seconds:.2f} s", *state))
    return tuple(lines)
