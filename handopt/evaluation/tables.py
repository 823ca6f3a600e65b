"""Joints in the tables and arrays that handopt export writes: .csv, .parquet, .npz."""

import csv
import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import numpy as np

from handopt.errors import LabelError, OutputError, import_extra
from handopt.evaluation.documents import LABELS_BYTES
from handopt.evaluation.frames import Frames, check_millimetres, parts_of
from handopt.evaluation.mapping import KEYPOINTS
from handopt.files import UnreadableError, parse_json, read_text
from handopt.input.arrays import ArraySpec, read_arrays
from handopt.rig.joints import KEYPOINT_NAMES
from handopt.typing import AnyArray, Bools, Floats

SUFFIXES: Final = (".csv", ".parquet", ".npz")
ARRAYS_FORMAT: Final = "handopt.labels/"
COLUMNS: Final = ("name", "joint", "x_mm", "y_mm", "z_mm")
JOINTS: Final = len(KEYPOINT_NAMES)
HEADER: Final = {"header": ArraySpec("text", ())}
ARRAYS: Final = {
    "names": ArraySpec("text", ("n",)),
    "joints_mm": ArraySpec("number", ("n", JOINTS, 3), gaps=True),
    "root_mm": ArraySpec("number", ("n", 3), gaps=True, optional=True),
    "joint_visible": ArraySpec("flag", ("n", JOINTS)),
    "confidence": ArraySpec("number", ("n",), gaps=True),
}


def is_table(path: Path) -> bool:
    """Whether a file holds joints as handopt export writes tables and arrays of them."""
    if path.suffix.lower() != ".npz":
        return path.suffix.lower() in SUFFIXES
    try:
        header = parse_json(str(read_arrays(path, HEADER)[0]["header"]))
    except UnreadableError:  # of which a reader complains
        return False
    return isinstance(header, dict) and str(header.get("format", "")).startswith(ARRAYS_FORMAT)


def read_table(path: Path, *, predicted: bool = False) -> Frames:
    """Read a table or arrays. predicted: most of the hands must be sound, not all. Raises LabelError."""
    if path.suffix.lower() == ".npz":
        names, joints, visible, confidence = _arrays(path)
    else:
        names, joints, visible, confidence = _rows(path)
    check_millimetres(joints, names, predicted=predicted)
    keys = tuple((parts_of(name, suffix=False),) for name in names)
    return Frames(KEYPOINTS, names, keys, KEYPOINT_NAMES, joints, visible, confidence)


def _arrays(path: Path) -> tuple[tuple[str, ...], Floats, Bools, Floats]:
    try:
        arrays, _ = read_arrays(path, ARRAYS)
    except UnreadableError as error:
        raise LabelError(f"{path} {error}: change TRUTH, or export it again") from error
    joints = arrays["joints_mm"].astype(np.float64)
    if "root_mm" in arrays:
        joints = joints + arrays["root_mm"][:, None]
    names = tuple(str(name) for name in arrays["names"])
    return names, joints, arrays["joint_visible"], arrays["confidence"].astype(np.float64)


def _rows(path: Path) -> tuple[tuple[str, ...], Floats, Bools, Floats]:
    """Names, joints (N, 21, 3), visibility (N, 21) and confidence (N,) of a table. Raises LabelError."""
    columns = _parquet(path) if path.suffix.lower() == ".parquet" else _csv(path)
    lacking = [name for name in COLUMNS if name not in columns]
    if lacking:
        raise LabelError(f"{path} has no column {lacking[0]}: give a table that handopt export wrote")
    joint = [str(name) for name in columns["joint"]]
    if not joint or len(joint) % JOINTS or joint != list(KEYPOINT_NAMES) * (len(joint) // JOINTS):
        raise LabelError(f"{path}: expected {JOINTS} rows for each image, in the order {', '.join(KEYPOINT_NAMES)}")
    places = np.stack([_numbers(columns[f"{axis}_mm"], path) for axis in "xyz"], axis=-1)
    if "root_x_mm" in columns:
        places = places + np.stack([_numbers(columns[f"root_{axis}_mm"], path) for axis in "xyz"], axis=-1)
    first = slice(None, None, JOINTS)
    seen = columns.get("joint_visible", [True] * len(joint))
    visible = np.array([value in (True, "true", "True", "1") for value in seen])
    confidence = _numbers(columns.get("confidence", [None] * len(joint)), path)
    return (
        tuple(str(name) for name in columns["name"][first]),
        places.reshape(-1, JOINTS, 3),
        visible.reshape(-1, JOINTS),
        confidence[first],
    )


def _numbers(values: Iterable[Any], path: Path) -> Floats:
    try:
        return np.array([np.nan if value in (None, "") else float(value) for value in values], np.float64)
    except (TypeError, ValueError) as error:
        raise LabelError(f"{path}: {error}; correct the table") from error


def _csv(path: Path) -> dict[str, list[Any]]:
    try:
        rows = list(csv.reader(io.StringIO(read_text(path, LABELS_BYTES), newline="")))
    except (UnreadableError, csv.Error) as error:
        raise LabelError(f"{path} cannot be read as a table ({error}): change TRUTH") from error
    if not rows or any(len(row) != len(rows[0]) for row in rows):
        raise LabelError(f"{path}: its rows have different lengths; is it truncated? Export it again")
    return {name: [row[column] for row in rows[1:]] for column, name in enumerate(rows[0])}


def _parquet(path: Path) -> dict[str, list[Any]]:
    try:
        parquet = import_extra("pyarrow.parquet", "reading a Parquet file", "tables")
        table = parquet.read_table(path)
    except OutputError as error:
        raise LabelError(str(error)) from error
    except Exception as error:  # pyarrow has many errors of its own
        raise LabelError(f"{path} cannot be read as a Parquet table ({error}): change TRUTH") from error
    columns: dict[str, AnyArray] = {name: table.column(name).to_pylist() for name in table.column_names}
    return dict(columns)  # type: ignore[arg-type]
