"""What is exported of each image: the hand's joints with what is known of them, from fits and from tracks."""

import json
import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import takewhile
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from handopt.draw.film import TRACE_NAME, load_film
from handopt.errors import HandoptError, OutputError
from handopt.evaluation.documents import LABELS_BYTES, RESULT_FORMAT, RESULT_NAME, points, read_json
from handopt.evaluation.frames import parts_of
from handopt.files import UnreadableError, is_file, is_folder, read_text
from handopt.input.camera import CAMERA_KEYS, Camera
from handopt.rig.joints import ANGLE_NAMES, KEYPOINT_NAMES
from handopt.tracking.track import ARRAYS_NAME, FAMILY, INFO_NAME, LINES_NAME
from handopt.typing import Bools, Floats, ReadProgress

if TYPE_CHECKING:
    from handopt.draw.film import Film

FILMS_KEPT: Final = 2
"""Arrays of so many results are held in memory at a time."""


@dataclass(frozen=True)
class LabelRecord:
    """One hand in one image; lengths in mm in the camera frame (x right, y down, z forward).

    name: of the image, with the folders that tell it from others, without its suffix. image: path or name of the file,
    None where the depth came as an array. folder: of the result; frame: in a track, None in a fit. hand: 'right' or
    'left'. joints_mm (21, 3), joint_visible (21,), joint_uncertainty_mm (21,), confidence: NaN where nobody knows.
    rotation (3, 3), translation_mm (3,), angles_rad (15, 3), scale: the pose, NaN where the result has none. time_s: of
    a frame, else None.
    """

    name: str
    image: str | None
    folder: Path
    frame: int | None
    hand: str
    camera: Camera
    joints_mm: Floats
    joint_visible: Bools
    joint_uncertainty_mm: Floats
    confidence: float
    rotation: Floats
    translation_mm: Floats
    angles_rad: Floats
    scale: float
    time_s: float | None = None

    @cached_property
    def joints_px(self) -> Floats:
        """(21, 2) columns and rows of the joints in the image, pixel centres at integers."""
        return np.asarray(self.camera.project(self.joints_mm), np.float64)

    @property
    def has_arrays(self) -> bool:
        """Whether the result has its mesh and the depth around the hand, for masks and crops."""
        return is_file(self.folder / (TRACE_NAME if self.frame is None else ARRAYS_NAME))

    def film(self) -> "tuple[Film, int]":
        """The result's arrays and the row of this image in them. Raises OutputError."""
        film = _film(self.folder)
        return film, len(film) - 1 if self.frame is None else self.frame

    def mesh(self) -> tuple[Floats, Any]:
        """Vertices (V, 3) mm and faces (F, 3) of the fitted hand. Raises OutputError."""
        film, row = self.film()
        return film.posed(row)[0], film.hand.faces


@lru_cache(maxsize=FILMS_KEPT)
def _film(folder: Path) -> "Film":
    return load_film(folder)


def read_records(
    results: Sequence[Path],
    *,
    min_confidence: float = 0.0,
    only: Collection[str] | None = None,
    progress: ReadProgress = lambda _part, _done, _total: None,
) -> tuple[list[LabelRecord], int]:
    """The hands of results, and how many were left out.

    results: folders of `handopt fit` and `handopt track`, or folders of such folders. min_confidence: results below it
    are left out, also those whose confidence nobody knows unless it is 0. Frames of a track without a hand are left
    out and not counted.
    only: names of results below the folder that was given, all if None.
    Raises OutputError where there is nothing, and LabelError where a file is damaged.
    """
    named: dict[Path, str] = {}
    for result in results:
        for folder, name in _places(Path(result)):
            if only is None or name in only:
                named.setdefault(folder, name)
    places = list(named.items())
    if not places:
        names = ", ".join(str(result) for result in results)
        raise OutputError(f"{names}: no results of handopt fit or handopt track there; give their folders")
    tracks = sum(_is_track(folder) for folder, _ in places)
    records: list[LabelRecord] = []
    left_out = 0
    for number, (folder, name) in enumerate(places, 1):
        found = _track_records(folder, name if tracks > 1 or tracks < len(places) else "") if _is_track(folder) else (
            [_fit_record(folder, name)]
        )  # fmt: skip
        kept = [record for record in found if record.confidence >= min_confidence or min_confidence <= 0]
        left_out += len(found) - len(kept)
        records += kept
        progress("results", number, len(places))
    if not records:
        reason = f"none of {left_out} results has a confidence of {min_confidence:g}" if left_out else "no hand in them"
        raise OutputError(f"nothing to export, {reason}: lower min_confidence= or give other results")
    return _with_names_apart(records), left_out


def image_names(records: Sequence[LabelRecord]) -> list[str]:
    """What sets of labels call the images: their paths below the nearest folder that holds all of them, with slashes.

    Of an image without a file the record's name.
    """
    places = [parts_of(record.image or record.name, suffix=False) for record in records]
    levels = zip(*(parts[:-1] for parts in places), strict=False)  # as deep as the shallowest
    common = sum(1 for _ in takewhile(lambda level: len(set(level)) == 1, levels))
    return ["/".join(parts[common:]) for parts in places]


def _is_track(folder: Path) -> bool:
    return is_file(folder / INFO_NAME) and is_file(folder / LINES_NAME)


def _is_fit(folder: Path) -> bool:
    return is_file(folder / RESULT_NAME)


def _places(result: Path) -> Iterator[tuple[Path, str]]:
    """The folder of each result and the name it has below the folder that was given, in the order of names."""
    folder = result.parent if is_file(result) and result.name in (RESULT_NAME, INFO_NAME, LINES_NAME) else result
    if not is_folder(folder):
        raise OutputError(f"{result} is not a result: give a folder that handopt fit or handopt track wrote")
    if _is_track(folder) or _is_fit(folder):
        yield folder.resolve(), folder.resolve().name
        return
    try:
        inside = sorted({*folder.rglob(RESULT_NAME), *folder.rglob(INFO_NAME)})
    except OSError as error:
        raise OutputError(f"the folder {folder} cannot be read: {error.strerror}") from error
    for file in inside:
        below = file.parent.relative_to(folder)
        if not any(part.startswith(".") for part in below.parts) and (_is_fit(file.parent) or _is_track(file.parent)):
            yield file.parent.resolve(), "/".join(below.parts)


def _fit_record(folder: Path, name: str) -> LabelRecord:
    """The hand of a folder of `handopt fit`. Raises LabelError and OutputError."""
    file = folder / RESULT_NAME
    document = read_json(file, "RESULTS")
    if not isinstance(document, dict) or not str(document.get("format", "")).startswith(RESULT_FORMAT):
        raise OutputError(f"{file} is no result of handopt fit: move it out of RESULTS")
    return _record(document, document, folder, None, name, file)


def _track_records(folder: Path, name: str) -> list[LabelRecord]:
    """The hands of a track, in its order; frames without a pose are left out. Raises LabelError and OutputError."""
    header, lines = folder / INFO_NAME, folder / LINES_NAME
    information = read_json(header, "RESULTS")
    if not isinstance(information, dict) or not str(information.get("format", "")).startswith(FAMILY):
        raise OutputError(f"{header} is no track of handopt: move it out of RESULTS")
    records = []
    try:
        content = read_text(lines, LABELS_BYTES)
    except UnreadableError as error:
        raise OutputError(f"{lines} cannot be read: {error.reason}; track again") from error
    for number, text in enumerate(content.splitlines()):
        try:
            frame = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise OutputError(f"{lines}, line {number + 1} is damaged ({error}): track again") from error
        if not isinstance(frame, dict) or frame.get("joints_mm") is None:
            continue
        stem = _frame_stem(str(frame.get("name", "")), number)
        called = f"{name}/{stem}" if name else stem
        records.append(_record(frame, information, folder, number, called, lines))
    return records


def _frame_stem(name: str, number: int) -> str:
    """A frame's file without its suffix; its number where the frames are no files."""
    return PurePosixPath(name).stem if "[" not in name and PurePosixPath(name).suffix else f"{number:06d}"


def _record(
    hand: dict[str, Any], shared: dict[str, Any], folder: Path, frame: int | None, name: str, file: Path
) -> LabelRecord:
    """A record from the keys of a result, or of a line of a track and its header. Raises LabelError and OutputError."""
    where = f"{file}" if frame is None else f"{file}, line {frame + 1}"
    try:
        side = shared["hand"]
        camera = Camera(**{key: shared["camera"][key] for key in CAMERA_KEYS})
        joints = points(hand["joints_mm"], len(KEYPOINT_NAMES), f"{where}: joints_mm")
        visible = np.array(hand["joint_visible"], dtype=bool)
        pose, scale = _pose(hand), float(shared.get("shape", {}).get("scale", math.nan))
        confidence = hand.get("confidence")
        if side not in ("right", "left") or visible.shape != (len(KEYPOINT_NAMES),):
            raise ValueError("its hand or joint_visible is not as handopt writes it")
        return LabelRecord(
            name=name,
            image=_image(hand, shared, frame),
            folder=folder,
            frame=frame,
            hand=side,
            camera=camera,
            joints_mm=joints,
            joint_visible=visible,
            joint_uncertainty_mm=_uncertainty(hand.get("joint_uncertainty_mm")),
            confidence=math.nan if confidence is None else float(confidence),
            rotation=pose[0],
            translation_mm=pose[1],
            angles_rad=pose[2],
            scale=scale,
            time_s=None if frame is None else float(hand["time_s"]),
        )
    except HandoptError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        reason = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
        raise OutputError(f"{where} is damaged or of another version ({reason}): fit or track again") from error


def _image(hand: dict[str, Any], shared: dict[str, Any], frame: int | None) -> str | None:
    if frame is None:
        return None if hand.get("image") is None else str(hand["image"])
    return "/".join((*parts_of(str(shared.get("source", "")), suffix=False), str(hand.get("name", ""))))


def _pose(hand: dict[str, Any]) -> tuple[Floats, Floats, Floats]:
    pose = hand.get("pose")
    if pose is None:
        return np.full((3, 3), np.nan), np.full(3, np.nan), np.full((len(ANGLE_NAMES), 3), np.nan)
    angles = np.array([pose["angles_rad"][name] for name in ANGLE_NAMES], np.float64)
    return np.array(pose["rotation"], np.float64), np.array(pose["translation_mm"], np.float64), angles


def _uncertainty(values: Any) -> Floats:
    if values is None:
        return np.full(len(KEYPOINT_NAMES), np.nan)
    return np.array([math.nan if value is None else float(value) for value in values], np.float64)


def _with_names_apart(records: list[LabelRecord]) -> list[LabelRecord]:
    """The records, those of equal names told apart by the folder of their result. Raises OutputError."""
    from collections import Counter
    from dataclasses import replace

    counts = Counter(record.name for record in records)
    apart = [
        record if counts[record.name] == 1 else replace(record, name=f"{record.folder.parent.name}/{record.name}")
        for record in records
    ]
    twice = [name for name, count in Counter(record.name for record in apart).items() if count > 1]
    if twice:
        raise OutputError(f"two results are called {twice[0]}: export them apart, or give the folder that holds both")
    return apart
