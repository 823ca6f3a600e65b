"""Small views of the default hand, for the tests of the objective and of the descent: observations, evidence, poses."""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from handopt.backend import Device, sparse_to_device, to_device
from handopt.config import Config
from handopt.hand_model import Hand, Pose
from handopt.input.camera import Camera
from handopt.objective.descent_objective import DescentObjective
from handopt.objective.targets import FitTargets, build_targets
from handopt.observation.observation import Observation
from handopt.rig import default_rig
from support import reference
from support.factories import PALM_FIRST, bent, posed, raster

Floats = NDArray[np.float64]

CPU = Device("cpu")
CAMERA = Camera(210.0, 210.0, 83.3, 58.1, 160, 120, "test")
WRIST_MM = np.array([4.0, 70.0, 430.0])
WALL_MM = 700.0


def true_rotation(bind: Floats) -> Floats:
    """Rig -> camera: palm to the camera, fingers up, a little turned."""
    return reference.rotation_about(1, 0.3) @ reference.rotation_about(2, -0.2) @ PALM_FIRST @ bind[0, :, :3].T


@cache
def small_observation(curl: float = 0.5, score: float = 1.0) -> Observation:
    """A right hand before a wall, with a hole in its palm and a strip of its wrist taken for the forearm."""
    rig = default_rig("right")
    vertices, joints = posed(rig, bent(curl), true_rotation(rig.bind), WRIST_MM, 1.0)
    hand = raster(vertices, rig, CAMERA)
    row = np.arange(CAMERA.height)[:, None]
    wrist = CAMERA.project(joints[0])[1]
    arm = (hand > 0) & (row > wrist)
    mask = (hand > 0) & ~arm
    depth = np.where(hand > 0, hand, np.float32(WALL_MM))
    palm = joints[[0, 5, 9, 13, 17]].mean(axis=0)
    u, v = np.rint(CAMERA.project(palm)).astype(int)
    depth[v - 1 : v + 1, u - 1 : u + 1] = 0
    mask &= depth > 0
    return Observation(
        camera=CAMERA,
        depth_mm=depth,
        mask=mask,
        arm=arm,
        center_mm=palm,
        points_mm=CAMERA.backproject(depth)[mask],
        arm_direction=np.array([0.0, 1.0, 0.0]),
        touches_border=False,
        score=score,
        notes=("A note.",),
    )


def mirrored(observation: Observation) -> Observation:
    """The observation that a mirror shows."""
    return observation.mirrored()


def gather(
    config: Config,
    views: list[tuple[Observation, bool]],
    *,
    device: Device = CPU,
    dtype: type = np.float64,
    seed: int = 0,
    spacing_mm: float | None = None,
) -> FitTargets:
    """Evidence of observations, each with whether to mirror it."""
    crops = [
        (observation, observation.crop(config.crop_px, config.crop_half_mm), mirror) for observation, mirror in views
    ]
    spacing = default_rig("right").vertex_spacing_mm if spacing_mm is None else spacing_mm
    return build_targets(crops, spacing, config, np.random.default_rng(seed), device, dtype)


def make_objective(
    config: Config, views: list[tuple[Observation, bool]], *, device: Device = CPU, dtype: type = np.float64
) -> DescentObjective:
    """The objective of the default hand, vertices free as well."""
    rig = default_rig("right")
    targets = gather(config, views, device=device, dtype=dtype)
    return DescentObjective(
        Hand.of(rig, device, dtype), targets, config, sparse_to_device(rig.laplacian(), device, dtype)
    )


def near_poses(curls: tuple[float, ...], images: tuple[int, ...], *, dtype: type = np.float64) -> Pose:
    """Poses some millimetres and degrees off the one that small_observation shows, one of each curl."""
    rig = default_rig("right")
    rng = np.random.default_rng(len(curls))
    count = len(curls)
    turns = [reference.exponential(0.15 * rng.normal(size=3)) for _ in curls]
    angles = np.stack([bent(curl) for curl in curls]) + 0.1 * rng.normal(size=(count, 15, 3)) * rig.limits.free
    return Pose(
        angles=to_device(angles, CPU, dtype),
        rotation=to_device(np.stack([turn @ true_rotation(rig.bind) for turn in turns]), CPU, dtype),
        translation=to_device(WRIST_MM + 6 * rng.normal(size=(count, 3)), CPU, dtype),
        scale=to_device(rng.uniform(0.92, 1.08, count), CPU, dtype),
        image=to_device(images, CPU, np.int32),
        proportions=to_device(np.zeros((count, 0)), CPU, dtype),
    )


def on_device(pose: Pose, device: Device) -> Pose:
    """A copy of poses on a device."""
    return Pose(*(to_device(array, device, array.dtype) for array in vars(pose).values()))
