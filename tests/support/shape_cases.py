"""A synthetic person in a few images, and what handopt shape makes of them, for the tests of shapes."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from handopt import backend
from handopt.config import Config, FitSettings, LMSettings
from handopt.hand_model import Pose
from handopt.objective.targets import FitTargets, build_targets
from handopt.rig import default_rig
from handopt.shape import ShapeInput, ShapeResult, fit_shape
from handopt.shape.bone_lengths import SHAPE_NAMES
from handopt.shape.single_fits import SingleFit, fit_each, poses_of
from handopt.shape.state import HandShape, Template
from handopt.synth.generate import Sample, Settings, generate

Floats = NDArray[np.float64]

CPU = backend.Device("cpu")
SETTINGS = Settings(seed=11, subject_seed=4, surface_rms_mm=2.0, noise="low", background=False)
LM_SETTINGS = LMSettings(3, 6.0, points=300, plane=0.9, free_space_mm=15.0, prior=0.1, scale=True, proportions=True)
COUNT = 4


@lru_cache
def samples(hand: str = "right", subject: int = 4, count: int = COUNT) -> tuple[Sample, ...]:
    """Images of one subject, most of them open hands."""
    settings = Settings(**{**vars(SETTINGS), "hand": hand, "subject_seed": subject})
    return tuple(generate(settings, "easy", index) for index in range(count))


def frames(hand: str = "right", subject: int = 4, count: int = COUNT) -> list[ShapeInput]:
    """The same as frames called 0, 1, …"""
    return [
        ShapeInput(str(number), sample.counts.astype(np.float32), sample.scene.camera)
        for number, sample in enumerate(samples(hand, subject, count))
    ]


@lru_cache
def single_fits() -> tuple[SingleFit, ...]:
    """The images fitted one by one."""
    return tuple(fit_each(frames(), hand="right", rig=None, settings=FitSettings(device="cpu"))[0])


@lru_cache
def calibrated() -> ShapeResult:
    """The subject's hand from all images."""
    return fit_shape(frames(), device="cpu")


@lru_cache
def template() -> Template:
    """The default right hand in float64, so that finite differences are exact."""
    return Template.of(default_rig(), CPU, np.float64)


@lru_cache
def targets() -> FitTargets:
    """Of all images, in float64."""
    return build_targets(
        [take.view for take in single_fits()],
        5.0,
        Config(points=300, crop_px=64),
        np.random.default_rng(1),
        CPU,
        np.float64,
    )


def start() -> tuple[Pose, HandShape]:
    """The poses of the single fits, in float64, and a common shape to begin with."""
    pose = poses_of(single_fits())
    pose = Pose(**{name: v if name == "image" else v.astype(np.float64) for name, v in vars(pose).items()})
    offsets = np.zeros_like(default_rig().rest_mm)
    return pose, HandShape(float(np.median(pose.scale)), np.zeros(len(SHAPE_NAMES)), offsets)


def smooth_offsets(size_mm: float, seed: int = 0) -> Floats:
    """Smooth offsets (V, 3) of the default hand along its normals."""
    rig = default_rig()
    rng = np.random.default_rng(seed)
    heights = np.cos(rig.rest_mm @ rng.normal(0, 1 / 25, (3, 8)) + rng.uniform(0, 6, 8)).sum(axis=1)
    return np.asarray(rig.normals * (size_mm * heights / np.abs(heights).max())[:, None])
