"""Poses that an observation may show: from a network's heads, and from the most similar images in a bank.

Both look at the view four times, in quarter turns about the optical axis, which are exact.
"""

from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from handopt.errors import ShapeError
from handopt.observation.observation import Observation
from handopt.proposals.bank import (
    ANGLE_STEP_RAD,
    QUATERNION_STEP,
    SCALE_STEP,
    WRIST_STEP_MM,
    PoseBank,
    default_bank,
)
from handopt.proposals.features import CenteredView, centered_view, network_input
from handopt.proposals.model_file import PoseModel
from handopt.proposals.network import ANGLE_STD_RAD, LOG_SCALE_STD, WRIST_STD_MM, head_sizes
from handopt.rig import Rig, default_rig
from handopt.typing import Bools, Floats

NETWORK_FRACTION: Final = 0.25
"""Fraction of the proposals that come from the network's heads, the others from the bank. Chosen by hand."""
MODEL_FRACTION: Final = 0.5
"""The same where the heads are those of a model that the user gives. Chosen by hand."""
QUARTER_TURNS: Final = 4
_QUARTER: Final = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])


@dataclass(frozen=True, eq=False)
class Proposals:
    """K poses of a right hand that an observation may show: by probability from the heads, by similarity from the bank.

    rotation: (K, 3, 3) rig -> camera; translation_mm: (K, 3), where the wrist is; angles_rad: (K, 15, 3); scale: (K,).
    """

    rotation: Floats
    translation_mm: Floats
    angles_rad: Floats
    scale: Floats

    def __len__(self) -> int:
        return len(self.scale)

    def for_rig(self, rig: Rig) -> "Proposals":
        """The same poses of another right hand: turned to its wrist's axes, scaled to its size, within its limits."""
        own = default_rig("right")
        axes = own.bind[0, :, :3] @ rig.bind[0, :, :3].T
        return Proposals(
            self.rotation @ axes,
            self.translation_mm,
            np.clip(self.angles_rad, rig.limits.lower, rig.limits.upper),
            self.scale * (_palm_mm(own) / _palm_mm(rig)),
        )

    def select(self, rows: Any) -> "Proposals":
        """Some of the proposals."""
        return Proposals(*(getattr(self, each.name)[rows] for each in fields(self)))

    def joined(self, other: "Proposals") -> "Proposals":
        """These proposals, then others."""
        names = [each.name for each in fields(self)]
        return Proposals(*(np.concatenate([getattr(self, name), getattr(other, name)]) for name in names))


def propose(
    observation: Observation, count: int = 64, bank: PoseBank | None = None, model: PoseModel | None = None
) -> Proposals:
    """Propose poses of the default right hand for an observation; of a left hand give observation.mirrored().

    count: how many; bank: the one that comes with handopt if None; model: whose heads take the place of those of the
    bank's network. Raises ShapeError, ObservationError if nothing of the hand is in view, and HandoptError if the
    bank's file is broken.
    """
    chosen = default_bank() if bank is None else bank
    if not 1 <= count <= len(chosen):
        raise ShapeError(f"count must be between 1 and {len(chosen)}, not {count!r}")
    views = quarter_turns(centered_view(observation))
    images = network_input(np.stack([view.offset_mm for view in views]))
    features = chosen.network.features(images)
    if model is None:
        heads, fraction = chosen.network.hypotheses(features), NETWORK_FRACTION
    else:
        heads, fraction = model.network.hypotheses(model.network.features(images)), MODEL_FRACTION
    guessed = network_poses(views, heads)
    proposals = guessed.select(np.arange(min(len(guessed), int(fraction * count))))
    rows, turns = chosen.nearest(features, count - len(proposals))
    order = np.argsort(turns, kind="stable")
    return proposals.joined(bank_poses(views, turns[order], chosen, rows[order]))


def predicted_joints(observation: Observation, model: PoseModel | None) -> tuple[Floats, Bools] | None:
    """What a model tells of the joints: radius of uncertainty (21,), mm, and which are more likely visible than not.

    None where it does not tell. observation: of a right hand, or mirrored
    """
    if model is None:
        return None
    view = network_input(centered_view(observation).offset_mm[None])
    told = model.network.joints(model.network.features(view))
    return None if told is None else (told[0][0].astype(np.float64), told[1][0] > 0.5)


def quarter_turns(view: CenteredView) -> list[CenteredView]:
    """The four views of cameras that are turned about the optical axis."""
    views = [view]
    for _ in range(QUARTER_TURNS - 1):
        last = views[-1]
        views.append(CenteredView(last.offset_mm.T[:, ::-1], _QUARTER @ last.rotation, last.distance_mm))
    return views


def network_poses(views: list[CenteredView], heads: NDArray[np.float32]) -> Proposals:
    """The poses (T * K) that the heads (T, K, n) of T views stand for, the most probable first."""
    probability = probability_of_heads(heads).ravel()
    return poses_of_heads(views, heads).select(np.argsort(-probability, kind="stable"))


def probability_of_heads(heads: NDArray[np.float32]) -> Floats:
    """How probable each of the heads (T, K, n) of T views is, (T, K); those of a view add up to 1."""
    logits = heads[..., -1].astype(np.float64)
    share = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(share / share.sum(axis=1, keepdims=True))


def poses_of_heads(views: list[CenteredView], heads: NDArray[np.float32]) -> Proposals:
    """The poses in the camera's frame that the heads (T, K, n) of T views stand for, in the heads' order."""
    limits = default_rig("right").limits
    free = np.flatnonzero(limits.free)
    rows, sizes = heads.reshape(-1, heads.shape[-1]).astype(np.float64), np.cumsum(head_sizes(len(free)))
    six, bends, wrist, size, _ = np.split(rows, sizes[:-1], axis=1)
    angles = np.repeat(0.5 * (limits.lower + limits.upper).reshape(1, -1), len(rows), axis=0)
    angles[:, free] += ANGLE_STD_RAD * bends
    turns = np.repeat(np.arange(len(views)), heads.shape[1])
    rotation, translation = _in_camera(views, turns, _orthonormal(six), WRIST_STD_MM * wrist)
    angles = np.clip(angles.reshape(-1, 15, 3), limits.lower, limits.upper)
    return Proposals(rotation, translation, angles, np.exp(LOG_SCALE_STD * size[:, 0]))


def bank_poses(views: list[CenteredView], turns: NDArray[Any], bank: PoseBank, rows: NDArray[Any]) -> Proposals:
    """The bank's poses in the given rows (K,), in the frame of the camera that views were made from.

    turns: (K,) which view each is seen in
    """
    limits = default_rig("right").limits
    angles = np.repeat(bank.middle[None].astype(np.float64), len(rows), axis=0)
    angles[:, np.flatnonzero(limits.free)] += ANGLE_STEP_RAD * bank.angles[rows]
    turned = _rotations(QUATERNION_STEP * bank.quaternions[rows])
    rotation, translation = _in_camera(views, turns, turned, WRIST_STEP_MM * bank.wrists[rows])
    angles = np.clip(angles.reshape(-1, 15, 3), limits.lower, limits.upper)
    return Proposals(rotation, translation, angles, 1 + SCALE_STEP * bank.scales[rows])


def _in_camera(
    views: list[CenteredView], turns: NDArray[Any], rotation: Floats, wrist_mm: Floats
) -> tuple[Floats, Floats]:
    """Rotations (K, 3, 3) and places (K, 3) in the camera's frame for those in views; wrist_mm from a centre."""
    turned, places = np.empty_like(rotation), np.empty_like(wrist_mm)
    for turn, view in enumerate(views):
        here = np.flatnonzero(turns == turn)
        if len(here):
            turned[here] = view.rotation.T @ rotation[here]
            places[here] = (wrist_mm[here] + [0.0, 0.0, view.distance_mm]) @ view.rotation
    return turned, places


def _orthonormal(six: Floats) -> Floats:
    """Rotations (K, 3, 3) whose first two columns are (K, 6) made orthonormal (Zhou et al., CVPR 2019)."""
    first = six[:, :3] / np.maximum(np.linalg.norm(six[:, :3], axis=1, keepdims=True), 1e-4)
    second = six[:, 3:] - (six[:, 3:] * first).sum(axis=1, keepdims=True) * first
    second /= np.maximum(np.linalg.norm(second, axis=1, keepdims=True), 1e-4)
    return np.stack([first, second, np.cross(first, second)], axis=2)


def _rotations(quaternions: Floats) -> Floats:
    """Rotations (K, 3, 3) of quaternions (K, 4), the real part first, of about unit length."""
    w, x, y, z = (quaternions / np.linalg.norm(quaternions, axis=1, keepdims=True)).T
    return np.stack(
        [
            np.stack([1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)], axis=1),
            np.stack([2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)], axis=1),
            np.stack([2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)], axis=1),
        ],
        axis=1,
    )


def _palm_mm(rig: Rig) -> float:
    """Distance of the middle finger's base from the wrist, mm."""
    return float(np.linalg.norm(rig.keypoints_mm[9] - rig.keypoints_mm[0]))
