"""Text files of labels or predictions: one frame a line, an image name or none, then three numbers for each joint.

| set  | numbers a line | as published                                                                      |
|------|----------------|-----------------------------------------------------------------------------------|
| NYU  | 42, or 108     | joint_data.mat; as text the 14 evaluated joints, or all 36, in u, v, d            |
| ICVL | 48             | labels.txt, test_seq_N.txt: image name, then u, v in pixels and d in mm           |
| MSRA | 63             | joint.txt: a first line with the count of frames, then x, y, z in mm, y up, z < 0 |

The number of joints tells the sets apart. Text exports of predictions usually hold u, v, d without names, line by line
in the order of the test set (so do those collected in xinghaochen/awesome-hand-pose-estimation on GitHub, against whose
label files the NYU and ICVL rows were checked; the MSRA row is that of the database's readme and of DeepPrior's
importer). Pixels become mm by x = (u - cx) d / fx, y = (v - cy) d / fy with the set's camera: handopt's presets nyu,
icvl, msra.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from handopt import files
from handopt.errors import LabelError
from handopt.evaluation.frames import Frames, check_millimetres, parts_of
from handopt.evaluation.mapping import ICVL, MSRA, NYU, JointSet
from handopt.typing import Floats, Parts, Reals

if TYPE_CHECKING:
    from handopt.input.camera import Camera


COORDINATES: Final = ("auto", "uvd", "xyz", "camera")
SETS_BY_COUNT: Final = {3 * len(each.joints): each for each in (NYU, ICVL, MSRA)} | {3 * NYU.wide: NYU}
MAT_SUFFIX: Final = ".mat"
MAX_LABEL_BYTES: Final = 512 * 2**20
"""Of a file of labels; NYU's joint_data.mat has 28 MiB."""
_COUNT = re.compile("[0-9]{1,12}")
MOST: Final = 0.9


@dataclass(frozen=True)
class Table:
    """What a text file holds. numbers: (N, 3 J). names: image names, or None. lines: line of each frame, from 1."""

    path: Path
    numbers: Floats
    names: tuple[str, ...] | None
    lines: tuple[int, ...]

    def where(self, frame: int) -> str:
        """A frame's place, for messages."""
        return f"{self.path}, line {self.lines[frame]}"


def read_text(
    path: Path,
    *,
    joint_set: JointSet | None = None,
    coordinates: str = "auto",
    camera: "Camera | None" = None,
    predicted: bool = False,
    argument: str = "coordinates=",
) -> Frames:
    """Read a text file, or the joint_data.mat of the NYU set, as frames in the camera frame, mm.

    joint_set: which set it must be; None takes what the count of numbers says. coordinates: 'uvd' pixels and mm, 'xyz'
    the set's own axes in mm, 'camera' x right, y down, z forward in mm, or 'auto' to tell by the numbers. camera: for
    pixels, in place of the set's own. predicted: frames may hold NaN or be wild. argument: what to name where
    coordinates are wrong. Raises LabelError.
    """
    table = _read_mat(path) if path.suffix.lower() == MAT_SUFFIX else parse(path)
    found = SETS_BY_COUNT[table.numbers.shape[1]]
    if joint_set is not None and joint_set is not found:
        raise LabelError(
            f"{path} has {table.numbers.shape[1]} numbers a line, as {found.title} ({found.name}) has, but it should "
            f"be {joint_set.title} ({joint_set.name}, {3 * len(joint_set.joints)} numbers); change joint_set= or the "
            "file"
        )
    joints = table.numbers.reshape(len(table.numbers), -1, 3)
    if joints.shape[1] == found.wide:
        joints = joints[:, found.full]
    chosen = _set_camera(found, camera)
    share = MOST if predicted else 1.0
    system = tell_coordinates(joints, found, chosen, share) if coordinates == "auto" else coordinates
    if system == "":
        raise LabelError(
            f"{path}: the joints are neither pixels and mm in the image of the camera ({chosen.source}) nor mm in the "
            f"axes of {found.title}; say what they are with {argument}, or give camera="
        )
    millimetres = to_camera(joints, system, found, chosen, argument)
    check_millimetres(millimetres, [table.where(frame) for frame in range(len(joints))], predicted=predicted)
    said = {"uvd": f"u, v in pixels of {chosen.source} and d in mm", "xyz": "mm in the set's own axes"}
    notes = (
        f"{path} holds {found.title} joints, {said.get(system, 'mm in the camera frame')} ({argument} changes this).",
    )
    keys, names = _known_as(table, found)
    return Frames(
        found,
        names,
        keys,
        found.joints,
        millimetres,
        ordered=table.names is None,
        notes=notes if coordinates == "auto" else (),
    )


def tell_coordinates(joints: Floats, joint_set: JointSet, camera: "Camera", share: float = 1.0) -> str:
    """What joints (N, J, 3) are, from the middle of each hand: 'uvd', 'xyz', or '' if neither lies in the image.

    Pixels, if the middles lie inside of the image as they stand, at positive depths; else the set's own axes, if they
    project there. Hands that fit both are taken for pixels. share: how many of the hands must agree.
    """
    middles = joints[np.isfinite(joints).all(axis=(1, 2))].mean(axis=1)
    if _inside(middles[:, :2], camera, share) and (middles[:, 2] > 0).sum() >= share * len(middles):
        return "uvd"
    own = joint_set.own_axes
    if own is not None and _inside(camera.project(middles * own), camera, share):
        return "xyz"
    return ""


def to_camera(
    joints: Floats, system: str, joint_set: JointSet, camera: "Camera", argument: str = "coordinates="
) -> Floats:
    """Joints (N, J, 3) in a system as the camera frame has them, mm. Raises LabelError."""
    if system == "uvd":
        depth = joints[..., 2]
        x = (joints[..., 0] - camera.cx) * depth / camera.fx
        y = (joints[..., 1] - camera.cy) * depth / camera.fy
        return np.stack([x, y, depth], axis=-1)
    if system == "xyz":
        if joint_set.own_axes is None:
            raise LabelError(f"{joint_set.title} has no axes of its own: use {argument} uvd or camera")
        return np.asarray(joints * joint_set.own_axes)
    return joints


def parse(path: Path) -> Table:
    """Read the lines of a text file; blank ones are skipped. Raises LabelError."""
    try:
        text = files.read_text(path, MAX_LABEL_BYTES)
    except files.UnreadableError as error:
        raise LabelError(f"{path} cannot be read as labels: {error.reason}; give a text file or a folder") from error
    rows: list[list[float]] = []
    names: list[str] = []
    lines: list[int] = []
    announced: int | None = None
    for line, content in enumerate(text.splitlines(), 1):
        words = content.replace(",", " ").split()
        if not words:
            continue
        if len(words) == 1 and _COUNT.fullmatch(words[0]) and not rows and announced is None:
            announced = int(words[0])
            continue
        name, numbers = _numbers(words, f"{path}, line {line}")
        if rows and (len(numbers) != len(rows[0]) or (name is None) == bool(names)):
            raise LabelError(
                f"{path}, line {line}: {len(words)} entries where the lines before have {len(rows[0]) + bool(names)}; "
                "is the file truncated or mixed? correct or remove the line"
            )
        rows.append(numbers)
        lines.append(line)
        names += [] if name is None else [name]
    if not rows:
        raise LabelError(f"{path} holds no frames: give a file with one frame a line")
    if announced is not None and announced != len(rows):
        raise LabelError(
            f"{path} announces {announced} frames and holds {len(rows)}: it is truncated; correct its first line"
        )
    return Table(path, np.array(rows), tuple(names) or None, tuple(lines))


def read_names(path: Path) -> tuple[str, ...]:
    """Read a list of image names, one a line. Raises LabelError."""
    try:
        text = files.read_text(path)
    except files.UnreadableError as error:
        raise LabelError(f"{path} cannot be read as a list of names ({error.reason}): change names=") from error
    names = tuple(line.strip() for line in text.splitlines() if line.strip())
    if not names:
        raise LabelError(f"{path} holds no names: names= needs one image name a line")
    return names


def _numbers(words: list[str], where: str) -> tuple[str | None, list[float]]:
    """An image name or None, and the numbers of a line."""
    named = len(words) - 1 in SETS_BY_COUNT
    if len(words) not in SETS_BY_COUNT and not named:
        counts = ", ".join(f"{count} ({each.name})" for count, each in SETS_BY_COUNT.items())
        raise LabelError(
            f"{where}: {len(words)} entries; expected three numbers for each joint of a set, {counts}, after an image "
            "name or none; is the file truncated?"
        )
    numbers = []
    for word in words[named:]:
        try:
            numbers.append(float(word))
        except ValueError:
            raise LabelError(f"{where}: {word[:40]!r} is not a number; correct or remove the line") from None
    return (words[0] if named else None), numbers


def _known_as(table: Table, joint_set: JointSet) -> tuple[tuple[tuple[Parts, ...], ...], tuple[str, ...]]:
    """Keys and names of the frames: the file's own, or those that the images of its line have in the data set."""
    if table.names is not None:
        return tuple((parts_of(name),) for name in table.names), tuple("/".join(parts_of(name)) for name in table.names)
    stems: list[tuple[str, ...]]
    if joint_set is MSRA:
        stems = [(f"{index:06d}_depth", f"{index:06d}") for index in range(len(table.numbers))]
        folder = parts_of(files.resolved(table.path).parent, suffix=False)
        return tuple(tuple((*folder, stem) for stem in each) for each in stems), tuple(each[0] for each in stems)
    if joint_set is NYU:
        stems = [(f"depth_1_{index + 1:07d}",) for index in range(len(table.numbers))]
    else:
        stems = [(f"line {line}",) for line in table.lines]
    return tuple(tuple((stem,) for stem in each) for each in stems), tuple(each[0] for each in stems)


def _read_mat(path: Path) -> Table:
    """Read joint_uvd (3, N, 36, 3) of the NYU set's joint_data.mat, the first camera's. Raises LabelError."""
    from scipy.io import loadmat

    try:
        with files.open_regular(path, MAX_LABEL_BYTES) as file:
            values = np.asarray(loadmat(file, variable_names=["joint_uvd"])["joint_uvd"])
        if values.dtype.kind not in "fiu":
            raise TypeError(f"it holds values of type {values.dtype}")
        values = values.astype(np.float64)
    except Exception as error:  # SciPy and zlib raise almost anything on damaged files
        raise LabelError(
            f"{path} cannot be read as the NYU set's joint_data.mat with joint_uvd: give a text file"
        ) from error
    if values.ndim != 4 or values.shape[2:] != (NYU.wide, 3) or 0 in values.shape:
        raise LabelError(f"{path}: joint_uvd has shape {values.shape}, expected (cameras, frames, {NYU.wide}, 3)")
    numbers = values[0].reshape(values.shape[1], -1)
    return Table(path, numbers, None, tuple(range(1, len(numbers) + 1)))


def _set_camera(joint_set: JointSet, camera: "Camera | None") -> "Camera":
    from handopt.input.camera_spec import load_camera

    assert joint_set.camera is not None
    return camera or load_camera(joint_set.camera)


def _inside(pixels: Reals, camera: "Camera", share: float) -> bool:
    """Whether that share of pixels (N, 2), all if there are none, lies within the image."""
    inside = ((pixels >= -0.5) & (pixels <= (camera.width - 0.5, camera.height - 0.5))).all(axis=1)
    return bool(np.count_nonzero(inside) >= share * len(pixels))
