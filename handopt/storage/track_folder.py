"""A folder with a track: arrays, lines of JSON, an animation, and a video."""

import json
import zipfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np

from handopt import atomic_folder
from handopt.errors import HandoptError, OutputError
from handopt.export.animation import write_animation
from handopt.export.bvh import write_bvh
from handopt.files import readable
from handopt.rig.skinned import Skinned
from handopt.storage.hands_folder import OneOrSeveral, hand_names, unknown_in_hands, write_hands
from handopt.tracking.track import ARRAYS_NAME, FAMILY, INFO_NAME, LINES_NAME
from handopt.typing import AnyArray, Bytes

if TYPE_CHECKING:
    from handopt.tracking.depth_crops import StoredCrops
    from handopt.tracking.track import Track

OUR_NAMES = frozenset((INFO_NAME, ARRAYS_NAME, LINES_NAME, "hand.glb", "hand.bvh", "track.mp4"))
TRACK = OneOrSeveral("track", INFO_NAME, FAMILY, unknown_in_hands(OUR_NAMES))


def check_free(folder: Path, *, overwrite: bool = False) -> None:
    """Refuse a place that is taken: without overwrite by anything, with it by all but a track. Raises OutputError."""
    atomic_folder.check_free(folder, TRACK, overwrite=overwrite)


def save_track(
    track: "Track",
    folder: Path,
    *,
    video: bool = True,
    overwrite: bool = False,
    pictures: Iterable[Bytes | None] | None = None,
) -> Path:
    """Write a track into a new folder, complete or not at all, and then its video into it. Raises OutputError.

    track.json holds what is the same for all frames, track.jsonl a line for each, track.npz all arrays, hand.glb the
    animated hand (metres, y up), hand.bvh its skeleton (centimetres), track.mp4 the panels of handopt video. Whatever
    happens to the video, the rest is there. pictures: of the frames in order, (H, W, 3) of the depth camera's view,
    which the video then shows the hand over; None where a frame has none.
    """
    folder = Path(folder)
    check_free(folder, overwrite=overwrite)
    with atomic_folder.written_aside(folder, overwrite) as partial:
        header = json.dumps(track.header(), indent=2, ensure_ascii=False, allow_nan=False)
        (partial / INFO_NAME).write_text(readable(header) + "\n", encoding="utf-8")
        joints = track.joints_mm()
        with (partial / LINES_NAME).open("w", encoding="utf-8") as file:
            for frame in range(len(track)):
                line = json.dumps(track.line(frame, joints), ensure_ascii=False, allow_nan=False)
                file.write(readable(line) + "\n")
        write_arrays(track, partial / ARRAYS_NAME)
        write_animation(track, partial / "hand.glb")
        write_bvh(track, partial / "hand.bvh")
    if video:
        write_video(track, folder, pictures=pictures)
    return folder


def save_tracks(
    tracks: "Sequence[Track]", folder: Path, *, video: bool = True, overwrite: bool = False
) -> dict[str, "Track"]:
    """Write the tracks of several hands into a new folder: right and left, or numbered where sides are equal.

    Each is a folder of a track, see save_track. The folder of them all appears complete or not at all, and hands.json
    in it lists them; their videos come after that. Returns the tracks by their names. Raises OutputError.
    """
    folder = Path(folder)
    check_free(folder, overwrite=overwrite)
    named = dict(zip(hand_names([track.hand for track in tracks]), tracks, strict=True))
    with atomic_folder.written_aside(folder, overwrite) as partial:
        for name, track in named.items():
            save_track(track, partial / name, video=False)
        write_hands(partial, list(named))
    if video:
        for name, track in named.items():
            write_video(track, folder / name)
    return named


def write_video(
    track: "Track",
    folder: Path,
    progress: Callable[[], None] | None = None,
    pictures: Iterable[Bytes | None] | None = None,
) -> None:
    """Write track.mp4 into the folder of a track. progress: called after each frame. pictures: as save_track has them.

    Raises OutputError.
    """
    from handopt.draw import video
    from handopt.draw.film import Film

    try:
        video.write_video(Film.of_track(track), folder / "track.mp4", pictures=pictures, progress=progress)
    except HandoptError as problem:
        raise OutputError(
            f"{folder} is written, but without track.mp4, which handopt video makes: {problem}"
        ) from problem


def write_arrays(track: "Track", path: Path) -> None:
    """Write every array of a track as .npz; what holds for all frames stands as JSON text in "header"."""
    vertices = Skinned.of(track.shaped)
    camera = track.camera
    arrays = {
        "header": np.array(json.dumps(track.header(), allow_nan=False)),
        "camera": np.array([camera.fx, camera.fy, camera.cx, camera.cy, camera.width, camera.height]),
        "time_s": track.time_s,
        "tracked": track.tracked,
        "bridged": track.bridged,
        "refitted": track.refitted,
        "unexplained_fraction": track.unexplained_fraction,
        "confidence": track.confidence,
        "joint_uncertainty_mm": track.joint_uncertainty_mm.astype(np.float32),
        "joints_mm": track.joints_mm().astype(np.float32),
        "joint_visible": track.joint_visible,
        "rotation": track.rotation,
        "translation_mm": track.translation_mm,
        "angles_rad": track.angles_rad.astype(np.float32),
        "scale": np.full(len(track), track.scale),
        "proportions": track.proportions,
        "window_depth_mm": track.windows.depth_mm,
        "window_center_mm": track.windows.centers_mm,
        "window_half_mm": np.array(track.windows.half_mm),
        **vertices.arrays(),
    }
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, values in arrays.items():
            with file.open(f"{name}.npy", "w", force_zip64=True) as member:
                _write_npy(member, values)


def _write_npy(file: IO[bytes], values: "AnyArray | StoredCrops") -> None:
    """Write one array as .npy; of a long track's depth no more than a frame is in memory."""
    if isinstance(values, np.ndarray):
        np.lib.format.write_array(file, values, allow_pickle=False)
        return
    facts = {"descr": values.dtype.str, "fortran_order": False, "shape": values.shape}
    np.lib.format.write_array_header_1_0(file, facts)
    for frame in range(len(values)):
        file.write(np.ascontiguousarray(values[frame]).tobytes())
