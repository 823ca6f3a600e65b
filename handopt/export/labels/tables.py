"""Tidy tables of joints, one row for each image and joint, as CSV and Parquet; and arrays as .npz."""

import csv
import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from handopt.errors import import_extra
from handopt.export.labels.records import LabelRecord
from handopt.input.camera import CAMERA_KEYS
from handopt.result import joint_columns
from handopt.rig.joints import KEYPOINT_NAMES
from handopt.typing import AnyArray

NPZ_FORMAT: Final = "handopt.labels/1"
DECIMALS: Final = 4
"""Of lengths in CSV: a ten-thousandth of a millimetre or a pixel."""
ROWS_AT_A_TIME: Final = 5000
"""Images in each row group of a Parquet file; bounds the memory."""


def write_csv(records: Sequence[LabelRecord], path: Path, root_relative: bool = False) -> list[str]:
    """Write a row for each image and joint; numbers that nobody knows are empty. Returns what the user should know."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        for number, record in enumerate(records):
            columns = record_columns(record, root_relative)
            if number == 0:
                writer.writerow(columns)
            for row in zip(*columns.values(), strict=True):
                writer.writerow([_cell(value) for value in row])
    return []


def write_parquet(records: Sequence[LabelRecord], path: Path, root_relative: bool = False) -> list[str]:
    """Write the table of write_csv in full precision. Raises OutputError where pyarrow is missing."""
    pyarrow = import_extra("pyarrow", "a Parquet file", "tables")
    parquet = import_extra("pyarrow.parquet", "a Parquet file", "tables")
    schema = None
    writer = None
    try:
        for columns in _column_groups(records, root_relative):
            schema = schema or pyarrow.schema([(name, _arrow_type(pyarrow, name)) for name in columns])
            writer = writer or parquet.ParquetWriter(path, schema)
            cells = {
                name: values if values.dtype == bool else [None if _unknown(each) else each for each in values.tolist()]
                for name, values in columns.items()
            }
            writer.write_table(pyarrow.table(cells, schema=schema))
    finally:
        if writer is not None:
            writer.close()
    return []


def write_npz(records: Sequence[LabelRecord], path: Path, root_relative: bool = False) -> list[str]:
    """Write arrays with one row for each image: names, hand, camera, joints, visibility, uncertainty, pose."""
    joints = np.stack([record.joints_mm for record in records])
    arrays: dict[str, AnyArray] = {
        "header": np.array(json.dumps({"format": NPZ_FORMAT, "root_relative": root_relative})),
        "keypoints": np.array(KEYPOINT_NAMES),
        "names": np.array([record.name for record in records]),
        "images": np.array([record.image or "" for record in records]),
        "hand": np.array([record.hand for record in records]),
        "camera": np.array([[getattr(record.camera, key) for key in CAMERA_KEYS] for record in records]),
        "joints_mm": joints - joints[:, :1] if root_relative else joints,
        "joints_px": np.stack([record.joints_px for record in records]),
        "joint_visible": np.stack([record.joint_visible for record in records]),
        "joint_uncertainty_mm": np.stack([record.joint_uncertainty_mm for record in records]),
        "confidence": np.array([record.confidence for record in records]),
        "rotation": np.stack([record.rotation for record in records]),
        "translation_mm": np.stack([record.translation_mm for record in records]),
        "angles_rad": np.stack([record.angles_rad for record in records]),
        "scale": np.array([record.scale for record in records]),
        "time_s": np.array([math.nan if record.time_s is None else record.time_s for record in records]),
    }
    if root_relative:
        arrays["root_mm"] = joints[:, 0]
    np.savez_compressed(path, **arrays)  # type: ignore[arg-type]
    return []


def record_columns(record: LabelRecord, root_relative: bool = False) -> dict[str, Any]:
    """Columns of one image: what it is, then those of handopt.result.joint_columns, 21 rows.

    root_relative: x, y, z are from the wrist, whose place stands in root_x_mm, root_y_mm, root_z_mm.
    """
    count = len(KEYPOINT_NAMES)
    columns: dict[str, Any] = {
        "name": [record.name] * count,
        "image": [record.image] * count,
        "frame": [record.frame] * count,
        "time_s": [record.time_s] * count,
        "hand": [record.hand] * count,
        **joint_columns(
            record.joints_mm, record.camera, record.joint_visible, record.joint_uncertainty_mm, record.confidence
        ),
    }
    if root_relative:
        for column, axis in enumerate("xyz"):
            columns[f"{axis}_mm"] = columns[f"{axis}_mm"] - record.joints_mm[0, column]
            columns[f"root_{axis}_mm"] = np.full(count, record.joints_mm[0, column])
    return columns


def _column_groups(records: Sequence[LabelRecord], root_relative: bool) -> Iterator[dict[str, AnyArray]]:
    """The columns of some thousand images after the other, as arrays."""
    for start in range(0, len(records), ROWS_AT_A_TIME):
        group = [record_columns(record, root_relative) for record in records[start : start + ROWS_AT_A_TIME]]
        yield {name: np.concatenate([np.asarray(each[name]) for each in group]) for name in group[0]}


def _arrow_type(pyarrow: Any, name: str) -> Any:
    if name in ("name", "image", "hand", "joint"):
        return pyarrow.string()
    return {"frame": pyarrow.int64(), "joint_visible": pyarrow.bool_()}.get(name, pyarrow.float64())


def _unknown(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _cell(value: Any) -> Any:
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    if isinstance(value, float | np.floating):
        return round(float(value), DECIMALS) if math.isfinite(value) else ""
    return "" if value is None else value
