"""Images to learn from as fits see them in real rooms: scenes of level wild, whose pixels the networks have labelled.

Each scene is looked at once, and again around the hand that the network that comes with handopt sees there. Both looks
are cut into views, with what each says of every pixel that is measured.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from handopt.errors import ConfigError, ObservationError
from handopt.input.camera import Camera
from handopt.learning.images import Arrays, images_of
from handopt.observation.pixel_reading import NEAREST_MM, PixelReading, read_windows, three_in, turned_as_well
from handopt.observation.second_look import look_again
from handopt.observation.surfaces import flipped, lifted_points
from handopt.optimise.second_looks import LEAST_PX, REACH_MM, predicted_hand
from handopt.proposals.features import CenteredView, SeenHand, centered_view, to_view
from handopt.rig.anatomy import MIRROR
from handopt.rig.joints import palm_of
from handopt.synth import WildSettings, generate_wild
from handopt.synth.generate import UNIT_MM as DEPTH_UNIT_MM
from handopt.synth.wild import WildSample
from handopt.typing import AnyArray, BoolImage, FloatImage, Floats, Vector

HELD_SHARE: Final = 0.55
"""Scenes in which the hand holds something."""
TURNS: Final = 3
"""Views of each look, turned about their middles at random."""
JITTER_MM: Final = np.array([22.0, 22.0, 16.0])
"""Deviation of the guessed palm from the true one, mm; at most twice that."""
LEAST_PRESENCE, LEAST_SECOND_PRESENCE, FARTHEST_MM = 0.05, 0.3, 60.0
"""Looks that see a palm less, or farther from the true one, are no views."""
TURNED_SHARE: Final = 0.7
"""First looks in four turns, as fits do it where something else may be near."""
PLAIN_SHARE, OTHER_THRESHOLD_SHARE = 0.55, 0.2
"""Views of what is more probably the hand's than not, and of what is so with another probability than a half; the rest
have the forearm as well, of which most is cut off."""
THRESHOLDS: Final = (0.15, 0.85)
WITH_ARM_MM, CUT_SHARE, CUT_MM, ARM_ERROR = (95.0, 150.0), 0.8, (77.0, 12.0), 0.12
STREAM: Final = 6
"""What the generator of a block's scenes is for, beside those of handopt.learning.images."""


@dataclass(frozen=True, eq=False)
class _Scene:
    """An image of a right hand, or the mirror image of one of a left hand."""

    camera: Camera
    depth_mm: FloatImage
    joints_mm: Floats
    mirrored: bool
    sample: WildSample

    @property
    def palm_mm(self) -> Vector:
        return palm_of(self.joints_mm)


def labelled_images(count: int, key: tuple[int, ...]) -> Arrays:
    """Make count images of the block that a key stands for.

    Returns the arrays of handopt.learning.images.render_images, and measured (N, 64, 64), as offset, of all that is
    measured, with labels (N, 64, 64, 3) uint8: the probabilities of hand, forearm and other things, 255 is 1.
    """
    rng = np.random.default_rng((*key, STREAM))
    rows: list[dict[str, AnyArray]] = []
    while len(rows) < count:
        rows += _rows(rng)
    return {name: np.stack([row[name] for row in rows[:count]]) for name in rows[0]}


def _rows(rng: np.random.Generator) -> list[dict[str, AnyArray]]:
    """The views of one scene, none where nothing of a hand is seen."""
    settings = WildSettings(seed=int(rng.integers(2**31)), held=bool(rng.random() < HELD_SHARE))
    try:
        scene = _scene(generate_wild(settings, 0))
        looks = list(_looks(scene, rng))
    except (ConfigError, ObservationError):  # a draw for which there is no view, or no palm is seen
        return []
    rows: list[dict[str, AnyArray]] = []
    for look in looks:
        labels = three_in(look, scene.depth_mm, scene.camera)
        for _ in range(TURNS):
            rows += _view(scene, look, labels, rng)
    return rows


def _scene(wild: WildSample) -> _Scene:
    sample, mirrored = wild.sample, wild.sample.side == "left"
    depth = sample.counts.astype(np.float32) * np.float32(DEPTH_UNIT_MM)
    camera, joints = sample.scene.camera, sample.scene.joints
    if mirrored:
        return _Scene(camera.mirrored(), flipped(depth), joints * MIRROR, mirrored, wild)
    return _Scene(camera, depth, joints, mirrored, wild)


def _looks(scene: _Scene, rng: np.random.Generator) -> Iterator[PixelReading]:
    """The first look around a palm that is guessed, and the second one. Raises ObservationError without a palm."""
    depth, camera = scene.depth_mm, scene.camera
    guess = scene.palm_mm + np.clip(rng.normal(0.0, 1.0, 3), -2, 2) * JITTER_MM
    first = read_windows(depth, camera, np.maximum(guess, (-np.inf, -np.inf, NEAREST_MM))[None])[0]
    astray = np.linalg.norm(first.palm_mm - scene.palm_mm) > FARTHEST_MM
    if first.presence < LEAST_PRESENCE or astray or first.palm_mm[2] < NEAREST_MM:
        raise ObservationError("no palm is seen")
    if rng.random() < TURNED_SHARE:
        first = turned_as_well(first)
    yield first
    labels = three_in(first, depth, camera)
    predicted = predicted_hand(depth, camera, labels[..., 0] > 0.5, first.palm_mm, (False, True), labels=labels)
    if predicted is None:
        return
    second = look_again(depth, camera, first, predicted.skin_mm, predicted.palm_mm, predicted.size)
    if second.presence > LEAST_SECOND_PRESENCE and second.palm_mm[2] > NEAREST_MM:
        yield second


def _view(
    scene: _Scene, look: PixelReading, labels: FloatImage, rng: np.random.Generator
) -> Iterator[dict[str, AnyArray]]:
    """The arrays of one view, none where it would show too little."""
    seen = _seen(scene, look, labels, rng)
    if len(seen.points_mm) < LEAST_PX:
        return
    try:
        view = centered_view(seen, turn_rad=rng.uniform(-np.pi, np.pi))
    except ObservationError:
        return
    if np.isfinite(view.offset_mm).sum() >= LEAST_PX:
        yield _arrays(scene, view)


def _seen(scene: _Scene, look: PixelReading, labels: FloatImage, rng: np.random.Generator) -> SeenHand:
    """What is taken for the hand's, of one reading or another."""
    kind = rng.random()
    with_arm = kind >= PLAIN_SHARE + OTHER_THRESHOLD_SHARE
    if with_arm:
        mask = labels[..., 0] + labels[..., 1] > 0.5
    else:
        mask = labels[..., 0] > (0.5 if kind < PLAIN_SHARE else rng.uniform(*THRESHOLDS))
    mask &= scene.depth_mm > 0
    points = lifted_points(scene.camera, scene.depth_mm, mask)
    away = points - look.palm_mm
    near = np.linalg.norm(away, axis=1) < (rng.uniform(*WITH_ARM_MM) if with_arm else REACH_MM)
    if with_arm and rng.random() < CUT_SHARE:
        arm = look.wrist_direction + rng.normal(0.0, ARM_ERROR, 3)
        near &= away @ (arm / np.linalg.norm(arm)) < rng.normal(*CUT_MM)
    return SeenHand(scene.camera, scene.depth_mm, _kept(mask, near), points[near], labels)


def _kept(mask: BoolImage, chosen: AnyArray) -> BoolImage:
    """A mask without those of its pixels that are not chosen."""
    kept = mask.copy()
    kept.ravel()[np.flatnonzero(mask)[~chosen]] = False
    return kept


def _arrays(scene: _Scene, view: CenteredView) -> dict[str, AnyArray]:
    hand, joints = scene.sample.sample.hand, scene.joints_mm @ view.rotation.T
    return {
        **images_of(view),
        "angles": hand.angles_rad.astype(np.float32),
        "rotation": (view.rotation @ hand.rotation).astype(np.float32),
        "wrist": (joints[0] - [0.0, 0.0, view.distance_mm]).astype(np.float32),
        "scale": np.asarray(hand.scale, np.float32),
        "proportions": np.asarray(hand.proportions, np.float32),
        "visible": np.asarray(scene.sample.visible, np.bool_),
        "keypoints": to_view(joints, view.distance_mm).astype(np.float32),
    }
