"""The pose of the default right hand whose joints lie where a network says that they are (inverse kinematics)."""

from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np

from handopt.backend import Device
from handopt.hand_model import MAX_SCALE, MIN_SCALE, Hand, exponential
from handopt.proposals.proposals import Proposals
from handopt.rig import default_rig
from handopt.typing import Bools, Floats, Indices


@dataclass(frozen=True)
class JointsConfig:
    """How a pose is drawn to joints. Chosen on synthetic images."""

    steps: int = 3  # of Gauss-Newton
    least_mm: float = 2.0  # how far off a joint may always be
    angle_rad: float = 0.7  # how far angles may move from those of the start, where joints do not say
    log_scale: float = 0.05  # the same for the logarithm of the size


CONFIG: Final = JointsConfig()


def pose_of_joints(start: Proposals, joints_mm: Floats, radius_mm: Floats) -> Proposals:
    """Poses near others whose joints are as near as they can be to given ones, within the limits of the angles.

    start: K poses. joints_mm: (K, 21, 3) or (21, 3); radius_mm: (K, 21) or (21,), how far off these may be. It
    minimises the sum of squares of distance / radius, of how far angles move from those of the start, and of the size.
    """
    free = _free()
    count = len(start)
    weight = 1 / np.maximum(np.broadcast_to(radius_mm, (count, 21)), CONFIG.least_mm)
    target = np.broadcast_to(joints_mm, (count, 21, 3))
    prior = _prior()
    damping = np.diag(prior + 1e-6)
    limits, now = default_rig("right").limits, start
    for _ in range(CONFIG.steps):
        joints, moved = _joints_and_motion(now, free)
        off = (weight[..., None] * (target - joints)).reshape(count, -1)
        motion = (weight[:, None, :, None] * moved).reshape(count, len(prior), -1)
        away = np.zeros((count, len(prior)))
        away[:, : len(free)] = (start.angles_rad - now.angles_rad).reshape(count, -1)[:, free]
        away[:, -1] = np.log(start.scale / now.scale)
        normal = motion @ motion.transpose(0, 2, 1) + damping
        step = np.linalg.solve(normal, motion @ off[..., None] + (prior * away)[..., None])[..., 0]
        angles = now.angles_rad.reshape(count, -1).copy()
        angles[:, free] += step[:, : len(free)]
        turn, shift = step[:, len(free) : len(free) + 3], step[:, len(free) + 3 : -1]
        now = Proposals(
            exponential(turn) @ now.rotation,
            now.translation_mm + shift,
            np.minimum(np.maximum(angles.reshape(count, 15, 3), limits.lower), limits.upper),
            np.clip(now.scale * np.exp(np.clip(step[:, -1], -0.2, 0.2)), MIN_SCALE, MAX_SCALE),
        )
    return now


def joints_of(poses: Proposals) -> Floats:
    """Joints (K, 21, 3) mm of poses."""
    hand = _hand()
    return np.asarray(hand.joints(hand.transforms(poses.as_pose(np.float64))))


def _joints_and_motion(poses: Proposals, free: Indices) -> tuple[Floats, Floats]:
    """Joints (K, 21, 3) of poses, and how they move (K, P, 21, 3) with free angles, rotation, place and log scale."""
    hand, turning = _hand(), _turning()
    transforms = hand.transforms(poses.as_pose(np.float64))
    joints = np.asarray(hand.joints(transforms))
    # Axes of twist, abduction and flexion (Ry(abduction) Rx(-flexion) Rz(twist)), first as the turned joint has them
    sine, cosine = np.sin(poses.angles_rad), np.cos(poses.angles_rad)
    st, sf, ct, cf = sine[..., 0], sine[..., 2], cosine[..., 0], cosine[..., 2]
    own = np.zeros((*st.shape, 3, 3))
    own[..., 0, 2] = 1.0
    own[..., 1, 0], own[..., 1, 1], own[..., 1, 2] = st * cf, ct * cf, sf
    own[..., 2, 0], own[..., 2, 1] = -ct, st
    frames = transforms[:, hand.articulated, :, :3] @ turning.bind
    axes = own @ frames.swapaxes(-1, -2) / poses.scale[:, None, None, None]
    arms = np.where(turning.moved, joints[:, None] - joints[:, turning.pivot][:, :, None], 0.0)
    motion = np.zeros((len(poses), len(free) + 7, 21, 3))
    _cross(axes.reshape(len(poses), -1, 3)[:, free, None], arms[:, free // 3], motion[:, : len(free)])
    arms = joints - poses.translation_mm[:, None]
    around_x, around_y, around_z = (motion[:, len(free) + axis] for axis in range(3))
    x, y, z = arms[..., 0], arms[..., 1], arms[..., 2]
    around_x[..., 1], around_x[..., 2] = -z, y
    around_y[..., 0], around_y[..., 2] = z, -x
    around_z[..., 0], around_z[..., 1] = -y, x
    motion[:, len(free) + 3 : -1] = np.eye(3)[None, :, None]
    motion[:, -1] = arms
    return joints, motion


def _cross(one: Floats, other: Floats, out: Floats) -> None:
    """The cross products of vectors (..., 3): numpy.cross takes longer for few of them."""
    ax, ay, az, bx, by, bz = (each[..., axis] for each in (one, other) for axis in range(3))
    out[..., 0], out[..., 1], out[..., 2] = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx


@dataclass(frozen=True, eq=False)
class _Turning:
    """Of the articulated joints. moved: (15, 21, 1), which keypoints lie beyond; pivot: (15,); bind: (15, 3, 3)."""

    moved: Bools
    pivot: Indices
    bind: Floats


@cache
def _turning() -> _Turning:
    hand, moved = _hand(), _moved_by()
    return _Turning(moved[..., None], moved.argmax(axis=1) - 1, np.asarray(hand.bind[hand.articulated, :, :3]))


@cache
def _moved_by() -> Bools:
    """Which keypoints (15, 21) lie beyond each articulated joint. The one before the first of them is the joint."""
    rig = default_rig("right")
    beyond = np.zeros((len(rig.articulated), len(rig.keypoint_joints)), np.bool_)
    for column, joint in enumerate(rig.keypoint_joints):
        while (joint := int(rig.parents[joint])) >= 0:
            beyond[:, column] |= np.asarray(rig.articulated) == joint
    return beyond


@cache
def _prior() -> Floats:
    """Weights (P,) of how far parameters move: those of _joints_and_motion."""
    return np.asarray(np.r_[np.full(len(_free()), CONFIG.angle_rad**-2), np.zeros(6), CONFIG.log_scale**-2])


@cache
def _free() -> Indices:
    return np.flatnonzero(default_rig("right").limits.free)


@cache
def _hand() -> Hand:
    return Hand.of(default_rig("right"), Device("cpu"), np.float64)
