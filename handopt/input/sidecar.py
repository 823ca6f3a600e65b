"""What a JSON file beside an image says about it: its camera, the unit of its counts, the hand, the time, mirroring.

Every room that reads such a file reads it here. `<stem>.json` speaks for one image, `camera.json` for its folder.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

from handopt.errors import CameraError
from handopt.files import UnreadableError, is_file, read_json
from handopt.input.camera import CAMERA_KEYS, INTRINSICS, Camera, finite_number, short_repr
from handopt.input.timestamps import time_of

MAX_JSON_BYTES = 16 * 2**20
SHARED_NAME: Final = "camera.json"
"""The file that speaks for a folder, in which misspelt keys are refused; others may hold labels of any kind."""
KEYS: Final = ("camera", "unit_mm", "unit", "hand", "mirrored")
LIKENESS: Final = 0.8
"""Similarity from which on a key is taken for a misspelt one, as difflib has it. By hand."""
UNIT_NAMES_MM = {"um": 0.001, "mm": 1.0, "cm": 10.0, "m": 1000.0}


@dataclass(frozen=True)
class Sidecar:
    """What JSON files beside an image say about it; None where they say nothing.

    unit_mm: mm per count. hand: "right" or "left". mirrored: whether images are mirrored left to right. notes: one
    sentence for each of "camera", "unit", "hand" and "mirrored" found; origins: the files that say these.
    """

    path: Path
    camera: Camera | None = None
    unit_mm: float | None = None
    hand: str | None = None
    mirrored: bool | None = None
    notes: Mapping[str, str] = field(default_factory=dict)
    origins: Mapping[str, Path] = field(default_factory=dict)

    def or_else(self, other: "Sidecar") -> "Sidecar":
        """What this one says, and what the other says where this one is silent."""
        return Sidecar(
            path=self.path,
            camera=self.camera or other.camera,
            unit_mm=other.unit_mm if self.unit_mm is None else self.unit_mm,
            hand=self.hand or other.hand,
            mirrored=other.mirrored if self.mirrored is None else self.mirrored,
            notes={**other.notes, **self.notes},
            origins={**other.origins, **self.origins},
        )


def find_sidecar(image: str | Path) -> Sidecar | None:
    """Read `<stem>.json` and `camera.json` beside an image; the first takes precedence. None if both are silent.

    Raises CameraError if one of them is malformed.
    """
    image = Path(image)
    names = dict.fromkeys((image.with_suffix(".json"), image.with_name(SHARED_NAME)))
    found = [each for path in names if is_file(path) and (each := read_sidecar(path)) is not None]
    if not found:
        return None
    return found[0] if len(found) == 1 else found[0].or_else(found[1])


def read_sidecar(path: Path) -> Sidecar | None:
    """Read camera, unit, hand, mirroring from a JSON file; None if it says something else. Raises CameraError."""
    data = _read_json(path)
    if not isinstance(data, dict):
        return None
    notes = {}
    try:
        if path.name == SHARED_NAME:
            _check_keys(data)
        camera = _camera(data, path)
        unit_mm = _unit(data)
        hand = _hand(data)
        mirrored = _mirrored(data)
    except CameraError as error:
        raise CameraError(f"{path}: {error} (correct the file, or give camera= and unit=)") from error
    if camera is not None:
        notes["camera"] = f"The camera's intrinsics are from {path}."
    if unit_mm is not None:
        notes["unit"] = f"One count is {unit_mm:g} mm, as {path} says."
    if hand is not None:
        notes["hand"] = f"The hand is a {hand} hand, as {path} says."
    if mirrored is not None:
        notes["mirrored"] = f"The image is {'' if mirrored else 'not '}mirrored, as {path} says."
    return Sidecar(path, camera, unit_mm, hand, mirrored, notes, dict.fromkeys(notes, path)) if notes else None


def find_time(image: Path) -> float | None:
    """The time in s that `<stem>.json` beside an image gives, at its top or under "sequence".

    None if there is no such file, or if it cannot be read: a frame without a time is still a frame.
    """
    try:
        return time_of(read_json(image.with_suffix(".json"), MAX_JSON_BYTES))
    except UnreadableError:
        return None


def _camera(data: dict[str, Any], path: Path) -> Camera | None:
    nested = data.get("camera")
    if nested is not None and not isinstance(nested, dict):
        raise CameraError(f"camera is {short_repr(nested)}, expected an object with {', '.join(CAMERA_KEYS)}")
    if nested is None and not any(key in data for key in INTRINSICS):
        return None
    return Camera.from_dict(data if nested is None else nested, source=str(path))


def _check_keys(data: dict[str, Any]) -> None:
    """Raise CameraError for a key that is all but one of those that are read: a misspelt one would go unnoticed."""
    for key in data:
        if key not in (*KEYS, *CAMERA_KEYS):
            close = get_close_matches(key.casefold(), KEYS, 1, LIKENESS)
            if close:
                raise CameraError(f"the key {short_repr(key)} is not known; did you mean {close[0]}?")


def _unit(data: dict[str, Any]) -> float | None:
    """Mm per count, by the number "unit_mm" or the name "unit"."""
    if data.get("unit_mm") is not None:
        unit_mm = finite_number(data["unit_mm"], "unit_mm")
        if unit_mm <= 0.0:
            raise CameraError(f"unit_mm is {unit_mm:g}, expected mm per count above 0")
        return unit_mm
    name = data.get("unit")
    if name is None:
        return None
    if not isinstance(name, str) or name.lower() not in UNIT_NAMES_MM:
        raise CameraError(f"unit is {short_repr(name)}, expected one of {', '.join(UNIT_NAMES_MM)}, or unit_mm")
    return UNIT_NAMES_MM[name.lower()]


def _hand(data: dict[str, Any]) -> str | None:
    hand = data.get("hand")
    if hand is None:
        return None
    if not isinstance(hand, str) or hand.lower() not in ("right", "left"):
        raise CameraError(f"hand is {short_repr(hand)}, expected right or left")
    return hand.lower()


def _mirrored(data: dict[str, Any]) -> bool | None:
    mirrored = data.get("mirrored")
    if mirrored is not None and not isinstance(mirrored, bool):
        raise CameraError(f"mirrored is {short_repr(mirrored)}, expected true or false")
    return mirrored


def _read_json(path: Path) -> Any:
    """The document in a file. Raises CameraError."""
    try:
        return read_json(path, MAX_JSON_BYTES)
    except UnreadableError as error:
        raise CameraError(f"{path}: {str(error).removeprefix('is ')}; correct it or change camera=") from error
