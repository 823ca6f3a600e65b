"""The label files of NYU, ICVL and MSRA, whose layouts handopt.evaluation.text reads and names the sources of.

Their joints are made from our keypoints by handopt.evaluation.mapping. Pixels need the one camera that the images
share; it is written to camera.json, and the images' names to names.txt.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from handopt.errors import OutputError
from handopt.evaluation.mapping import ICVL, MSRA, NYU, JointSet, map_keypoints
from handopt.export.labels.records import LabelRecord, image_names
from handopt.input.camera import INTRINSICS, SAME_INTRINSIC_PX, Camera
from handopt.typing import Floats

DECIMALS: Final = 6
"""Of pixels and mm in text: a micrometre at arm's length is 0.0006 pixels."""


def write_nyu(records: Sequence[LabelRecord], folder: Path) -> list[str]:
    """Write joint_data.mat (one camera, 36 joints of which the 14 evaluated ones are known), and u, v, d as text."""
    from scipy.io import savemat

    camera = shared_camera(records, "nyu")
    joints = _mapped(records, NYU)
    pixels = uvd(joints, camera)
    full_uvd, full_xyz = (np.full((1, len(records), NYU.wide, 3), np.nan) for _ in range(2))
    full_uvd[0][:, list(NYU.full)] = pixels
    assert NYU.own_axes is not None
    full_xyz[0][:, list(NYU.full)] = joints * NYU.own_axes
    savemat(folder / "joint_data.mat", {"joint_uvd": full_uvd, "joint_xyz": full_xyz})
    _write_lines(folder / "joints_uvd.txt", pixels)
    return ["joint_data.mat has NaN for the 22 of NYU's 36 joints that are not evaluated: a hand does not define them."]


def write_icvl(records: Sequence[LabelRecord], folder: Path) -> list[str]:
    """Write labels.txt: image name, then 16 x u, v, d."""
    camera = shared_camera(records, "icvl")
    names = [name.replace(" ", "_") for name in image_names(records)]
    _write_lines(folder / "labels.txt", uvd(_mapped(records, ICVL), camera), names)
    return []


def write_msra(records: Sequence[LabelRecord], folder: Path) -> list[str]:
    """Write joint.txt: the number of images, then 21 x x, y, z with y up and z backwards."""
    assert MSRA.own_axes is not None
    shared_camera(records, "msra")
    _write_lines(folder / "joint.txt", _mapped(records, MSRA) * MSRA.own_axes, first=str(len(records)))
    return []


def uvd(joints_mm: Floats, camera: Camera) -> Floats:
    """u, v in pixels and d in mm of joints (..., 3) mm in the camera frame."""
    return np.concatenate([camera.project(joints_mm), joints_mm[..., 2:]], axis=-1)


def shared_camera(records: Sequence[LabelRecord], format: str) -> Camera:
    """The camera of all images. Raises OutputError where they have several."""
    first = records[0].camera
    for record in records:
        if any(abs(getattr(record.camera, key) - getattr(first, key)) > SAME_INTRINSIC_PX for key in INTRINSICS):
            raise OutputError(
                f"{records[0].name} and {record.name} have different cameras, and files of format='{format}' have one: "
                "export the images of each camera apart"
            )
    return first


def _mapped(records: Sequence[LabelRecord], joint_set: JointSet) -> Floats:
    return map_keypoints(np.stack([record.joints_mm for record in records]), joint_set)


def _write_lines(path: Path, joints: Floats, names: Sequence[str] | None = None, first: str = "") -> None:
    with path.open("w", encoding="utf-8") as file:
        if first:
            file.write(f"{first}\n")
        for row, numbers in enumerate(joints.reshape(len(joints), -1)):
            words = [] if names is None else [names[row]]
            file.write(" ".join((*words, *(f"{number:.{DECIMALS}f}" for number in numbers))) + "\n")
