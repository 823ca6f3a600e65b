"""Least squares of two images, a right hand and a mirrored left one, and poses near them, for the tests."""

from dataclasses import replace

import numpy as np

from handopt import backend
from handopt.config import Config, LMSettings, Weights
from handopt.hand_model import Hand, Pose
from handopt.objective.least_squares import LeastSquares
from handopt.rig import PROPORTION_NAMES, default_rig
from handopt.typing import Floats
from support.observation_factory import CPU, gather, mirrored, near_poses, small_observation

WEIGHTS = Weights(
    silhouette=2.0, points=1.5, collision=0.7, limits=0.9, prior=0.01, size=0.02, front=0.8, proportions=0.003,
    votes=0.4,
)  # fmt: skip
CONFIG = Config(weights=WEIGHTS, crop_px=48, points=80, crop_half_mm=120.0, collision_radius_mm=14.0)
SETTINGS = LMSettings(6, 15.0, points=60, free_space_mm=20.0, plane=0.7, scale=True, proportions=True)
SHAPES = len(PROPORTION_NAMES)


def least_squares(
    weights: Weights = WEIGHTS, dtype: type = np.float64, vertices: int = 0, device: backend.Device = CPU
) -> LeastSquares:
    """A right hand and a mirrored left one, against all or some of the model's vertices."""
    views = [(small_observation(0.5), False), (mirrored(small_observation(1.1)), True)]
    config = replace(CONFIG, weights=weights)
    hand = Hand.of(default_rig("right"), device, dtype)
    hand = hand.coarse(vertices) if vertices else hand
    targets = gather(config, views, device=device, dtype=dtype)
    return LeastSquares(hand, replace(targets, votes=backend.to_device(votes(), device, dtype)), config)


def votes() -> Floats:
    """Where a network sees the joints of the second image, (2, 21, 4): near those of a pose, some of them far off."""
    rng, found = np.random.default_rng(12), np.zeros((2, 21, 4))
    rig = default_rig("right")
    near = poses().select(np.array([1]))
    hand = Hand.of(rig, CPU, np.float64)
    joints = hand.joints(hand.transforms(near))[0]
    found[1, :, :3] = joints + rng.normal(size=(21, 3)) * np.where(np.arange(21) % 5 == 0, 60.0, 6.0)[:, None]
    found[1, :, 3] = 1 / rng.uniform(3.0, 12.0, 21) ** 2
    found[1, 7, 3] = 0.0  # nobody was asked
    return found


def poses(dtype: type = np.float64, shapes: int = SHAPES) -> Pose:
    """Four poses, one of them crumpled, with proportions of their own."""
    pose = near_poses((0.4, 1.0, 0.6, 2.6), (0, 1, 1, 0), dtype=dtype)
    drawn = 0.04 * np.random.default_rng(9).normal(size=(4, shapes))
    return replace(pose, proportions=drawn.astype(dtype))
