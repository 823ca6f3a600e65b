"""One labelled image: a subject, a pose, a scene and a sensor, each drawn from the seed, the level and the number."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from handopt.errors import ConfigError
from handopt.input.camera import Camera
from handopt.rig import Rig, default_rig
from handopt.rig.anatomy import MIRROR
from handopt.synth.config import SYNTH
from handopt.synth.forearm import sample_forearm
from handopt.synth.noise import sense
from handopt.synth.noise_models import noise_model
from handopt.synth.poses import LEVELS, HandSample, Level, check_level, sample_hand
from handopt.synth.scene import Scene, build_scene
from handopt.synth.subject import Subject, check_surface, sample_subject

CAMERA: Final = Camera(475.0, 475.0, 319.5, 239.5, 640, 480, "synth")
"""About an SR305's: focal lengths and centre in px, and the size of the image."""
UNIT_MM: Final = 1.0
"""Depth of a count, mm."""
HANDS: Final = ("right", "left", "random")
# What a random stream is for. Streams do not depend on each other, so that an option changes nothing but its own part.
_SIDE, _SUBJECT, _CONTENT, _HAND, _SENSOR = range(5)


class HasSubject(Protocol):
    """What the settings of all levels have: the seeds, the side and the rig of the people in the images."""

    @property
    def seed(self) -> int: ...
    @property
    def subject_seed(self) -> int | None: ...
    @property
    def hand(self) -> str: ...
    @property
    def rig(self) -> Rig: ...


def check_subject(hand: str, rig: Rig, **seeds: int | None) -> None:
    """Refuse an unknown side, a left rig, and negative seeds. Raises ConfigError."""
    if hand not in HANDS:
        raise ConfigError(f"unknown hand {hand!r}: choose {', '.join(HANDS)}")
    for name, value in seeds.items():
        if value is not None and value < 0:
            raise ConfigError(f"{name} is {value}, expected a whole number from 0")
    if rig.side != "right":
        raise ConfigError("rig: expected a right hand; mirror a left one first")


@dataclass(frozen=True)
class Settings:
    """What is the same for all images of a run. Raises ConfigError.

    hand: "right", "left" or "random". noise: a name of handopt.synth.noise. forearm, background: whether there is one,
    None for a share of the images that depends on the level. surface_rms_mm: of a displacement of every subject's skin.
    subject_seed: of the one subject that all images show, None for another in each. rig: a right hand.
    """

    seed: int = 0
    camera: Camera = CAMERA
    hand: Literal["right", "left", "random"] = "right"
    noise: str = "sr305"
    forearm: bool | None = None
    background: bool | None = None
    surface_rms_mm: float = 0.0
    subject_seed: int | None = None
    rig: Rig = field(default_factory=default_rig)

    def __post_init__(self) -> None:
        """Check the values."""
        check_subject(self.hand, self.rig, seed=self.seed, subject_seed=self.subject_seed)
        noise_model(self.noise)
        check_surface(self.surface_rms_mm)

    def to_dict(self) -> dict[str, Any]:
        """The settings as JSON values."""
        plain = ("seed", "hand", "noise", "forearm", "background", "surface_rms_mm", "subject_seed")
        return {**{name: getattr(self, name) for name in plain}, "camera": self.camera.to_dict(), "rig": self.rig.name}


@dataclass(frozen=True)
class Sample:
    """A synthetic image with what it shows; everything belongs to the side that `side` says.

    counts: (H, W) uint16, UNIT_MM each. sample: the hand, as drawn for a right one; scene: mirrored for a left one
    """

    level: Level | Literal["wild"]
    index: int
    side: Literal["right", "left"]
    counts: NDArray[np.uint16]
    hand: HandSample
    scene: Scene
    forearm: bool
    background: bool
    tries: int


def generate(settings: Settings, level: Level, index: int) -> Sample:
    """Make the image of a level and a number: the same for the same settings, whatever else is made.

    A left hand is the mirror image of the right hand of the same seed. Raises ConfigError.
    """
    check_level(level)
    side = settings.hand
    if side == "random":
        side = "left" if stream(settings, level, index, _SIDE).random() < 0.5 else "right"
    camera = settings.camera if side == "right" else mirrored_camera(settings.camera)
    subject = subject_of(settings, level, index)
    content = stream(settings, level, index, _CONTENT).random(2)
    shares = SYNTH.levels[level]
    forearm = bool(content[0] < shares.forearm_share) if settings.forearm is None else settings.forearm
    background = bool(content[1] < shares.background_share) if settings.background is None else settings.background
    hand, scene, tries = _seen(settings, level, index, subject, camera, forearm, background)
    sensor = stream(settings, level, index, _SENSOR)
    sensed = sense(scene.depth, camera, noise_model(settings.noise), sensor, mirrored=side == "left")
    counts = np.clip(np.rint(sensed / UNIT_MM), 0, 65535).astype(np.uint16)
    if side == "left":
        counts, scene = np.ascontiguousarray(counts[:, ::-1]), mirrored_scene(scene, settings.camera)
    return Sample(level, index, side, counts, hand, scene, forearm, background, tries)


def _seen(
    settings: Settings, level: Level, index: int, subject: Subject, camera: Camera, forearm: bool, background: bool
) -> tuple[HandSample, Scene, int]:
    """Draw hands until the forearm leaves enough of one in view: hand, scene, and how many were drawn."""
    rng = stream(settings, level, index, _HAND)
    draws = SYNTH.scene.max_tries
    rig = subject.dress(settings.rig)
    for tries in range(1, draws + 1):
        hand = sample_hand(rng, level, subject=subject, rig=settings.rig)
        arm = sample_forearm(rng)
        scene = build_scene(rng, hand, rig, camera, forearm=arm if forearm else None, background=background)
        if scene.shows_enough(hand.scale):
            return hand, scene, tries
    raise ConfigError(f"image {index} of {level}: the forearm hides the hand in {draws} draws: change seed=")


def true_rig(settings: Settings) -> Rig:
    """The one subject's hand in real size, as a rig of the settings' side. Raises ConfigError without subject_seed."""
    return life_size_rig(settings, lambda: subject_of(settings, LEVELS[0], 0))


def life_size_rig(settings: HasSubject, subject: Callable[[], Subject]) -> Rig:
    """A run's one subject as a rig of its side. Raises ConfigError without subject_seed."""
    if settings.subject_seed is None:
        raise ConfigError("subject_seed: needed, since each image shows another hand without")
    rig = subject().life_size(settings.rig)
    return rig.mirrored() if settings.hand == "left" else rig


def stream(settings: HasSubject, level: str, index: int, purpose: int) -> np.random.Generator:
    """The random numbers for a purpose in an image of a level, "wild" being the one after the others."""
    return np.random.default_rng([settings.seed, (*LEVELS, "wild").index(level), index, purpose])


def subject_stream(settings: HasSubject, level: str, index: int) -> np.random.Generator:
    """The random numbers of the person that an image shows."""
    if settings.subject_seed is None:
        return stream(settings, level, index, _SUBJECT)
    return np.random.default_rng([settings.subject_seed, _SUBJECT])


def subject_of(settings: Settings, level: Level, index: int) -> Subject:
    """The person that an image shows."""
    return sample_subject(subject_stream(settings, level, index), settings.surface_rms_mm)


def mirrored_camera(camera: Camera) -> Camera:
    """The camera that sees the mirror image."""
    return replace(camera, cx=camera.width - 1 - camera.cx)


def mirrored_scene(scene: Scene, camera: Camera) -> Scene:
    """The mirror image of a scene, as the camera sees it."""
    return Scene(
        camera=camera,
        translation=scene.translation * MIRROR,
        vertices=scene.vertices * MIRROR,
        joints=scene.joints * MIRROR,
        depth=np.ascontiguousarray(scene.depth[:, ::-1]),
        hand_depth=np.ascontiguousarray(scene.hand_depth[:, ::-1]),
    )
