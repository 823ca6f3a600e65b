"""The joints that each data set labels, and where they lie on a hand that has handopt's 21 keypoints.

No data set labels the rig's own joints. Each of its joints is written here, once and for every frame, as a mixture of
keypoints, and for the sides of the wrist an offset across the hand:

    joint_j = sum_k W_jk keypoint_k + offset_j * lateral,    sum_k W_jk = 1

Order and number of the joints were checked against the public evaluation files and code named with each set below.
Where the joints lie in the hand is written down by no data set; it was inferred, in the way that the comments say. What
is left over, up to a centimetre, is part of every error measured through such a mapping.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from handopt.errors import ShapeError
from handopt.rig.joints import DIGITS, KEYPOINT_NAMES
from handopt.typing import AnyArray, Floats

Mixture = Mapping[str, float]

FINGERS: Final = DIGITS[1:]

NYU_WRIST_HALF_WIDTH_MM: Final = 17.0
NYU_THUMB_BASE_MCP_SHARE: Final = 0.65
NYU_PALM_WRIST_SHARE: Final = 0.3
ICVL_PALM_WRIST_SHARE: Final = 0.37


@dataclass(frozen=True)
class JointSet:
    """The joints that a data set labels.

    mixtures: for each joint, in the order of the set's files, the shares (they sum to 1) of the keypoints it lies
    between. offsets_mm: for some joints, how far they lie to the little finger's side. camera: the preset of the set's
    images. own_axes: signs that take the set's own x, y, z in mm to the camera frame, where it has such coordinates.
    wide: joints per frame in the set's full labels, and full: the rows of them that are evaluated.
    """

    name: str
    title: str
    mixtures: Mapping[str, Mixture]
    offsets_mm: Mapping[str, float]
    camera: str | None = None
    own_axes: tuple[float, float, float] | None = None
    full: tuple[int, ...] = ()
    wide: int = 0

    @property
    def joints(self) -> tuple[str, ...]:
        """Names of the joints, in the order of the set's files."""
        return tuple(self.mixtures)

    @cached_property
    def weights(self) -> Floats:
        """W (J, 21): the share of each keypoint in each joint."""
        weights = np.zeros((len(self.mixtures), len(KEYPOINT_NAMES)))
        for row, mixture in enumerate(self.mixtures.values()):
            for name, share in mixture.items():
                weights[row, KEYPOINT_NAMES.index(name)] = share
        return weights


def lateral_direction(keypoints_mm: ArrayLike) -> Floats:
    """Unit vectors (..., 3) across hands, from the thumb's side to the little finger's, from keypoints (..., 21, 3) mm.

    The line from the index finger's MCP to the little finger's, less its part along the line from the wrist to the
    middle finger's MCP. It needs no rotation and no rig, so that it is the same rule for every prediction; on handopt's
    rig it is 7 degrees off the wrist's own axis, which moves the sides of the wrist by 2 mm. Zero where the points
    coincide.
    """
    keypoints = _checked(keypoints_mm)
    wrist, index, middle, pinky = (
        keypoints[..., KEYPOINT_NAMES.index(name), :] for name in ("wrist", "index_mcp", "middle_mcp", "pinky_mcp")
    )
    along = _unit(middle - wrist)
    across = pinky - index
    return _unit(across - (across * along).sum(axis=-1, keepdims=True) * along)


def map_keypoints(keypoints_mm: ArrayLike, joint_set: JointSet) -> Floats:
    """Joints (..., J, 3) mm of a data set on hands with keypoints (..., 21, 3) mm, in the order of joint_set.joints.

    Raises ShapeError.
    """
    keypoints = _checked(keypoints_mm)
    mapped: Floats = joint_set.weights @ keypoints
    if joint_set.offsets_mm:
        offsets = np.array([joint_set.offsets_mm.get(name, 0.0) for name in joint_set.joints])
        mapped = mapped + offsets[:, None] * lateral_direction(keypoints)[..., None, :]
    return mapped


def _checked(keypoints_mm: ArrayLike) -> Floats:
    keypoints: AnyArray = np.asarray(keypoints_mm)
    if keypoints.shape[-2:] != (len(KEYPOINT_NAMES), 3) or keypoints.dtype.kind not in "fiu":
        raise ShapeError(
            f"keypoints_mm: expected real numbers of shape (..., 21, 3), got {keypoints.dtype} {keypoints.shape}"
        )
    return keypoints.astype(np.float64)


def _unit(vectors: Floats) -> Floats:
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    unit: Floats = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)
    return unit


def _between(first: str, second: str, share: float = 0.5) -> Mixture:
    """The point that takes `share` from the second keypoint and the rest from the first."""
    return {first: 1.0 - share, second: share}


def _palm(wrist_share: float) -> Mixture:
    """A point between the wrist and the mean of the four fingers' MCP joints."""
    return {"wrist": wrist_share, **{f"{finger}_mcp": (1.0 - wrist_share) / 4 for finger in FINGERS}}


def _nyu() -> JointSet:
    """The 14 of 36 joints of the NYU Hand Pose set that are evaluated (Tompson, Stein, LeCun, Perlin, ACM TOG 2014).

    Rows 0, 3, 6, 9, 12, 15, 18, 21, 24, 25, 27, 30, 31, 32 of joint_data.mat, in this order: little finger first, tip
    before middle, then the thumb, both sides of the wrist, the palm. Rows, order and names agree in the public
    evaluation code xinghaochen/awesome-hand-pose-estimation and in code derived from DeepPrior (Oberweger et al., CVWW
    2015), and the order in the labels of the first test frame. The set's own x, y, z has y upwards and z forward (its
    convert_uvd_to_xyz.m). Positions: fingertips on our tips, the middle label of a finger on its PIP joint and of the
    thumb on its IP joint; the offsets of thumb base, wrist and palm were read off one labelled frame.
    """
    mixtures: dict[str, Mixture] = {}
    for finger in reversed(FINGERS):
        mixtures |= {f"{finger}_tip": {f"{finger}_tip": 1.0}, f"{finger}_mid": {f"{finger}_pip": 1.0}}
    mixtures |= {
        "thumb_tip": {"thumb_tip": 1.0},
        "thumb_mid": {"thumb_ip": 1.0},
        "thumb_base": _between("thumb_cmc", "thumb_mcp", NYU_THUMB_BASE_MCP_SHARE),
        "wrist_little_side": {"wrist": 1.0},
        "wrist_thumb_side": {"wrist": 1.0},
        "palm_centre": _palm(NYU_PALM_WRIST_SHARE),
    }
    return JointSet(
        name="nyu",
        title="NYU Hand Pose",
        mixtures=mixtures,
        offsets_mm={"wrist_little_side": NYU_WRIST_HALF_WIDTH_MM, "wrist_thumb_side": -NYU_WRIST_HALF_WIDTH_MM},
        camera="nyu",
        own_axes=(1.0, -1.0, 1.0),
        full=(0, 3, 6, 9, 12, 15, 18, 21, 24, 25, 27, 30, 31, 32),
        wide=36,
    )


def _icvl() -> JointSet:
    """The 16 points of the ICVL Hand Posture set (Tang, Chang, Tejani, Kim, CVPR 2014).

    The set's label description gives the order: palm, then root, middle and tip of thumb, index, middle, ring and
    little finger. They are not joints: in the public test labels the distance from root to middle falls from 29 to 25
    mm, and from 24 to 15 mm, where the finger bends by 90 degrees, as it does between the middles of two phalanges and
    not along a bone. So root, middle and tip lie halfway along the proximal, middle and distal phalanx (the thumb:
    metacarpal, proximal, distal). Our tip keypoints, 10 to 13 mm below the skin, are halfway along the distal phalanx.
    With the palm's share below, the distances among palm and fingers of four label frames agree with those of our rig
    at 0.86 of its size to 2 mm.
    """
    mixtures: dict[str, Mixture] = {"palm": _palm(ICVL_PALM_WRIST_SHARE)}
    for digit in DIGITS:
        first, second, third = ("cmc", "mcp", "ip") if digit == "thumb" else ("mcp", "pip", "dip")
        mixtures |= {
            f"{digit}_root": _between(f"{digit}_{first}", f"{digit}_{second}"),
            f"{digit}_mid": _between(f"{digit}_{second}", f"{digit}_{third}"),
            f"{digit}_tip": {f"{digit}_tip": 1.0},
        }
    return JointSet(name="icvl", title="ICVL Hand Posture", mixtures=mixtures, offsets_mm={}, camera="icvl")


def _msra() -> JointSet:
    """The 21 joints of the MSRA Hand Gesture database (Sun, Wei, Liang, Tang, Sun, CVPR 2015).

    Its readme gives order and names: wrist; mcp, pip, dip, tip of index, middle, ring, little finger; the same of the
    thumb. The thumb's four are taken for cmc, mcp, ip, tip by their place in the chain. Its own x, y, z has y upwards
    and z backwards, negative in front of the camera (as DeepPrior and Idein/chainer-hand-pose read it on GitHub).
    """
    mixtures: dict[str, Mixture] = {"wrist": {"wrist": 1.0}}
    for finger in FINGERS:
        mixtures |= {f"{finger}_{part}": {f"{finger}_{part}": 1.0} for part in ("mcp", "pip", "dip", "tip")}
    mixtures |= {f"thumb_{part}": {f"thumb_{part}": 1.0} for part in ("cmc", "mcp", "ip", "tip")}
    return JointSet(
        name="msra",
        title="MSRA Hand Gesture",
        mixtures=mixtures,
        offsets_mm={},
        camera="msra",
        own_axes=(1.0, -1.0, -1.0),
    )


def _one_to_one(name: str, title: str, order: Sequence[str] = KEYPOINT_NAMES) -> JointSet:
    """A set that labels the 21 keypoints, in its own order."""
    return JointSet(name, title, {keypoint: {keypoint: 1.0} for keypoint in order}, {})


KEYPOINTS: Final = _one_to_one("synthetic", "21 keypoints")
FREIHAND: Final = _one_to_one("freihand", "FreiHAND")
"""Order as in its utils/fh_utils.py: wrist, thumb to little finger, base to tip. MANO's joints, tips on the skin."""
COCO: Final = _one_to_one("coco", "COCO hands")
"""Order as in COCO-WholeBody (Jin et al., ECCV 2020), OneHand10K and the hand sets of MMPose."""
DEXYCB: Final = _one_to_one("dexycb", "DexYCB")
"""Order as in dex_ycb_toolkit and the DexYCB configuration of MMPose. MANO's joints, tips on the skin."""
INTERHAND_ORDER: Final = (
    *(name for digit in range(5) for name in reversed(KEYPOINT_NAMES[1 + 4 * digit : 5 + 4 * digit])),
    "wrist",
)
"""Keypoint of each of the 21 joints of one hand in InterHand2.6M: from tip to base, thumb to little finger, wrist."""
INTERHAND_ROWS: Final = tuple(INTERHAND_ORDER.index(name) for name in KEYPOINT_NAMES)
"""Row of each keypoint among them; those of the left hand come 21 later."""
INTERHAND: Final = _one_to_one("interhand", "InterHand2.6M", INTERHAND_ORDER)
NYU: Final = _nyu()
ICVL: Final = _icvl()
MSRA: Final = _msra()
JOINT_SETS: Final[Mapping[str, JointSet]] = {
    each.name: each for each in (KEYPOINTS, NYU, ICVL, MSRA, FREIHAND, COCO, DEXYCB, INTERHAND)
}
