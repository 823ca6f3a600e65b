"""Known poses of the default hand, rendered by the independent z-buffer, and disturbances of them."""

from dataclasses import dataclass

import numpy as np

from handopt.fitting import Start
from handopt.input.camera import Camera
from handopt.rig import Rig, default_rig
from support import reference

CAMERA = Camera(475.0, 475.0, 159.5, 119.5, 320, 240, "test")
ANGLE_RAD, TURN_RAD, SHIFT_MM = 0.2, np.radians(20.0), 20.0


@dataclass(frozen=True)
class Problem:
    """A depth image, the pose that it shows, its joints (21, 3) mm, and a disturbed pose to start from."""

    depth_mm: np.ndarray
    truth: Start
    joints_mm: np.ndarray
    start: Start


def rotation_about(axis: np.ndarray, angle: float) -> np.ndarray:
    """Rotation matrix about a unit axis (Rodrigues' formula)."""
    x, y, z = axis
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def unit_vector(rng: np.random.Generator) -> np.ndarray:
    """A direction, uniform on the sphere."""
    direction = rng.normal(size=3)
    return direction / np.linalg.norm(direction)


def pose_rig(rig: Rig, pose: Start) -> tuple[np.ndarray, np.ndarray]:
    """Vertices (V, 3) and the 21 joints of a posed rig, by the slow twins."""
    transforms = reference.forward_kinematics(
        np.asarray(pose.angles_rad)[None], np.asarray(pose.rotation)[None], np.asarray(pose.translation_mm)[None],
        np.array([pose.scale]), rig.parents, rig.articulated, rig.bind, rig.side_sign,
    )  # fmt: skip
    vertices = reference.skin(transforms, rig.rest_mm, rig.skin_indices, rig.skin_weights)[0]
    ones = np.ones((21, 1))
    return vertices, reference.skin(transforms, rig.keypoints_mm, rig.keypoint_joints[:, None], ones)[0]


def random_pose(rig: Rig, rng: np.random.Generator) -> Start:
    """Palm or back towards the camera within 30 degrees, any turn in the image, fingers up to half closed."""
    limits = rig.limits
    share = rng.uniform(0, 0.5, (15, 1)) * [0, 0, 1] + rng.uniform(-0.3, 0.3, (15, 3)) * [1, 1, 0]
    angles = np.clip(share * np.where(share > 0, limits.upper, -limits.lower), limits.lower, limits.upper)
    wrist = rig.bind[0, :, :3]
    side = 1 if rng.random() < 0.5 else -1
    axes = np.stack([np.cross([0, 0, side], [0, 1, 0]), [0, 0, side], [0, 1, 0]], axis=1)
    turn = rotation_about(np.array([0.0, 0.0, 1.0]), rng.uniform(0, 2 * np.pi))
    tilt_axis = np.append(unit_vector(rng)[:2], 0)
    tilt = rotation_about(tilt_axis / np.linalg.norm(tilt_axis), rng.uniform(0, np.radians(30)))
    rotation = tilt @ turn @ axes @ wrist.T
    centre = rotation @ (rig.keypoints_mm[[0, 5, 9, 13, 17]].mean(axis=0) - rig.keypoints_mm[0])
    return Start(rotation, np.array([0, 0, rng.uniform(450, 700)]) - centre, angles)


def make_problem(seed: int, side: str = "right") -> Problem:
    """A known pose, its noise-free depth image, and the pose disturbed.

    Every free joint angle by 0.2 rad up or down, the hand by 20 degrees about a random axis through the wrist and by
    20 mm in a random direction.
    """
    rng = np.random.default_rng(seed)
    rig = default_rig(side)
    truth = random_pose(rig, rng)
    vertices, joints = pose_rig(rig, truth)
    camera = (CAMERA.fx, CAMERA.fy, CAMERA.cx, CAMERA.cy, CAMERA.width, CAMERA.height)
    depth = reference.rasterise(vertices, rig.faces, camera)
    start = Start(
        rotation_about(unit_vector(rng), TURN_RAD) @ truth.rotation,
        np.asarray(truth.translation_mm) + SHIFT_MM * unit_vector(rng),
        np.asarray(truth.angles_rad) + ANGLE_RAD * rng.choice([-1, 1], (15, 3)) * rig.limits.free,
    )
    return Problem(depth.astype(np.float32), truth, joints, start)
