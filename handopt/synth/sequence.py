"""A sequence of labelled images: one person's hand in motion before one background, seen by a noisy sensor."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from handopt.errors import ConfigError
from handopt.synth.background import Background, sample_background
from handopt.synth.config import SYNTH
from handopt.synth.generate import (
    UNIT_MM,
    Sample,
    Settings,
    mirrored_camera,
    mirrored_scene,
    stream,
    subject_of,
)
from handopt.synth.motion import Motion
from handopt.synth.noise import sense
from handopt.synth.noise_models import noise_model
from handopt.synth.poses import Level, check_level
from handopt.synth.scene import compose

FPS: Final = 30.0
"""Frames a second: those of most depth cameras."""
# What a random stream is for, apart from those of single images.
_MOTION, _AROUND, _SENSOR = range(100, 103)


@dataclass(frozen=True)
class Timing:
    """How a sequence runs. Raises ConfigError.

    fps: frames a second. speed: factor of all speeds, 0 for a hand that holds still. dropout: first frame and number of
    frames without any measurement, or None.
    """

    fps: float = FPS
    speed: float = 1.0
    dropout: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        """Check the values."""
        if not 0 < self.fps < np.inf:
            raise ConfigError(f"fps is {self.fps}, expected a number above 0")
        if not 0 <= self.speed < np.inf:
            raise ConfigError(f"speed is {self.speed}, expected a number from 0")
        if self.dropout is not None and min(self.dropout) < 0:
            raise ConfigError(f"dropout is {self.dropout}, expected a first frame and a number of frames, from 0")

    def dropped(self, index: int) -> bool:
        """Whether a frame has no measurement."""
        return self.dropout is not None and self.dropout[0] <= index < sum(self.dropout)

    def to_dict(self) -> dict[str, Any]:
        """The settings as JSON values."""
        return {"fps": self.fps, "speed": self.speed, "dropout": None if self.dropout is None else list(self.dropout)}


def generate_sequence(
    settings: Settings, level: Level, count: int, timing: Timing | None = None
) -> Iterator[tuple[Sample, dict[str, Any]]]:
    """Make the frames of a sequence in order, each with what the labels say of its place in it.

    A left hand is the mirror image of the right hand of the same seed. Raises ConfigError.
    """
    check_level(level)
    timing = timing or Timing()
    side = settings.hand
    if side == "random":
        side = "left" if stream(settings, level, 0, _AROUND).random() < 0.5 else "right"
    camera = settings.camera if side == "right" else mirrored_camera(settings.camera)
    subject = subject_of(settings, level, 0)
    chances = stream(settings, level, 1, _AROUND)
    shares = SYNTH.levels[level]
    forearm = bool(chances.random() < shares.forearm_share) if settings.forearm is None else settings.forearm
    around_it = bool(chances.random() < shares.background_share) if settings.background is None else settings.background
    motion = Motion(
        stream(settings, level, 0, _MOTION), level, subject, settings.rig, camera,
        seconds=count / timing.fps, speed=timing.speed, forearm=forearm,
    )  # fmt: skip
    around = _background(settings, level, motion) if around_it else None
    dressed = subject.dress(settings.rig)
    for index in range(count):
        time_s = index / timing.fps
        key, transition = motion.at(time_s)
        scene = compose(key.hand, dressed, camera, motion.placed(key), key.forearm, around)
        sensed = sense(
            scene.depth, camera, noise_model(settings.noise), stream(settings, level, index, _SENSOR),
            mirrored=side == "left",
        )  # fmt: skip
        counts = np.clip(np.rint(sensed / UNIT_MM), 0, 65535).astype(np.uint16)
        if timing.dropped(index):
            counts[:] = 0
        if side == "left":
            counts, scene = np.ascontiguousarray(counts[:, ::-1]), mirrored_scene(scene, settings.camera)
        sample = Sample(level, index, side, counts, key.hand, scene, forearm, around_it, key.hand.tries)
        yield (
            sample,
            {"frame": index, "time_s": round(time_s, 6), "transition": transition, "dropout": timing.dropped(index)},
        )


def _background(settings: Settings, level: Level, motion: Motion) -> Background:
    """What stands behind all that the hand passes through."""
    points = np.concatenate([motion.vertices(key) for key in motion.keys])
    return sample_background(stream(settings, level, 2, _AROUND), points)
