"""The order of joints in each format, as one table: handopt/export/README.md shows it."""

from collections.abc import Iterator
from typing import Final

from handopt.evaluation.mapping import ICVL, INTERHAND_ROWS, MSRA, NYU, JointSet
from handopt.rig.joints import JOINT_TABLE, KEYPOINT_NAMES

HEADER: Final = ("keypoint", "row", "InterHand2.6M", "MSRA", "NYU, of 14", "NYU, of 36", "ICVL", "MANO", "WebXR")


def joint_orders() -> Iterator[tuple[str, ...]]:
    """A row for each keypoint: its name, and the row that it has in each set, empty where a set does not label it.

    The columns are those of HEADER. "row" is the order of handopt, FreiHAND, COCO and DexYCB; InterHand2.6M has the
    right hand's row, and the left hand's 21 rows later. A set that labels points between keypoints has them in rows of
    their own, see mixed_joints.
    """
    named = {joint.keypoint: joint for joint in JOINT_TABLE if joint.keypoint is not None}
    for row, name in enumerate(KEYPOINT_NAMES):
        nyu = _row(NYU, name)
        yield (
            name,
            str(row),
            f"{INTERHAND_ROWS[row]} / {INTERHAND_ROWS[row] + len(KEYPOINT_NAMES)}",
            _text(_row(MSRA, name)),
            _text(nyu),
            _text(None if nyu is None else NYU.full[nyu]),
            _text(_row(ICVL, name)),
            _text(named[name].mano),
            named[name].webxr,
        )


def mixed_joints(joint_set: JointSet) -> Iterator[tuple[int, str, str]]:
    """Row, name and meaning of the joints of a set that are no keypoint of their own."""
    for row, (name, mixture) in enumerate(joint_set.mixtures.items()):
        offset = joint_set.offsets_mm.get(name)
        if len(mixture) > 1 or offset:
            parts = " + ".join(f"{share:.3g} {keypoint}" for keypoint, share in mixture.items())
            across = f" {'+' if offset > 0 else '-'} {abs(offset):g} mm to the little finger's side" if offset else ""
            yield row, name, parts + across


def _row(joint_set: JointSet, keypoint: str) -> int | None:
    """The row of the joint that is a keypoint itself."""
    for row, (name, mixture) in enumerate(joint_set.mixtures.items()):
        if mixture == {keypoint: 1.0} and name not in joint_set.offsets_mm:
            return row
    return None


def _text(row: int | None) -> str:
    return "" if row is None else str(row)
