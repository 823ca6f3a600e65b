"""Folders of fits and tracks, and .glb files, as scenes for the viewer."""

from pathlib import Path
from typing import Any

import numpy as np

from handopt.assess.confidence import confidence_text
from handopt.assess.config import ASSESS
from handopt.draw.film import read_arrays
from handopt.draw.film_arrays import FilmArrays
from handopt.errors import HandoptError, OutputError
from handopt.files import UnreadableError, is_file, is_folder, read_bytes, read_json
from handopt.rig.skinned import Skinned
from handopt.storage.fit_folder import RESULT
from handopt.tracking.track import ARRAYS_NAME
from handopt.typing import Floats, Ints
from handopt.viewer.scene import BRIDGED, DOUBTFUL, NOTHING, TRACKED, Scene, alternatives_of, glb_packed, progress_of

RESULT_FORMAT = "handopt.result/1"
MAX_GLB_BYTES = 64 * 2**20
DEFAULT_FPS = 30.0
_GLB_HEADER = b"glTF\x02\0\0\0"


def packed_scene(path: Path) -> dict[str, Any]:
    """What the viewer shows of a folder of handopt fit or handopt track, or of a .glb file. Raises OutputError."""
    if path.suffix.lower() == ".glb" and not is_folder(path):
        return read_glb(path)
    try:
        return read_scene(path).packed()
    except (KeyError, TypeError, ValueError, IndexError) as error:
        if isinstance(error, HandoptError):
            raise
        raise OutputError(f"{path} holds a result that is damaged ({type(error).__name__}): fit it again") from error


def read_scene(folder: Path) -> Scene:
    """The scene of a folder of handopt fit or handopt track. Raises OutputError where it is damaged."""
    if is_file(folder / ARRAYS_NAME):
        return read_arrays(folder, _track_scene)
    document = read_result(folder)
    try:
        return read_arrays(folder, lambda arrays: _fit_scene(arrays, document))
    except FloatingPointError as error:
        raise OutputError(f"{folder} holds numbers that make no pose: fit it again") from error


def read_result(folder: Path) -> dict[str, Any]:
    """result.json of a folder. Raises OutputError where it is missing, damaged or of another version."""
    path = folder / RESULT.marker
    try:
        document = read_json(path)
    except UnreadableError as error:
        if "JSON" in str(error):
            raise OutputError(f"{path} is damaged ({error.reason}): fit it again") from error
        raise OutputError(
            f"{path} cannot be read ({error.reason}): give a folder that handopt fit or handopt track wrote"
        ) from error
    written = document.get("format") if isinstance(document, dict) else None
    if written != RESULT_FORMAT:
        raise OutputError(f"{path} has the format {written!r}, and {RESULT_FORMAT!r} is needed: fit it again")
    return dict(document)


def read_glb(path: Path) -> dict[str, Any]:
    """A .glb file for the page, as JSON values. Raises OutputError."""
    try:
        data = read_bytes(path, MAX_GLB_BYTES)
    except UnreadableError as error:
        raise OutputError(f"{path} cannot be read ({error.reason}): check the path, or show a smaller file") from error
    if not data.startswith(_GLB_HEADER) or int.from_bytes(data[8:12], "little") != len(data):
        raise OutputError(f"{path} is damaged, or no binary glTF 2.0 file: export it again")
    return glb_packed(data, path.name, f"{len(data) / 1024:.0f} KiB, shown in its own frame")


def _fit_scene(film: FilmArrays, document: dict[str, Any]) -> Scene:
    count = len(film.values["scale"])
    total = np.asarray(film.values["total"], np.float64)
    entries = [
        (each["hand"], float(each["unexplained_fraction"]), each["joints_mm"]) for each in document["alternatives"]
    ]
    confidence = document["confidence"]
    sure = "unknown" if confidence is None else confidence_text(confidence)
    return Scene(
        kind="fit",
        title=film.title,
        subtitle=f"{document['hand']} hand, confidence {sure}. {document['status']}",
        state=np.full(count, TRACKED),
        strip=progress_of(total),
        captions=tuple(f"iteration {row + 1} of {count}, objective {value:.5g}" for row, value in enumerate(total)),
        joint_visible=np.array(document["joint_visible"], np.bool_)[None],
        joint_uncertainty_mm=np.array(document["joint_uncertainty_mm"], np.float64)[None],
        alternatives=alternatives_of(entries),
        **_common(film),
    )


def _track_scene(film: FilmArrays) -> Scene:
    arrays = film.values
    confidence = np.asarray(arrays["confidence"], np.float64)
    state = track_states(arrays["tracked"], arrays["bridged"], confidence)
    found = int(np.count_nonzero(arrays["tracked"]))
    doubtful = int(np.count_nonzero(state == DOUBTFUL))
    return Scene(
        kind="track",
        title=film.title,
        subtitle=f"{film.hand} hand in {found} of {len(state)} frames, {doubtful} of them doubtful",
        state=state,
        strip=confidence,
        captions=_track_captions(arrays["time_s"], state, confidence),
        joint_visible=arrays["joint_visible"],
        joint_uncertainty_mm=np.asarray(arrays["joint_uncertainty_mm"], np.float64),
        times_s=np.asarray(arrays["time_s"], np.float64),
        fps=film.fps or DEFAULT_FPS,
        **_common(film),
    )


def _common(film: FilmArrays) -> dict[str, Any]:
    """What fits and tracks have alike."""
    arrays = film.values
    return {
        "camera": film.camera,
        "hand": Skinned.from_arrays(arrays),
        "rotation": np.asarray(arrays["rotation"], np.float64),
        "translation_mm": np.asarray(arrays["translation_mm"], np.float64),
        "angles_rad": np.asarray(arrays["angles_rad"], np.float64),
        "scale": np.asarray(arrays["scale"], np.float64),
        "depth_mm": arrays["window_depth_mm"],
        "centers_mm": np.asarray(arrays["window_center_mm"], np.float64),
        "half_mm": float(arrays["window_half_mm"]),
    }


def track_states(tracked: Any, bridged: Any, confidence: Floats) -> Ints:
    """The state of each frame (T,), as the viewer names them."""
    state = np.where(tracked, np.where(confidence >= ASSESS.doubtful, TRACKED, DOUBTFUL), NOTHING)
    return np.where(np.asarray(bridged, np.bool_), BRIDGED, state).astype(np.int32)


def _track_captions(time_s: Floats, state: Ints, confidence: Floats) -> tuple[str, ...]:
    words = {NOTHING: "no hand", BRIDGED: "bridged between frames"}
    lines = []
    for row, seconds in enumerate(time_s):
        doubt = ", doubtful" if state[row] == DOUBTFUL else ""
        told = words.get(int(state[row])) or f"confidence {confidence_text(float(confidence[row]))}{doubt}"
        lines.append(f"frame {row}, {seconds:.2f} s, {told}")
    return tuple(lines)
