"""Hands in the format of COCO: keypoints with visibility, boxes, and masks as run-length codes.

Layout: the format description of the COCO API (Lin et al., *Microsoft COCO*, ECCV 2014; cocodataset.org, "Data
format"): images, annotations and categories by id; keypoints as u, v, flag, where 0 is not labelled, 1 hidden, 2
visible; boxes as x, y, width, height; masks as counts of pixels, column by column, background first. The category of a
hand is its side; both have the same 21 keypoints in the order of COCO-WholeBody's hands (Jin et al., ECCV 2020). A
file_name is the path below the nearest folder that holds all images.
Beyond the format, an image has its `camera`, and an annotation `joints_mm`, which `handopt eval` reads.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from handopt.export.labels.records import LabelRecord, image_names
from handopt.rig.joints import BONES, KEYPOINT_NAMES
from handopt.typing import BoolImage, Bools, Floats

CATEGORIES: Final = {"right": 1, "left": 2}
DECIMALS: Final = 3


def write_coco(records: Sequence[LabelRecord], path: Path) -> list[str]:
    """Write one JSON file. Returns what the user should know."""
    images, annotations, bare = [], [], 0
    for number, (record, name) in enumerate(zip(records, image_names(records), strict=True), 1):
        camera = record.camera
        images.append(
            {
                "id": number,
                "file_name": name,
                "width": camera.width,
                "height": camera.height,
                "camera": camera.to_dict(),
            }
        )
        mask = silhouette(record) if record.has_arrays else None
        bare += mask is None
        annotations.append(_annotation(record, number, mask))
    document = {
        "info": {"description": "hands fitted by handopt", "version": "1"},
        "licenses": [],
        "images": images,
        "annotations": annotations,
        "categories": [_category(side, number) for side, number in CATEGORIES.items()],
    }
    path.write_text(json.dumps(document, allow_nan=False), encoding="utf-8")
    return [f"{bare} hands have no mask, and a box around their joints: their trace.npz is missing."] if bare else []


def silhouette(record: LabelRecord) -> BoolImage:
    """The pixels (H, W) that the fitted hand covers, whatever lies before it. Raises OutputError."""
    from handopt.ops.rasterise import rasterise

    vertices, faces = record.mesh()
    camera = record.camera
    pinhole = (camera.fx, camera.fy, camera.cx, camera.cy, camera.width, camera.height)
    depth: Any = rasterise(np.ascontiguousarray(vertices[None], np.float32), faces, pinhole)
    return np.asarray(np.greater(np.asarray(depth)[0], 0), bool)


def run_lengths(mask: BoolImage) -> list[int]:
    """Lengths of the runs of a mask (H, W), column by column, that of the background first, as COCO counts them."""
    pixels = np.concatenate([[False], np.asarray(mask, bool).ravel(order="F"), [False]])
    changes = np.flatnonzero(pixels[1:] != pixels[:-1])
    ends = np.concatenate([changes, [mask.size]]) if not len(changes) or changes[-1] < mask.size else changes
    counts: list[int] = np.diff(ends, prepend=0).tolist()
    return counts


def _annotation(record: LabelRecord, number: int, mask: BoolImage | None) -> dict[str, Any]:
    camera = record.camera
    pixels = record.joints_px
    within = np.isfinite(pixels) & (pixels >= -0.5) & (pixels <= (camera.width - 0.5, camera.height - 0.5))
    inside: Bools = np.asarray(within.all(axis=1))
    flags = np.where(inside, np.where(record.joint_visible, 2, 1), 0)
    placed = np.where(inside[:, None], pixels, 0.0).round(DECIMALS)
    keypoints = np.column_stack([placed, flags]).ravel().tolist()
    annotation = {
        "id": number,
        "image_id": number,
        "category_id": CATEGORIES[record.hand],
        "iscrowd": 0,
        "keypoints": [int(value) if column % 3 == 2 else value for column, value in enumerate(keypoints)],
        "num_keypoints": int(inside.sum()),
        "joints_mm": record.joints_mm.tolist(),
        "joint_visible": record.joint_visible.tolist(),
    }
    if np.isfinite(record.confidence):
        annotation["confidence"] = record.confidence
    if mask is None or not mask.any():
        box = box_of(pixels[inside])
        return annotation | {"bbox": box, "area": box[2] * box[3]}
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    left, top = int(columns[0]), int(rows[0])
    return annotation | {
        "bbox": [float(left), float(top), float(columns[-1] - left + 1), float(rows[-1] - top + 1)],
        "area": int(mask.sum()),
        "segmentation": {"size": list(mask.shape), "counts": run_lengths(mask)},
    }


def box_of(pixels: Floats) -> list[float]:
    """The box x, y, width, height around pixels (N, 2); zeros where there are none."""
    if not len(pixels):
        return [0.0] * 4
    low, size = pixels.min(axis=0), np.ptp(pixels, axis=0)
    return [round(float(value), DECIMALS) for value in (*low, *size)]


def _category(side: str, number: int) -> dict[str, Any]:
    return {
        "id": number,
        "name": f"{side}_hand",
        "supercategory": "hand",
        "keypoints": list(KEYPOINT_NAMES),
        "skeleton": [[parent + 1, child + 1] for parent, child in BONES],
    }
