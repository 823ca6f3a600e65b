"""Labels of 21 joints in the files of FreiHAND, DexYCB and InterHand2.6M, as published and as handopt export writes.

| set           | files                                  | joints                                       |
|---------------|----------------------------------------|----------------------------------------------|
| FreiHAND      | training_xyz.json, evaluation_xyz.json | list of (21, 3) in metres, camera frame      |
| FreiHAND      | pred.json, which are predictions       | the same list, then one of vertices          |
| DexYCB        | labels_NNNNNN.npz, in folders          | joint_3d (1, 21, 3) in metres, camera frame  |
| InterHand2.6M | *_data, *_camera, *_joint_3d .json     | (42, 3) in mm, world frame, right hand first |

Sources: lmb-freiburg/freihand, NVlabs/dex-ycb-toolkit and facebookresearch/InterHand2.6M on GitHub. names.txt beside
them, which handopt export writes, says what each frame is called instead.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from handopt.errors import LabelError
from handopt.evaluation.documents import LABELS_BYTES, points, read_json, silent
from handopt.evaluation.frames import Frames, check_millimetres, parts_of
from handopt.evaluation.mapping import DEXYCB, FREIHAND, INTERHAND, INTERHAND_ROWS, JointSet
from handopt.files import UnreadableError, is_file, read_text
from handopt.input.arrays import ArraySpec, read_arrays
from handopt.rig.joints import KEYPOINT_NAMES
from handopt.typing import Floats, Parts, ReadProgress

MM_PER_M: Final = 1000.0
JOINTS: Final = len(KEYPOINT_NAMES)
NAMES_NAME: Final = "names.txt"
FREIHAND_FILES: Final = ("training_xyz.json", "evaluation_xyz.json")
FREIHAND_DIGITS: Final = 8
DEXYCB_PATTERN: Final = "labels_*.npz"
DEXYCB_IMAGE: Final = "aligned_depth_to_color_"
NO_HAND: Final = -1.0
"""What DexYCB writes for all joints of an image without a hand."""


def read_freihand(path: Path, *, predicted: bool = False) -> Frames:
    """Read a list of joints of FreiHAND, or pred.json. Raises LabelError."""
    document = read_json(path, "PRED" if predicted else "TRUTH", LABELS_BYTES)
    if not is_freihand(document):
        raise LabelError(f"{path} is no list of (21, 3) joints as FreiHAND has them: give training_xyz.json")
    lists = document if _is_hand(document[0]) else document[0]
    joints = np.stack([points(each, JOINTS, f"{path}: entry {row}") for row, each in enumerate(lists)]) * MM_PER_M
    where = [f"{path}: entry {row}" for row in range(len(joints))]
    check_millimetres(joints, where, predicted=predicted)
    folder = path.name.split("_")[0]
    names = _names_beside(path.parent, len(joints))
    keys: list[tuple[Parts, ...]] = [
        ((*parts_of(path.resolve().parent, suffix=False), folder, "rgb", f"{row:0{FREIHAND_DIGITS}d}"),)
        if names is None
        else (parts_of(names[row], suffix=False),)
        for row in range(len(joints))
    ]
    return _frames(FREIHAND, joints, keys)


def is_freihand(document: Any) -> bool:
    """Whether a JSON document is a list of hands, or such a list and one of vertices, as in pred.json."""
    if not isinstance(document, list) or not document:
        return False
    first = document[0]
    return _is_hand(first) or (len(document) == 2 and isinstance(first, list) and bool(first) and _is_hand(first[0]))


def _is_hand(entry: Any) -> bool:
    """Whether an entry looks like a hand: 21 lists of three."""
    return isinstance(entry, list) and len(entry) == JOINTS and isinstance(entry[0], list) and len(entry[0]) == 3


def read_dexycb(folder: Path, progress: ReadProgress = silent) -> Frames:
    """Read the label files of DexYCB in a folder and in folders in it; images without a hand are left out.

    Raises LabelError.
    """
    files = sorted(folder.rglob(DEXYCB_PATTERN))
    names = _names_beside(folder, len(files))
    joints, keys, empty = [], list[tuple[Parts, ...]](), 0
    for row, file in enumerate(files):
        hand = _dexycb_joints(file)
        if hand is None:
            empty += 1
        else:
            joints.append(hand)
            keys.append(_dexycb_keys(file) if names is None else (parts_of(names[row], suffix=False),))
        progress("labels", row + 1, len(files))
    if not joints:
        raise LabelError(f"{folder}: none of the {len(files)} label files of DexYCB shows a hand: change TRUTH")
    millimetres = np.stack(joints)
    check_millimetres(millimetres, ["/".join(key[0]) for key in keys])
    notes = (f"{empty} of {len(files)} images of DexYCB show no hand and were left out.",) if empty else ()
    return _frames(DEXYCB, millimetres, keys, notes)


def _dexycb_joints(file: Path) -> Floats | None:
    """Joints (21, 3) mm of a file, None where there is no hand. Raises LabelError."""
    try:
        joints = read_arrays(file, {"joint_3d": ArraySpec("number", (1, JOINTS, 3), gaps=True)})[0]["joint_3d"]
    except UnreadableError as error:
        raise LabelError(f"{file} is no label file of DexYCB: it {error}; change TRUTH, or move it out") from error
    joints = joints.astype(np.float64)
    return None if (joints == NO_HAND).all() else joints[0] * MM_PER_M


def _dexycb_keys(file: Path) -> tuple[Parts, ...]:
    """The names of a label file's images."""
    folder = parts_of(file.resolve().parent, suffix=False)
    number = file.stem.removeprefix("labels_")
    return tuple((*folder, f"{kind}{number}") for kind in (DEXYCB_IMAGE, "color_", ""))


def read_interhand(folder: Path, joints_file: Path) -> Frames:
    """Read the images of single hands of InterHand2.6M; those of two hands are left out. Raises LabelError."""
    stem = joints_file.name.removesuffix("_joint_3d.json")
    documents = [
        read_json(folder / f"{stem}_{part}.json", "TRUTH", LABELS_BYTES) for part in ("data", "camera", "joint_3d")
    ]
    images, cameras, joints = documents
    names = _names_beside(folder, len(images.get("images", []))) if isinstance(images, dict) else None
    try:
        by_id = {image["id"]: (row, image) for row, image in enumerate(images["images"])}
        hands, keys, others = [], list[tuple[Parts, ...]](), 0
        for annotation in images["annotations"]:
            row, image = by_id[annotation["image_id"]]
            side = annotation["hand_type"]
            capture = str(image["capture"])
            world = joints[capture][str(image["frame_idx"])]
            start = {"right": 0, "left": JOINTS}.get(side)
            valid = np.ravel(world["joint_valid"])
            if start is None or not valid[start : start + JOINTS].all():
                others += 1
                continue
            rows = start + np.array(INTERHAND_ROWS)
            view, camera = cameras[capture], str(image["camera"])
            rotation = points(view["camrot"][camera], 3, capture)
            place = points(world["world_coord"], 2 * JOINTS, capture)[rows]
            place -= points([view["campos"][camera]], 1, capture)
            hands.append(place @ rotation.T)
            keys.append((parts_of(str(image["file_name"])) if names is None else parts_of(names[row], suffix=False),))
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise LabelError(
            f"{joints_file}: not as InterHand2.6M has it ({error!r}); correct it or change TRUTH"
        ) from error
    if not hands:
        raise LabelError(f"{joints_file} has no image of a single hand with all joints: change TRUTH")
    in_order = np.stack(hands)[:, [KEYPOINT_NAMES.index(name) for name in INTERHAND.joints]]
    check_millimetres(in_order, ["/".join(key[0]) for key in keys])
    notes = (f"{others} images of two hands, or without all joints, were left out.",) if others else ()
    return _frames(INTERHAND, in_order, keys, notes)


def _names_beside(folder: Path, count: int) -> tuple[str, ...] | None:
    """What names.txt calls the frames, if it is there. Raises LabelError where it names another number of them."""
    file = folder / NAMES_NAME
    if not is_file(file):
        return None
    try:
        names = tuple(line.strip() for line in read_text(file).splitlines() if line.strip())
    except UnreadableError as error:
        raise LabelError(f"{file} {error}: correct or remove it") from error
    if len(names) != count:
        raise LabelError(f"{file} names {len(names)} frames of {count}: correct or remove it")
    return names


def _frames(
    joint_set: JointSet, joints_mm: Floats, keys: Sequence[tuple[Parts, ...]], notes: tuple[str, ...] = ()
) -> Frames:
    names = tuple("/".join(key[0][-3:]) for key in keys)
    return Frames(joint_set, names, tuple(keys), joint_set.joints, joints_mm, notes=notes)
