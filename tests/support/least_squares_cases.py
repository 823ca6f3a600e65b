"""Least squares of two images, a right hand and a mirrored left one, and poses near them, for the tests."""

from dataclasses import replace

import numpy as np

from handopt import backend
from handopt.config import Config, LMSettings, Weights
from handopt.hand_model import Hand, Pose
from handopt.objective.least_squares import LeastSquares
from handopt.rig import PROPORTION_NAMES, default_rig
from support.observation_factory import CPU, gather, mirrored, near_poses, small_observation

WEIGHTS = Weights(
    silhouette=2.0, points=1.5, collision=0.7, limits=0.9, prior=0.01, size=0.02, front=0.8, proportions=0.003
)
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
    return LeastSquares(hand, gather(config, views, device=device, dtype=dtype), config)


def poses(dtype: type = np.float64, shapes: int = SHAPES) -> Pose:
    """Four poses, one of them crumpled, with proportions of their own."""
    pose = near_poses((0.4, 1.0, 0.6, 2.6), (0, 1, 1, 0), dtype=dtype)
    drawn = 0.04 * np.random.default_rng(9).normal(size=(4, shapes))
    return replace(pose, proportions=drawn.astype(dtype))
