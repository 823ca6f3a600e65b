"""Reading joints from JSON files, with messages that name the file."""

import math
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from handopt import files
from handopt.errors import CameraError, LabelError
from handopt.typing import Floats

if TYPE_CHECKING:
    from handopt.input.camera import Camera

RESULT_NAME: Final = "result.json"
RESULT_FORMAT: Final = "handopt.result/"
LABELS_BYTES: Final = 2**31
"""Largest file of a whole data set: InterHand2.6M's joints have a few hundred MiB."""
LARGEST: Final = 10**12


def silent(_part: str, _done: int, _total: int) -> None:
    """Tell nobody."""


def read_json(file: Path, argument: str, limit: int = files.MAX_DOCUMENT_BYTES) -> Any:
    """What a JSON file holds. argument: of the command, to name in messages. limit: in bytes. Raises LabelError."""
    try:
        return files.read_json(file, limit)
    except files.UnreadableError as error:
        if "JSON" in str(error):
            raise LabelError(f"{file} {error}; is it truncated? Correct it, or move it out of {argument}") from error
        raise LabelError(f"{file} cannot be read: {error.reason}; change {argument}") from error


def points(value: Any, count: int, where: str, *, gaps: bool = False) -> Floats:
    """A list of points as (count, 3); null becomes NaN where there may be gaps. Raises LabelError."""
    rows = value if isinstance(value, list) else []
    sound = len(rows) == count and all(isinstance(row, list) and len(row) == 3 for row in rows)
    if not sound or not all(_is_number(number) or (gaps and number is None) for number in chain.from_iterable(rows)):
        raise LabelError(f"{where}: expected {count} points of three numbers in mm; correct the file")
    return np.array([[math.nan if number is None else number for number in row] for row in rows], np.float64)


def camera_of(value: Any) -> "Camera | None":
    """The camera that a document describes, None where it does not."""
    from handopt.input.camera import CAMERA_KEYS, Camera

    try:
        return Camera(**{key: value[key] for key in CAMERA_KEYS})
    except (CameraError, KeyError, TypeError):
        return None


def joint_names(value: Any, known: Sequence[str], where: str, *, all_of: bool) -> tuple[str, ...]:
    """A list of different names out of the known ones, or all of these. Raises LabelError."""
    names = value if isinstance(value, list) and all(isinstance(name, str) for name in value) else []
    if (
        not names
        or len(set(names)) < len(names)
        or not set(names) <= set(known)
        or (all_of and len(names) < len(known))
    ):
        which = "all of" if all_of else "some of"
        raise LabelError(f"{where}: expected a list of {which} {', '.join(known)}, each once; correct the file")
    return tuple(names)


def _is_number(value: Any) -> bool:
    """Whether a JSON value is a number, and not one that no float holds."""
    return isinstance(value, float) or (isinstance(value, int) and not isinstance(value, bool) and abs(value) < LARGEST)
