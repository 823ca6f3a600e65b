"""Sequences of two hands that move on given ways: nearer surfaces hide farther ones, and one sensor sees both."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from handopt.assess.visibility import visible_joints
from handopt.input.camera import Camera
from handopt.input.sequence.base import SequenceFrame
from handopt.synth.generate import Settings, mirrored_camera, mirrored_scene, stream, subject_of
from handopt.synth.motion import Motion
from handopt.synth.noise import sense
from handopt.synth.noise_models import noise_model
from handopt.synth.scene import Scene, compose
from handopt.tracking.track import Track
from handopt.typing import Bools, FloatImage, Floats

CAMERA = Camera(237.5, 237.5, 159.5, 119.5, 320, 240)
FPS = 30.0
Course = Callable[[float], tuple[float, float, float]]
"""The middle of a hand's joints in the camera frame, mm, at a share 0..1 of the sequence."""


@dataclass(frozen=True)
class Hands:
    """A sequence of H hands. frames: T of them. joints: (H, T, 21, 3) mm; visible: (H, T, 21)."""

    sides: tuple[str, ...]
    frames: list[SequenceFrame]
    joints: Floats
    visible: Bools


def pass_each_other(depth_mm: float) -> tuple[Course, Course]:
    """From one side to the other and back, the second hand behind the first by a distance."""
    return (
        lambda share: (-130 * np.cos(2 * np.pi * share), 10.0, 430.0),
        lambda share: (130 * np.cos(2 * np.pi * share), 10.0, 430.0 + depth_mm),
    )


def second_leaves() -> tuple[Course, Course]:
    """The first hand stays, and the second one leaves the image to the right and comes back."""
    return (
        lambda share: (-110.0, 20 * np.sin(2 * np.pi * share), 430.0),
        lambda share: (110 + 480 * np.sin(np.pi * share) ** 4, 10.0, 450.0),
    )


@lru_cache(maxsize=4)
def two_hands(
    ways: tuple[Course, Course],
    seed: int,
    count: int,
    sides: tuple[str, str] = ("right", "left"),
    *,
    forearm: bool = False,
) -> Hands:
    """An easy sequence: each hand in poses of its own, on its way, without a background."""
    scenes = [
        _scenes(way, side, seed + 50 * index, count, forearm=forearm)
        for index, (way, side) in enumerate(zip(ways, sides, strict=True))
    ]
    depths = [_nearest([each[row][0].depth for each in scenes]) for row in range(count)]
    settings = Settings(seed=seed, camera=CAMERA)
    sensed = [
        np.rint(sense(depth, CAMERA, noise_model(settings.noise), stream(settings, "easy", row, 90))).clip(0)
        for row, depth in enumerate(depths)
    ]
    frames = [SequenceFrame(row, f"{row:03d}", each.astype(np.float32), row / FPS) for row, each in enumerate(sensed)]
    joints = np.array([[scene.joints for scene, _ in each] for each in scenes])
    visible = np.array(
        [[visible_joints(scene.joints, depths[row], CAMERA, scale) for row, (scene, scale) in enumerate(each)]
         for each in scenes]
    )  # fmt: skip
    return Hands(sides, frames, joints, visible & _inside(joints))


def _scenes(way: Course, side: str, seed: int, count: int, *, forearm: bool) -> list[tuple[Scene, float]]:
    """A hand alone in each frame, and its scale."""
    settings = Settings(seed=seed, camera=CAMERA, hand=side)
    camera = CAMERA if side == "right" else mirrored_camera(CAMERA)
    subject = subject_of(settings, "easy", 0)
    rng = stream(settings, "easy", 0, 91)
    motion = Motion(rng, "easy", subject, settings.rig, camera, seconds=count / FPS, forearm=forearm)
    dressed = subject.dress(settings.rig)
    scenes = []
    for row in range(count):
        key, _ = motion.at(row / FPS)
        middle = np.array(way(row / max(count - 1, 1))) * ([-1, 1, 1] if side == "left" else [1, 1, 1])
        wrist = motion.placed(key) - key.middle + middle
        scene = compose(key.hand, dressed, camera, wrist, key.forearm)
        scenes.append((mirrored_scene(scene, CAMERA) if side == "left" else scene, key.hand.scale))
    return scenes


def _nearest(depths: Sequence[FloatImage]) -> FloatImage:
    """What a camera sees of several scenes, each (H, W) mm, 0 where there is nothing."""
    depth = np.min([np.where(each > 0, each, np.inf) for each in depths], axis=0)
    return np.where(np.isfinite(depth), depth, 0).astype(np.float32)


def _inside(joints: Floats) -> Bools:
    """Which joints (..., 3) are within the image."""
    pixels = CAMERA.project(joints.reshape(-1, 3)).reshape(*joints.shape[:-1], -1)
    x, y = pixels[..., 0], pixels[..., 1]
    return np.asarray((x >= 0) & (x < CAMERA.width) & (y >= 0) & (y < CAMERA.height))


def of_hand(tracks: Sequence[Track], truth: Hands) -> list[Track]:
    """The track of each hand of a sequence: that which is nearest to it in the first frames of both.

    Which is which is not decided by sides, so that a swap later on is a swap.
    """
    found = []
    for joints in truth.joints:
        off = [np.nanmedian(distances(track, joints)[:10]) for track in tracks]
        found.append(tracks[int(np.nanargmin(off))])
    return found


def distances(track: Track, joints: Floats) -> Floats:
    """Of palms (T,), mm, NaN where there is no pose."""
    palm = [0, 5, 9, 13, 17]
    return np.asarray(np.linalg.norm(track.joints_mm()[:, palm] - joints[:, palm], axis=2).mean(axis=1))


def right_share(track: Track, truth: Hands, index: int) -> float:
    """Share of the frames in which a hand can be seen whose visible joints are all within 20 mm."""
    off = np.linalg.norm(track.joints_mm() - truth.joints[index], axis=2)
    seen = truth.visible[index].sum(axis=1) >= 8
    right = ~(truth.visible[index] & ~(off <= 20)).any(axis=1)
    return float(right[seen].mean())


def swaps(tracks: Sequence[Track], truth: Hands) -> int:
    """Frames in which the track of a hand is where the other one is, and not where its own is."""
    one, other = (distances(tracks[0], joints) for joints in truth.joints)
    one2, other2 = (distances(tracks[1], joints) for joints in truth.joints[::-1])
    return int(((other < 40) & (one > 60)).sum() + ((other2 < 40) & (one2 > 60)).sum())
