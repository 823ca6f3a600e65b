"""Makes results to test the outputs with: the default hand in a simple posture, seen by a small synthetic camera."""

from copy import deepcopy
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handopt.assess.confidence import ConfidenceFeatures
from handopt.input.camera import Camera
from handopt.observation.crop import Crop
from handopt.observation.observation import Observation
from handopt.result import Alternative, FitResult, Trace
from handopt.rig import Rig, default_rig
from support import reference

Floats = NDArray[np.float64]

DISTANCE_MM = 430.0
BACKGROUND_MM = 760.0
NOISE_MM = 1.2
PALM_FIRST = np.array([[-1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 1.0, 0.0]])
"""Axes of the wrist joint to camera: the palm faces the camera, the fingers point up."""


def bent(curl: float) -> Floats:
    """Angles (15, 3) of a hand that closes loosely; curl 0 is the open palm."""
    angles = np.zeros((15, 3))
    angles[:, 2] = curl * np.array([0.2, 0.3, 0.4, 0.5, 0.6, 0.4, 0.7, 0.9, 0.5, 0.8, 1.0, 0.6, 0.9, 1.1, 0.6])
    angles[3::3, 1] = 0.15, 0.05, -0.06, -0.18
    return angles


def posed(rig: Rig, angles: Floats, rotation: Floats, translation: Floats, scale: float) -> tuple[Floats, Floats]:
    """Vertices (V, 3) and keypoints (21, 3) in the camera frame, by the slow twins."""
    transforms = reference.forward_kinematics(
        angles[None], rotation[None], translation[None], np.array([scale]), rig.parents, rig.articulated, rig.bind,
        rig.side_sign,
    )  # fmt: skip
    vertices = reference.skin(transforms, rig.rest_mm, rig.skin_indices, rig.skin_weights)[0]
    origins = np.concatenate([rig.bind[:, :, 3], np.ones((len(rig.bind), 1))], axis=1)
    joints = np.einsum("jab,jb->ja", transforms[0], origins)
    return vertices, joints[rig.keypoint_joints]


def raster(vertices: Floats, rig: Rig, camera: Camera) -> NDArray[np.float32]:
    """Depth (H, W) of the mesh in mm, 0 where there is none."""
    numbers = (camera.fx, camera.fy, camera.cx, camera.cy, camera.width, camera.height)
    return reference.rasterise(vertices, rig.faces, numbers).astype(np.float32)


def splat(vertices: Floats, crop: Crop, radius: float) -> NDArray[np.float32]:
    """Closeness (S, S) of points drawn as discs in the crop."""
    points = reference.project(vertices[None], crop.coefficients[None])
    return reference.render_depth(points, radius, crop.size)[0][0].astype(np.float32)


def fit_result(
    side: str = "right", *, width: int = 320, height: int = 240, iterations: int = 5, size: int = 48, **changes: Any
) -> FitResult:
    """A plausible FitResult with arrays of its own; changes replace its fields."""
    shared = vars(_fit_result(side, width, height, iterations, size))
    own = {name: value if name == "rig" else deepcopy(value) for name, value in shared.items()}
    return FitResult(**{**own, **changes})


@lru_cache(maxsize=8)
def _fit_result(side: str, width: int, height: int, iterations: int, size: int) -> FitResult:
    rng = np.random.default_rng(7)
    rig = default_rig(side)
    camera = Camera(width * 0.95, width * 0.95, width / 2 - 0.5, height / 2 - 0.5, width, height, "synthetic")
    translation = np.array([4.0, 78.0, DISTANCE_MM])
    rotation = reference.rotation_about(1, 0.25) @ reference.rotation_about(0, -0.2) @ PALM_FIRST @ rig.bind[0, :, :3].T
    truth, true_joints = posed(rig, bent(0.8), rotation, translation, 1.0)
    observation = _observation(raster(truth, rig, camera), true_joints, camera, rng)
    crop = observation.crop(size)

    trace = _trace(rotation, translation, iterations)
    poses = [
        posed(rig, *pose)
        for pose in zip(trace.angles_rad, trace.rotation, trace.translation_mm, trace.scale, strict=True)
    ]
    vertices, joints = poses[-1]
    history = _history(iterations, size, rng)
    radius, total = history["radius_px"], float(history["total"][-1])
    return FitResult(
        **_said(side),
        **_measured(raster(vertices, rig, camera), observation),
        camera=camera,
        rig=rig,
        observation=observation,
        crop=crop,
        joints_mm=joints,
        rotation=trace.rotation[-1],
        translation_mm=trace.translation_mm[-1],
        angles_rad=trace.angles_rad[-1],
        rest_mm=rig.rest_mm.copy(),
        vertices_mm=vertices,
        joint_visible=np.arange(21) % 3 > 0,
        joint_uncertainty_mm=2.0 + np.arange(21),
        alternatives=(Alternative("left" if side == "right" else "right", 0.32, joints + 15.0, 0.32),),
        terms={"depth": total * 0.9, "limits": total * 0.1},
        iterations=iterations,
        history=history,
        trace=trace,
        renders=np.stack([splat(pose[0], crop, r) for pose, r in zip(poses, radius, strict=True)]),
        target=splat(truth, crop, float(radius[-1])),
    )


def _said(side: str) -> dict[str, Any]:
    """The fields that do not depend on the posture."""
    return {
        "image": "frames/hand_0042.png",
        "hand": side,
        "status": "Converged: the objective fell by less than 0.01 % over ten iterations.",
        "converged": True,
        "scale": 1.01,
        "shape_kind": "scale",
        "proportions": np.zeros(0),
        "unexplained_fraction": 0.21,
        "limb_fraction": 0.21,
        "confidence": 0.93,
        "confidence_features": ConfidenceFeatures(np.log(0.21), 0.4, 0.9, 0.85, 0.4, np.log(7.0)),
        "spread_mm2": np.full(21, 900.0),
        "seconds": {"observe": 0.02, "fit": 1.5},
        "device": "cpu",
        "seed": 0,
        "config": {"weights": {"depth": 1.0, "limits": 0.1}, "schedule": ["start", "pose"]},
        "versions": {"handopt": "0.1.0", "numpy": np.__version__},
        "notes": ("The unit was taken to be 1 mm per count.",),
    }


def _trace(rotation: Floats, translation: Floats, iterations: int) -> Trace:
    """A hand that turns and comes nearer while it closes."""
    way = np.linspace(0.0, 1.0, iterations)
    return Trace(
        rotation=np.stack([reference.rotation_about(2, 0.5 * (1 - part)) @ rotation for part in way]),
        translation_mm=np.stack([translation + (1 - part) * np.array([25.0, -10.0, 30.0]) + 0.8 for part in way]),
        angles_rad=np.stack([bent(0.84 * part) for part in way]),
        scale=np.full(iterations, 1.01),
    )


def _history(iterations: int, size: int, rng: np.random.Generator) -> dict[str, NDArray[Any]]:
    """Terms that fall exponentially, in columns of several types."""
    way = np.linspace(0.0, 1.0, iterations)
    total = 0.4 * np.exp(-4 * way) + 0.01 * rng.random(iterations)
    return {
        "total": total,
        "depth": (total * 0.9).astype(np.float32),
        "limits": total * 0.1,
        "radius_px": np.linspace(6.0, 3.0, iterations) * size / 120,
        "stage": np.where(way < 0.4, "start", "pose"),
        "step": np.full(iterations, 0.05),
    }


def _measured(fitted: NDArray[np.float32], observation: Observation) -> dict[str, Any]:
    """The fitted depth, its residual, and how well the silhouettes overlap."""
    both = observation.mask & (fitted > 0)
    errors = np.abs(fitted - observation.depth_mm)[both]
    residual = {"median": np.median(errors), "mean": errors.mean(), "p95": np.percentile(errors, 95)}
    return {
        "fitted_depth_mm": fitted,
        "residual_mm": {name: float(value) for name, value in residual.items()},
        "silhouette_iou": float(both.sum() / (observation.mask | (fitted > 0)).sum()),
    }


def _observation(hand: NDArray[np.float32], joints: Floats, camera: Camera, rng: np.random.Generator) -> Observation:
    """What a sensor sees: the hand and a forearm before a wall, with noise and a hole; and the masks of both."""
    column, row = np.meshgrid(np.arange(camera.width), np.arange(camera.height))
    wrist = camera.project(joints[0])
    mask = hand > 0
    arm = ~mask & (np.abs(column - wrist[0]) < 0.055 * camera.width) & (row > wrist[1] - 2)
    depth = np.where(mask, hand, np.where(arm, joints[0, 2] - 15, BACKGROUND_MM)).astype(np.float32)
    depth += rng.normal(0, NOISE_MM, depth.shape).astype(np.float32)
    depth[: camera.height // 12, : camera.width // 3] = 0
    hole = np.hypot(column - wrist[0], row - wrist[1] + 0.2 * camera.height) < 2.5
    depth[hole] = 0
    return Observation(
        camera=camera,
        depth_mm=depth,
        mask=mask & ~hole,
        arm=arm,
        center_mm=joints[[0, 5, 9, 13, 17]].mean(axis=0),
        points_mm=camera.backproject(depth)[mask & ~hole],
        arm_direction=np.array([0.0, 1.0, 0.0]),
        touches_border=False,
        score=1.0,
        notes=(),
    )
