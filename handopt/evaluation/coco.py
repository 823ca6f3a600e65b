"""Hand labels in the format of COCO, with 21 keypoints, as mmpose, COCO-WholeBody and handopt export write them.

An annotation's keypoints are 21 x u, v, flag: 0 is not labelled, 1 hidden, 2 visible (cocodataset.org, "Data format").
COCO-WholeBody has righthand_kpts and lefthand_kpts instead, beside righthand_valid and lefthand_valid. Pixels have no
depth, so that errors are measured across the line of sight, at the depth of the prediction; where an annotation has
joints_mm, as those of handopt export, they are measured in 3D.
"""

from pathlib import Path
from typing import Any, Final

import numpy as np

from handopt.errors import LabelError
from handopt.evaluation.documents import points
from handopt.evaluation.frames import Frames, check_millimetres, parts_of
from handopt.evaluation.mapping import COCO
from handopt.rig.joints import KEYPOINT_NAMES
from handopt.typing import Bools, Floats, Parts

JOINTS: Final = len(KEYPOINT_NAMES)
FLAT: Final = (
    "TRUTH has pixels without depth: errors are distances across the line of sight, in mm at the predicted depth."
)


def is_coco(document: Any) -> bool:
    """Whether a JSON document has the lists of COCO."""
    return isinstance(document, dict) and all(isinstance(document.get(key), list) for key in ("images", "annotations"))


def read_coco(path: Path, document: dict[str, Any], names: tuple[str, ...] | None = None) -> Frames:
    """Frames of the hands of which all joints are labelled. names: of the images, instead of their files' names.

    Raises LabelError.
    """
    called, keys, labels = list[str](), list[tuple[Parts, ...]](), list[tuple[Floats, Floats, Bools]]()
    left_out = 0
    try:
        paths = {
            image["id"]: parts_of(str(image["file_name"])) if names is None else parts_of(names[row], suffix=False)
            for row, image in enumerate(document["images"])
        }
        for number, annotation in enumerate(document["annotations"]):
            where = f"{path}: annotation {annotation.get('id', number)}"
            for side, values in _hands(annotation):
                label = _label(values, annotation, where)
                if label is None:
                    left_out += 1
                    continue
                key = paths[annotation["image_id"]]
                called.append("/".join((*key[-3:], side)) if side else "/".join(key[-3:]))
                keys.append((key,))
                labels.append(label)
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise LabelError(f"{path}: not in the format of COCO ({error!r}); correct it or change TRUTH") from error
    if not labels:
        raise LabelError(f"{path} has no hand with all of its {JOINTS} keypoints labelled: change TRUTH")
    pixels, joints = np.stack([label[0] for label in labels]), np.stack([label[1] for label in labels])
    visible = np.stack([label[2] for label in labels])
    flat = not np.isfinite(joints).all()
    if not flat:
        check_millimetres(joints, called)
    notes = ((FLAT,) if flat else ()) + (
        (f"{left_out} hands without all of their {JOINTS} keypoints were left out.",) if left_out else ()
    )
    return Frames(
        COCO, tuple(called), tuple(keys), COCO.joints, joints, visible, notes=notes, pixels=pixels if flat else None
    )


def _hands(annotation: dict[str, Any]) -> list[tuple[str, Any]]:
    """The hands of an annotation: a side, or "" for the one of the annotation itself, and its numbers."""
    sides = [side for side in ("right", "left") if f"{side}hand_kpts" in annotation]
    if sides:
        return [(side, annotation[f"{side}hand_kpts"]) for side in sides if annotation.get(f"{side}hand_valid", True)]
    return [("", annotation["keypoints"])] if "keypoints" in annotation else []


def _label(values: Any, annotation: dict[str, Any], where: str) -> tuple[Floats, Floats, Bools] | None:
    """Pixels (21, 2), joints (21, 3) mm or NaN, visibility (21,); None where a joint is not labelled."""
    numbers = np.asarray(values, dtype=object)
    if numbers.shape != (3 * JOINTS,) or not all(isinstance(each, int | float) for each in numbers):
        raise LabelError(f"{where}: expected {JOINTS} keypoints of three numbers, for a hand; change TRUTH")
    table = numbers.astype(np.float64).reshape(JOINTS, 3)
    flags = np.rint(table[:, 2])
    joints = np.full((JOINTS, 3), np.nan)
    if "joints_mm" in annotation:
        joints = points(annotation["joints_mm"], JOINTS, f"{where}: joints_mm")
        seen = annotation.get("joint_visible")
        visible = flags >= 2 if seen is None else np.array(seen, dtype=bool)
        return table[:, :2], joints, visible
    return (table[:, :2], joints, flags >= 2) if (flags > 0).all() else None
