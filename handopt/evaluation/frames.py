"""Frames with joints, true or predicted, and which of them belong together."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

import numpy as np

from handopt.errors import LabelError
from handopt.evaluation.mapping import JointSet
from handopt.typing import Bools, Floats, Indices, Parts

if TYPE_CHECKING:
    from handopt.input.camera import Camera

LEVELS: Final = ("easy", "medium", "hard")
DEPTH_RANGE_MM: Final = (50.0, 5000.0)
SHOWN: Final = 5


@dataclass(frozen=True)
class Frames:
    """Joints of N frames in the camera frame (x right, y down, z forward), mm.

    names: what each frame is called in tables. keys: for each frame the paths, in parts and without suffix, by which it
    may be known; the last part is the image's stem. joints: J names. joints_mm: (N, J, 3); NaN in predictions that
    failed. visible: (N, J) booleans, or None where nobody said. confidence: (N,) 0 .. 1, NaN where a prediction has
    none. ordered: whether frames are told apart by their place in the file only. time_s: (N,) where they are those of a
    sequence. notes: sentences on what was assumed. pixels: (N, J, 2) of labels that have no depth, whose joints_mm are
    NaN. cameras: of N predictions, None where one does not say it.
    """

    joint_set: JointSet
    names: tuple[str, ...]
    keys: tuple[tuple[Parts, ...], ...]
    joints: tuple[str, ...]
    joints_mm: Floats
    visible: Bools | None = None
    confidence: Floats | None = None
    ordered: bool = False
    time_s: Floats | None = None
    notes: tuple[str, ...] = field(default=())
    pixels: Floats | None = None
    cameras: "tuple[Camera | None, ...] | None" = None


def parts_of(path: str | Path, *, suffix: bool = True) -> Parts:
    """The parts of a path; backslashes separate too. suffix: whether the last part has one, to be left out."""
    parts = [part for part in PurePosixPath(str(path).replace("\\", "/")).parts if part != "/"]
    if parts and suffix:
        parts[-1] = PurePosixPath(parts[-1]).stem
    return tuple(parts)


def check_millimetres(joints_mm: Floats, where: Sequence[str], *, predicted: bool = False) -> None:
    """Refuse joints (N, J, 3) that no depth camera in mm could see. where: a place to name for each frame.

    predicted: frames may be missing (NaN) or wild, but most must be sound. Raises LabelError.
    """
    low, high = DEPTH_RANGE_MM
    known = np.isfinite(joints_mm).all(axis=(1, 2))
    if not predicted and not known.all():
        raise LabelError(f"{where[int(np.argmin(known))]}: not all numbers are finite; correct or remove this frame")
    depths = joints_mm[..., 2]
    wrong = known & ((depths < low) | (depths > high)).any(axis=1)
    if wrong.sum() > (known.sum() / 2 if predicted else 0):
        frame = int(np.argmax(wrong))
        depth = float(next(each for each in depths[frame] if not low <= each <= high))
        hint = " (metres? multiply by 1000)" if 0 < depth < low else " (other axes?)" if depth < 0 else ""
        raise LabelError(
            f"{where[frame]}: a joint at a depth of {depth:g} mm{hint}; joints must be in mm, {low:g} to {high:g} "
            "before the camera"
        )


def overlap(first: Sequence[Parts], second: Sequence[Parts]) -> int:
    """How many trailing parts two frames share, 0 if not even the stem or if they name different levels."""
    return max((_common(one, other) for one in first for other in second), default=0)


def _common(one: Parts, other: Parts) -> int:
    count = 0
    while count < min(len(one), len(other)) and one[-1 - count] == other[-1 - count]:
        count += 1
    levels = {parts[-2] for parts in (one, other) if len(parts) > 1 and parts[-2] in LEVELS}
    return 0 if count == 1 and len(levels) > 1 else count


def match(truth: Frames, predicted: Frames) -> Indices:
    """For each frame of the truth the row of its prediction (N,), or -1.

    Frames without names pair by their place, and then the counts must agree. Others pair by their stem and the folder
    above it (level/stem) where any do, and else by the stem alone; among several, the longest common path wins. Raises
    LabelError where a pair is ambiguous.
    """
    if predicted.ordered:
        if len(predicted.names) != len(truth.names):
            raise LabelError(
                f"PRED holds {len(predicted.names)} frames without names and TRUTH {len(truth.names)}: they can only "
                "be paired line by line, so give one line for every frame of TRUTH, in its order"
            )
        return np.arange(len(truth.names))
    best = _best_pairs(truth, predicted)
    needed = 2 if any(length >= 2 for length, _ in best) else 1
    claims: defaultdict[int, list[tuple[int, int]]] = defaultdict(list)
    for row, (length, frames) in enumerate(best):
        if length < needed:
            continue
        if len(frames) > 1:
            raise LabelError(
                f"{predicted.names[row]} may be a prediction of {listed([truth.names[frame] for frame in frames])}: "
                "put the results of each folder of TRUTH into a folder of the same name (level/stem), or score them "
                "apart"
            )
        claims[frames[0]].append((length, row))
    rows = np.full(len(truth.names), -1, np.intp)
    for frame, rivals in claims.items():
        winners = [row for length, row in rivals if length == max(rivals)[0]]
        if len(winners) > 1:
            raise LabelError(
                f"{listed([predicted.names[row] for row in winners])} are all predictions of {truth.names[frame]}: "
                "keep one of them in PRED, or name folders as in TRUTH (level/stem)"
            )
        rows[frame] = winners[0]
    return rows


def _best_pairs(truth: Frames, predicted: Frames) -> list[tuple[int, list[int]]]:
    """For each prediction the length of the longest common path, and the frames of the truth that share it."""
    by_tail: defaultdict[Parts, set[int]] = defaultdict(set)
    for frame, keys in enumerate(truth.keys):
        for key in keys:
            by_tail[key[-1:]].add(frame)
            by_tail[key[-2:]].add(frame)
    best = []
    for keys in predicted.keys:
        near: set[int] = set().union(*(by_tail.get(key[-2:], ()) for key in keys))
        candidates = near or set().union(*(by_tail.get(key[-1:], ()) for key in keys))
        lengths = {frame: overlap(truth.keys[frame], keys) for frame in candidates}
        longest = max(lengths.values(), default=0)
        best.append((longest, sorted(frame for frame, length in lengths.items() if length == longest)))
    return best


def listed(names: Sequence[str]) -> str:
    """Names with commas between them, shortened to the first few."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
