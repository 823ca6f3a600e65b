"""Where a search starts: from fixed poses, from proposals of the image, or around a given pose."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import ArrayLike

from handopt.backend import Array, namespace, to_device, to_numpy
from handopt.errors import ShapeError
from handopt.hand_model import MAX_SCALE, MIN_SCALE, Hand, Pose, exponential
from handopt.objective.targets import FitTargets
from handopt.optimise.ranking import distinct
from handopt.rig import Rig
from handopt.rig.anatomy import FLEXION, MIRROR
from handopt.typing import Floats

if TYPE_CHECKING:
    from handopt.proposals import Proposals


@dataclass(frozen=True)
class StartConstants:
    """Where starts lie. Chosen by hand."""

    in_plane: int = 8  # rotations in the image plane, evenly over the circle
    # Tilts about the image's x and y axes, rad.
    tilts_rad: tuple[tuple[float, float], ...] = ((0.0, 0.0), (0.6, 0.0), (-0.6, 0.0), (0.0, 0.6), (0.0, -0.6))
    around_rad: float = 0.35  # how far copies of a given start are turned, and their fingers bent: 20 degrees
    alike_rad: float = 0.5  # width, as a rotation, over which proposals agree on what fingers do


CONSTANTS: Final = StartConstants()
# Flexion of MCP, PIP, DIP of a finger (CMC, MCP, IP of the thumb)
_STRAIGHT, _RELAXED, _CURLED = (0.05, 0.1, 0.05), (0.4, 0.5, 0.3), (1.2, 1.5, 0.8)
_THUMB_OUT, _THUMB_IN = (0.05, 0.1, 0.1), (0.3, 0.6, 0.4)
GESTURES = {
    "open": (_THUMB_OUT, *[_STRAIGHT] * 4),
    "relaxed": (_THUMB_OUT, *[_RELAXED] * 4),
    "fist": (_THUMB_IN, *[_CURLED] * 4),
    "pointing": (_THUMB_IN, _STRAIGHT, *[_CURLED] * 3),
}


@dataclass(frozen=True)
class Start:
    """A pose to start from, instead of the fixed starts.

    rotation: (3, 3) rig -> camera; translation_mm: (3,) of the wrist; angles_rad: (15, 3); scale: of the whole hand
    Raises ShapeError.
    """

    rotation: ArrayLike
    translation_mm: ArrayLike
    angles_rad: ArrayLike
    scale: float = 1.0

    def __post_init__(self) -> None:
        """Check shapes and values."""
        for name, shape in (("rotation", (3, 3)), ("translation_mm", (3,)), ("angles_rad", (15, 3)), ("scale", ())):
            values = np.asarray(getattr(self, name), np.float64)
            if values.shape != shape or not np.isfinite(values).all():
                raise ShapeError(f"start.{name}: expected finite numbers of shape {shape}, got {values.tolist()}")
        rotation = np.asarray(self.rotation, np.float64)
        if np.abs(rotation @ rotation.T - np.eye(3)).max() > 1e-3 or np.linalg.det(rotation) < 0:
            raise ShapeError(f"start.rotation: expected a rotation matrix, got {rotation.tolist()}")
        if not MIN_SCALE <= self.scale <= MAX_SCALE:
            raise ShapeError(f"start.scale: expected a number from {MIN_SCALE} to {MAX_SCALE}, got {self.scale!r}")


def gesture_angles(name: str) -> Floats:
    """Joint angles (15, 3) of a gesture, rad."""
    angles = np.zeros((15, 3))
    angles[:, FLEXION] = np.ravel(GESTURES[name])
    return angles


def fixed_starts(hand: Hand, targets: FitTargets) -> Pose:
    """All fixed starts of all images: palm and back, rotations in the image plane, tilts, and a few gestures.

    Each is placed so that the side which faces the camera lies on the observed points.
    """
    rotations = _rotations(to_numpy(hand.bind)[0, :, :3].astype(np.float64))
    gestures = np.stack([gesture_angles(name) for name in GESTURES])
    images, each = len(targets.points), len(rotations) * len(gestures)
    dtype = hand.rest.dtype
    pose = Pose(
        angles=to_device(np.tile(gestures, (len(rotations) * images, 1, 1)), hand.device, dtype),
        rotation=to_device(np.tile(np.repeat(rotations, len(gestures), axis=0), (images, 1, 1)), hand.device, dtype),
        translation=to_device(np.zeros((images * each, 3)), hand.device, dtype),
        scale=to_device(np.ones(images * each), hand.device, dtype),
        image=to_device(np.repeat(np.arange(images), each), hand.device, np.int32),
        proportions=to_device(np.zeros((images * each, 0)), hand.device, dtype),
    )
    pose.translation += targets.points.mean(axis=1)[pose.image] - _facing_centre(hand, pose)
    return pose


def starts_of(hand: Hand, rig: Rig, proposals: "Sequence[Proposals]", images: Sequence[int]) -> Pose:
    """Proposals of the default right hand for each of some images, as poses of another. rig: what `hand` is of."""
    dtype, found = hand.rest.dtype, [each.for_rig(rig) for each in proposals]

    def joined(name: str) -> Array:
        return to_device(np.concatenate([getattr(each, name) for each in found]), hand.device, dtype)

    rows = np.repeat(images, [len(each) for each in found])
    return Pose(
        angles=joined("angles_rad"),
        rotation=joined("rotation"),
        translation=joined("translation_mm"),
        scale=joined("scale").clip(MIN_SCALE, MAX_SCALE),
        image=to_device(rows, hand.device, np.int32),
        proportions=to_device(np.zeros((len(rows), 0)), hand.device, dtype),
    )


def given_start(hand: Hand, targets: FitTargets, start: Start) -> Pose:
    """The given pose for every view."""
    flips = [np.diag(MIRROR) if mirrored else np.eye(3) for mirrored in targets.mirrored]
    rotation, translation = np.asarray(start.rotation), np.asarray(start.translation_mm)
    dtype = hand.rest.dtype
    return Pose(
        angles=to_device([start.angles_rad] * len(flips), hand.device, dtype),
        rotation=to_device([flip @ rotation @ flip for flip in flips], hand.device, dtype),
        translation=to_device([flip @ translation for flip in flips], hand.device, dtype),
        scale=to_device([start.scale] * len(flips), hand.device, dtype),
        image=to_device(range(len(flips)), hand.device, np.int32),
        proportions=to_device(np.zeros((len(flips), 0)), hand.device, dtype),
    )


def around(pose: Pose, hand: Hand) -> Pose:
    """Each pose, and copies of it turned by 20 degrees about the camera's axes and with fingers bent more or less."""
    device, dtype = hand.device, hand.rest.dtype
    axes = np.concatenate([np.eye(3), -np.eye(3)])
    turns = np.concatenate([np.zeros((1, 3)), CONSTANTS.around_rad * axes, np.zeros((2, 3))])
    bends = np.zeros((len(turns), 15, 3))
    bends[-2:, 3:, FLEXION] = CONSTANTS.around_rad * np.array([[1.0], [-1.0]])
    copies = pose.select(to_device(np.repeat(np.arange(len(pose)), len(turns)), device, np.int64))
    turn = exponential(to_device(np.tile(turns, (len(pose), 1)), device, dtype))
    copies.rotation = to_device(turn @ copies.rotation, device, dtype)
    bent = copies.angles + to_device(np.tile(bends, (len(pose), 1, 1)), device, dtype)
    copies.angles = to_device(bent, device, dtype)
    return copies


def proposal_mean_angles(pose: Pose) -> Floats:
    """The mean angles (B, 15, 3) rad of each proposal and the other ones of its image that have a similar rotation.

    It is what a hidden finger most likely does.
    """
    rotation, angles = (to_numpy(each).astype(np.float64) for each in (pose.rotation, pose.angles))
    image, mean = to_numpy(pose.image), np.empty_like(angles)
    for own in (image == each for each in distinct(image)):
        turns, bends = rotation[own].reshape(-1, 9), angles[own].reshape(-1, 45)
        away = np.arccos((0.5 * (turns @ turns.T - 1)).clip(-1, 1))
        weight = np.exp(-((away / CONSTANTS.alike_rad) ** 2))
        mean[own] = (weight @ bends / weight.sum(axis=1, keepdims=True)).reshape(-1, 15, 3)
    return mean


def _facing_centre(hand: Hand, pose: Pose) -> Floats:
    """Mean of the vertices that face the camera, (B, 3), for hands whose wrist lies on the optical axis."""
    xp = namespace(hand.device)
    transforms = hand.transforms(pose)
    facing = (hand.vertex_normals(transforms)[:, :, 2] < 0).astype(hand.rest.dtype)
    total = xp.einsum("bv,bvc->bc", facing, hand.vertices(transforms))
    return total / xp.maximum(facing.sum(axis=1), 1)[:, None]  # type: ignore[no-any-return]


def _rotations(wrist_axes: Floats) -> Floats:
    """Rig -> camera rotations (n, 3, 3). wrist_axes: columns little-finger side, back of the hand, towards the arm."""
    rotations = []
    for towards_camera in (1.0, -1.0):  # palm, then back
        for turn in np.arange(CONSTANTS.in_plane) * (2 * np.pi / CONSTANTS.in_plane):
            back = np.array([0.0, 0.0, towards_camera])
            arm = -np.array([np.cos(turn), np.sin(turn), 0.0])
            axes = np.stack([np.cross(back, arm), back, arm], axis=1)
            tilts = exponential(np.array([[x, y, 0.0] for x, y in CONSTANTS.tilts_rad]))
            rotations.append(tilts @ axes @ wrist_axes.T)
    return np.concatenate(rotations)
