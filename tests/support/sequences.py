"""Short synthetic sequences that several tests share."""

import tempfile
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from handopt.input.camera import Camera
from handopt.input.sequence.base import SequenceFrame
from handopt.rig import load_rig
from handopt.synth.generate import Sample, Settings
from handopt.synth.sequence import Timing, generate_sequence
from handopt.tracking.run import Run
from handopt.tracking.track import Track
from support.mano_files import mano_arrays, write_mano

CAMERA = Camera(237.5, 237.5, 159.5, 119.5, 320, 240)
FPS = 30.0
COUNT, DROPOUT = 24, (18, 2)


@lru_cache(maxsize=2)
def samples(hand: str = "right") -> tuple[Sample, ...]:
    """The frames of a medium sequence with a dropout."""
    settings = Settings(seed=101, camera=CAMERA, hand=hand, background=False)
    return tuple(sample for sample, _ in generate_sequence(settings, "medium", COUNT, Timing(FPS, 1.0, DROPOUT)))


def frames(hand: str = "right", *, timed: bool = True) -> list[SequenceFrame]:
    """The same as frames of a source."""
    return [
        SequenceFrame(index, f"{index:03d}.png", sample.counts.astype(np.float32), index / FPS if timed else None)
        for index, sample in enumerate(samples(hand))
    ]


def truth(hand: str = "right") -> NDArray[np.float64]:
    """The joints (T, 21, 3)."""
    return np.array([sample.scene.joints for sample in samples(hand)])


@lru_cache(maxsize=4)
def followed(hand: str = "right", smooth: bool = True) -> Track:
    """The track of the frames."""
    run = Run(CAMERA, hand, smooth=smooth)
    for frame in frames(hand):
        run.push(frame)
    return run.track("frames", FPS)


@lru_cache(maxsize=2)
def mano_track(hand: str = "right") -> Track:
    """The motion of that track by a hand of MANO's layout, whose pose correctives move the skin."""
    with tempfile.TemporaryDirectory() as folder:
        rig = load_rig(write_mano(Path(folder) / f"MANO_{hand.upper()}.pkl", mano_arrays(hand)))
    assert rig.shape_space is not None
    betas = np.random.default_rng(4).normal(size=len(rig.shape_names))
    return replace(followed(hand), rig=rig, proportions=rig.shape_space.coefficients(betas))
