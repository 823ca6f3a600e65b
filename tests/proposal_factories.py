"""Rendered hands and observations of them, for tests of the proposals."""

import numpy as np
from numpy.typing import NDArray

from handopt.camera import Camera
from handopt.kinematics import forward_kinematics
from handopt.observation import Observation, observe
from handopt.raster import rasterise
from handopt.rig import default_rig
from handopt.skinning import skin
from handopt.synth.poses import HandSample

Floats = NDArray[np.float64]

CAMERA = Camera(475.0, 470.0, 322.3, 236.4, 640, 480, "test")


def posed_sample(sample: HandSample, wrist_mm: Floats, turn: Floats | None = None) -> tuple[Floats, Floats]:
    """Vertices (V, 3) and keypoints (21, 3) of a drawn hand with its wrist at a place, turned about the camera."""
    rig = sample.subject.dress(default_rig("right"))
    matrix = np.eye(3) if turn is None else turn
    pose = (
        sample.angles_rad[None],
        (matrix @ sample.rotation)[None],
        (matrix @ wrist_mm)[None],
        np.array([sample.scale]),
    )
    transforms = forward_kinematics(*pose, rig.parents, rig.articulated, rig.bind)
    vertices = skin(transforms, np.array(rig.rest_mm), np.array(rig.skin_indices), np.array(rig.skin_weights))
    joints = skin(transforms, np.array(rig.keypoints_mm), np.array(rig.keypoint_joints)[:, None], np.ones((21, 1)))
    return vertices[0], joints[0]


def observed(vertices: Floats, camera: Camera = CAMERA) -> Observation:
    """What a camera shows of vertices of the default hand, all of it taken for the hand."""
    numbers = (camera.fx, camera.fy, camera.cx, camera.cy, camera.width, camera.height)
    depth = rasterise(vertices[None].astype(np.float32), np.array(default_rig("right").faces), numbers)[0]
    return observe(depth, camera, mask=depth > 0)[0]
