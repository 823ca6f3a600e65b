"""Rigs whose joints lie elsewhere in the hand than handopt's own, as other programs put them."""

from dataclasses import replace

import numpy as np

from handopt.rig import Rig

LARGEST_MM = 8.0


def displaced(rig: Rig, seed: int) -> Rig:
    """The rig with all joints of its digits but tips moved along their bones, its skin as it is."""
    rng, bind, places = np.random.default_rng(seed), rig.bind.copy(), rig.keypoints_mm
    for row in (row for row in range(1, 21) if row % 4):
        bone = places[row + 1] - places[row]
        bind[rig.keypoint_joints[row], :, 3] += rng.uniform(-LARGEST_MM, LARGEST_MM) * bone / np.linalg.norm(bone)
    return replace(rig, bind=bind)


def with_joints_elsewhere(rig: Rig, away_mm: float) -> Rig:
    """The rig with the inner joints of its fingers moved towards their tips by one length, its skin as it is."""
    bind, places = rig.bind.copy(), rig.keypoints_mm
    for row in (row for row in range(2, 21) if row % 4):
        bone = places[row + 1] - places[row]
        bind[rig.keypoint_joints[row], :, 3] += away_mm * bone / np.linalg.norm(bone)
    return replace(rig, bind=bind)
