"""Labels to score against: the synthetic layout, the NYU set in it, and the data sets' own files."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from handopt.errors import LabelError
from handopt.evaluation.coco import is_coco, read_coco
from handopt.evaluation.documents import (
    LABELS_BYTES,
    RESULT_FORMAT,
    joint_names,
    points,
    read_json,
    silent,
)
from handopt.evaluation.frames import Frames, check_millimetres, listed, parts_of
from handopt.evaluation.keypoint_sets import (
    DEXYCB_PATTERN,
    FREIHAND_FILES,
    NAMES_NAME,
    is_freihand,
    read_dexycb,
    read_freihand,
    read_interhand,
)
from handopt.evaluation.mapping import (
    COCO,
    DEXYCB,
    FREIHAND,
    INTERHAND,
    JOINT_SETS,
    KEYPOINTS,
    MSRA,
    NYU,
    JointSet,
)
from handopt.evaluation.tables import is_table, read_table
from handopt.evaluation.text import read_names, read_text
from handopt.files import exists, is_file, is_folder, resolved
from handopt.input.depth import without_masks
from handopt.input.timestamps import time_of
from handopt.rig.joints import KEYPOINT_NAMES
from handopt.typing import Bools, Floats, ReadProgress

if TYPE_CHECKING:
    from handopt.input.camera import Camera


KEYPOINT_SETS: Final = (FREIHAND, COCO, DEXYCB, INTERHAND, KEYPOINTS)
MANIFEST_NAME, MANIFEST_FORMAT = "export.json", "handopt.export/"
FOLDERS_OF_LABELS: Final = ("freihand", "interhand", "dexycb")
TEXT_SUFFIXES: Final = (".txt", ".mat")
CAMERA_NAME: Final = "camera.json"
PREDICTED_NAME: Final = "pred.json"
MSRA_PATTERNS: Final = ("joint.txt", "*/joint.txt", "*/*/joint.txt")


def read_labels(
    path: Path,
    *,
    joint_set: str | None = None,
    coordinates: str = "auto",
    camera: "Camera | None" = None,
    names: Path | None = None,
    progress: ReadProgress = silent,
) -> Frames:
    """Read labels.

    path: a folder with NAME.json files that hold joints_mm (21 keypoints, and visible) or joint_names and joints_xyz_mm
    (NYU), in it or in folders in it (easy, medium, hard); one such file; a text file of NYU, ICVL or MSRA; a folder
    of MSRA joint.txt files; what read_keypoint_set reads; or what handopt export wrote. joint_set: the set's name, None
    to tell by the files. coordinates, camera: of text files, see read_text. names: a file with the image name of every
    line of a text file. progress: called with "labels", how many files of a folder are read, and how many there are.
    Raises LabelError.
    """
    wanted = None if joint_set is None else JOINT_SETS[joint_set]
    path = Path(path)
    exported = exported_labels(path)
    if exported is not None:
        path = exported
        names, camera = names or _beside(path, NAMES_NAME), camera or _camera_beside(path)
    other = read_keypoint_set(path, progress) if wanted in (None, KEYPOINTS, *KEYPOINT_SETS) else None
    if other is not None:
        frames = other
    elif is_folder(path):
        frames = _read_folder(path, wanted, coordinates, camera, progress)
    elif path.suffix.lower() == ".json":
        frames = _read_documents([path], path.parent, wanted, f"{path} holds no joints_mm and no joints_xyz_mm")
    else:
        frames = read_text(path, joint_set=_text_set(wanted, path), coordinates=coordinates, camera=camera)
    if wanted is not None and frames.joint_set is not wanted and frames.joint_set not in KEYPOINT_SETS:
        raise LabelError(f"{path} holds {frames.joint_set.title}, not joint_set='{wanted.name}': change it or TRUTH")
    return frames if names is None else _named(frames, read_names(names), names)


def read_keypoint_set(path: Path, progress: ReadProgress = silent, *, predicted: bool = False) -> Frames | None:
    """Labels of 21 joints in the files of other sets, or None where a path holds none of these.

    A folder or a file of FreiHAND, DexYCB or InterHand2.6M, a file in the format of COCO, or a table or arrays that
    handopt export wrote. predicted: most hands must be sound, not all. Raises LabelError.
    """
    if is_folder(path):
        lists = [path / name for name in FREIHAND_FILES if is_file(path / name)]
        if len(lists) > 1:
            raise LabelError(f"{path} holds {listed([file.name for file in lists])}: give one of these files")
        if lists:
            return read_freihand(lists[0], predicted=predicted)
        if joints := sorted(path.glob("*_joint_3d.json")):
            return read_interhand(path, joints[0])
        return read_dexycb(path, progress) if next(path.rglob(DEXYCB_PATTERN), None) else None
    if is_table(path):
        return read_table(path, predicted=predicted)
    if path.suffix.lower() != ".json" or not is_file(path):
        return None
    if path.name.endswith("_joint_3d.json"):
        return read_interhand(path.parent, path)
    if path.name in FREIHAND_FILES or path.name == PREDICTED_NAME:
        return read_freihand(path, predicted=predicted)
    document = read_json(path, "PRED" if predicted else "TRUTH", LABELS_BYTES)
    if is_freihand(document):
        return read_freihand(path, predicted=predicted)
    return read_coco(path, document) if is_coco(document) else None


def exported_labels(path: Path) -> Path | None:
    """Where the labels of a folder that handopt export wrote are, or of a file in one; else None. Raises LabelError."""
    folder = path if is_folder(path) else path.parent
    manifest = folder / MANIFEST_NAME
    if not is_file(manifest):
        return None
    document = read_json(manifest, "TRUTH")
    if not isinstance(document, dict) or not str(document.get("format", "")).startswith(MANIFEST_FORMAT):
        return None
    file = folder / str(document.get("file", ""))
    if document.get("labels") in FOLDERS_OF_LABELS and is_folder(path):
        return folder
    return file if is_folder(path) else path


def _beside(path: Path, name: str) -> Path | None:
    """A file in the folder of labels that need it: text files, whose lines have no names."""
    file = path.parent / name
    return file if path.suffix.lower() in TEXT_SUFFIXES and is_file(file) else None


def _camera_beside(path: Path) -> "Camera | None":
    from handopt.input.camera_spec import load_camera

    file = _beside(path, CAMERA_NAME)
    return None if file is None else load_camera(str(file))


def _read_folder(
    folder: Path, wanted: JointSet | None, coordinates: str, camera: "Camera | None", progress: ReadProgress
) -> Frames:
    joint_files = sorted(chain.from_iterable(folder.glob(pattern) for pattern in MSRA_PATTERNS))
    if joint_files and wanted in (None, MSRA):
        parts = [read_text(file, joint_set=MSRA, coordinates=coordinates, camera=camera) for file in joint_files]
        names = tuple(
            "/".join((*parts_of(file.parent.relative_to(folder), suffix=False), name))
            for file, frames in zip(joint_files, parts, strict=True)
            for name in frames.names
        )
        return replace(
            parts[0],
            names=names,
            keys=tuple(key for frames in parts for key in frames.keys),
            joints_mm=np.concatenate([frames.joints_mm for frames in parts]),
        )
    files = sorted(file for file in chain(folder.glob("*.json"), folder.glob("*/*.json")) if file.name[0] != ".")
    empty = (
        f"{folder} holds no labels: TRUTH needs NAME.json files with joints_mm or joints_xyz_mm, in it or in folders "
        "in it, or is a text file of NYU, ICVL or MSRA labels, or labels of FreiHAND, COCO, DexYCB or InterHand2.6M"
    )
    if wanted is not None:
        empty = f"{folder} holds no labels of {wanted.title}, as joint_set='{wanted.name}' says: change it or TRUTH"
    frames = _read_documents(files, folder, wanted, empty, progress)
    labelled = set(frames.names)
    images = without_masks(chain(folder.glob("*.png"), folder.glob("*/*.png")))
    bare = sorted(str(image) for image in images if "/".join(parts_of(image.relative_to(folder))) not in labelled)
    return replace(frames, notes=(f"Images without labels, left out: {listed(bare)}.",)) if bare else frames


def _read_documents(
    files: Sequence[Path], root: Path, wanted: JointSet | None, empty: str, progress: ReadProgress = silent
) -> Frames:
    """Frames of JSON files, those without joints left out."""
    labels = []
    for number, file in enumerate(files, 1):
        if (document := _document_joints(file, wanted)) is not None:
            labels.append((file, document))
        progress("labels", number, len(files))
    if not labels:
        raise LabelError(empty)
    sets = {each[0].name: file for file, each in labels}
    if len(sets) > 1:
        raise LabelError(
            f"{' and '.join(str(file) for file in sets.values())} are labels of different sets ({', '.join(sets)}): "
            "choose one with joint_set="
        )
    joint_set, joints = labels[0][1][:2]
    for file, each in labels:
        if set(each[1]) != set(joints):
            raise LabelError(f"{file} and {labels[0][0]} label different joints: score them apart")
    orders = [[each[1].index(name) for name in joints] for _, each in labels]
    millimetres = np.stack([each[2][order] for order, (_, each) in zip(orders, labels, strict=True)])
    check_millimetres(millimetres, [str(file) for file, _ in labels])
    seen, times = [each[3] for _, each in labels], [each[4] for _, each in labels]
    visible = None
    if any(each is not None for each in seen):
        rows = [np.ones(len(joints), bool) if each is None else each for each in seen]
        visible = np.stack([row[order] for order, row in zip(orders, rows, strict=True)])
    return Frames(
        joint_set,
        tuple("/".join(parts_of(file.relative_to(root))) for file, _ in labels),
        tuple((parts_of(resolved(file).parent / file.name),) for file, _ in labels),
        joints,
        millimetres,
        visible,
        time_s=np.array(times, np.float64) if None not in times else None,
    )


Document = tuple[JointSet, tuple[str, ...], Floats, Bools | None, float | None]


def _document_joints(file: Path, wanted: JointSet | None) -> Document | None:
    """Set, names, joints (J, 3), visibility (J,) and time in a JSON file; None if it holds none of the wanted set."""
    document = read_json(file, "TRUTH")
    if not isinstance(document, dict) or str(document.get("format", "")).startswith(RESULT_FORMAT):
        return None
    if "joints_mm" in document and wanted in (None, KEYPOINTS):
        joints = joint_names(
            document.get("keypoints", list(KEYPOINT_NAMES)), KEYPOINT_NAMES, f"{file}: keypoints", all_of=True
        )
        values = points(document["joints_mm"], len(joints), f"{file}: joints_mm")
        return KEYPOINTS, joints, values, _visibility(document, len(joints), file), time_of(document)
    if "joints_xyz_mm" in document and wanted in (None, NYU):
        joints = joint_names(document.get("joint_names"), NYU.joints, f"{file}: joint_names", all_of=False)
        values = points(document["joints_xyz_mm"], len(joints), f"{file}: joints_xyz_mm")
        return NYU, joints, values, _visibility(document, len(joints), file), time_of(document)
    return None


def _visibility(document: dict[str, Any], count: int, file: Path) -> Bools | None:
    """Which joints (count,) are visible, None where nobody said; data sets from elsewhere say `visible`."""
    key = next((key for key in ("joint_visible", "visible") if document.get(key) is not None), None)
    if key is None:
        return None
    value = document[key]
    if not isinstance(value, list) or len(value) != count or not all(isinstance(each, bool) for each in value):
        raise LabelError(f"{file}: {key}: expected {count} times true or false; correct the file")
    return np.array(value, dtype=bool)


def _text_set(wanted: JointSet | None, path: Path) -> JointSet | None:
    if wanted is KEYPOINTS:
        raise LabelError(
            f"{path}: labels in the synthetic layout are JSON files in a folder; change joint_set= or TRUTH"
        )
    if not exists(path):
        raise LabelError(f"{path} does not exist: TRUTH is a folder of labels or a text file")
    return wanted


def _named(frames: Frames, names: tuple[str, ...], file: Path) -> Frames:
    if len(names) != len(frames.names):
        raise LabelError(f"{file} names {len(names)} images and TRUTH has {len(frames.names)} frames: change names=")
    keys = tuple((parts_of(name),) for name in names)
    return replace(frames, names=tuple("/".join(key[0]) for key in keys), keys=keys, ordered=False)
