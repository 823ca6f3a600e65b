"""Images of level wild: hands with arms, sleeves and held objects, in rooms with people, as many sensors see them."""

from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

import numpy as np

from handopt.errors import ConfigError
from handopt.input.camera import Camera
from handopt.input.pixel_labels import HAND
from handopt.rig import Rig, default_rig
from handopt.rig.anatomy import MIRROR
from handopt.synth.arms import Arm
from handopt.synth.generate import (
    UNIT_MM,
    Sample,
    Settings,
    check_subject,
    life_size_rig,
    mirrored_camera,
    mirrored_scene,
    stream,
    subject_stream,
)
from handopt.synth.masks import measured_mask
from handopt.synth.noise import sense
from handopt.synth.noise_models import noise_model
from handopt.synth.sensors import sample_camera, sample_noise
from handopt.synth.smoothing import grained, smoothed
from handopt.synth.subject import Subject, check_surface, sample_subject
from handopt.synth.wild_config import CONFIG
from handopt.synth.wild_scene import Content, WildScene, sample_content, sample_scene
from handopt.typing import Bools, Floats, Mask

WILD: Final = "wild"
# What a random stream is for. Streams do not depend on each other, so that an option changes nothing but its own part.
_SIDE, _, _CONTENT, _SCENE, _SENSOR, _CAMERA, _FILTER = range(7)  # 1: the subject's, in generate


@dataclass(frozen=True)
class WildSettings:
    """What is the same for all images of a run of level wild. Raises ConfigError.

    hand: "right", "left" or "random". camera: of all images, None for another in each; noise: a name of
    handopt.synth.noise, None for another in each image. held, other_hand, forearm, background: whether there is such a
    thing, None for a share of the images; without a forearm the hand is cut off at the wrist. surface_rms_mm: of a
    displacement of the skin, None for another in each image. subject_seed: of the one subject that all images show,
    None for another in each. rig: a right hand.
    """

    seed: int = 0
    hand: Literal["right", "left", "random"] = "random"
    camera: Camera | None = None
    noise: str | None = None
    held: bool | None = None
    other_hand: bool | None = None
    forearm: bool | None = None
    background: bool | None = None
    surface_rms_mm: float | None = None
    subject_seed: int | None = None
    rig: Rig = field(default_factory=default_rig)

    def __post_init__(self) -> None:
        """Check the values."""
        check_subject(self.hand, self.rig, seed=self.seed, subject_seed=self.subject_seed)
        if self.other_hand and self.forearm is False:
            raise ConfigError("other_hand: not without a forearm, where all but the hand is cut away")
        if self.background and self.forearm is False:
            raise ConfigError("background: not without a forearm, where all but the hand is cut away")
        if self.noise is not None:
            noise_model(self.noise)
        if self.surface_rms_mm is not None:
            check_surface(self.surface_rms_mm)

    def to_dict(self) -> dict[str, Any]:
        """The settings as JSON values."""
        content = ("held", "other_hand", "forearm", "background")
        plain = ("seed", "hand", "noise", *content, "surface_rms_mm", "subject_seed")
        camera = None if self.camera is None else self.camera.to_dict()
        return {**{name: getattr(self, name) for name in plain}, "camera": camera, "rig": self.rig.name}


@dataclass(frozen=True)
class OtherHand:
    """The second hand of an image.

    side: which; joints: (21, 3) mm; visible: (21,); touching: whether the hands touch
    """

    side: Literal["right", "left"]
    joints: Floats
    visible: Bools
    touching: bool


@dataclass(frozen=True)
class WildSample:
    """An image of level wild with what it shows; everything belongs to the side that `sample.side` says.

    sample: image, hand and scene, as of the other levels. settings: what the image alone was made with, noise and
    camera included. clean_mask: (H, W) values of PIXEL_LABELS for scene.depth; mask: the same for the pixels that are
    measured, 0 elsewhere. visible: (21,) joints that nothing hides. view: "egocentric", "frontal" or "any". arm: None
    where the image shows nothing of it. crop: how a segmentation has cut the image. held: the kind of the object, None
    for none; grip: "palm" or "pinch"; touching: (5,) digits that touch it. other: the second hand. filter_passes: of
    the camera's own filter, 0 for none
    """

    sample: Sample
    settings: Settings
    clean_mask: Mask
    mask: Mask
    visible: Bools
    view: str
    arm: Arm | None
    crop: str
    held: str | None
    grip: str | None
    touching: Bools
    other: OtherHand | None
    filter_passes: int


def generate_wild(settings: WildSettings, index: int) -> WildSample:
    """Make the image of a number: the same for the same settings, whatever else is made. Raises ConfigError.

    A left hand is the mirror image of the right hand of the same seed, but for the sensor.
    """
    side = settings.hand
    if side == "random":
        side = "left" if stream(settings, WILD, index, _SIDE).random() < 0.5 else "right"
    camera, noise = _sensor(settings, index)
    drawn = camera if side == "right" else mirrored_camera(camera)
    subject = _subject(settings, index)
    content = sample_content(
        stream(settings, WILD, index, _CONTENT),
        held=settings.held,
        other_hand=settings.other_hand,
        forearm=settings.forearm,
        background=settings.background,
    )
    passes, grain_mm = _filter(settings, index, noise)
    draws, sensor = stream(settings, WILD, index, _SCENE), stream(settings, WILD, index, _SENSOR)
    for _ in range(CONFIG.scenes):
        wild = sample_scene(draws, content, subject, settings.rig, drawn)
        if settings.background and not wild.background:
            continue
        scene, clean = wild.scene, wild.mask
        measured = sense(scene.depth, drawn, noise_model(noise), sensor, mirrored=side == "left")
        if passes:
            measured = grained(smoothed(measured, passes), grain_mm, sensor)
        counts = np.clip(np.rint(measured / UNIT_MM), 0, 65535).astype(np.uint16)
        mask = measured_mask(scene.depth, clean, counts * np.float32(UNIT_MM))
        left_over = np.count_nonzero(mask == HAND)
        if left_over >= max(CONFIG.least_hand_px, CONFIG.least_measured_share * np.count_nonzero(clean == HAND)):
            break
    else:
        raise ConfigError(
            f"image {index} of {WILD}: too little of the hand is measured, or nothing around it: change seed= or noise="
        )
    if side == "left":
        counts, mask, clean = (np.ascontiguousarray(each[:, ::-1]) for each in (counts, mask, clean))
        scene = mirrored_scene(scene, camera)
    plain = Settings(
        settings.seed, camera, settings.hand, noise, surface_rms_mm=subject.surface_rms_mm, rig=settings.rig
    )
    sample = Sample(WILD, index, side, counts, wild.hand, scene, content.forearm, wild.background, wild.tries)
    return _sample(sample, plain, wild, content, (clean, mask), passes)


def wild_true_rig(settings: WildSettings) -> Rig:
    """The one subject's hand in real size, as a rig of the settings' side (a right one for "random").

    Raises ConfigError without subject_seed.
    """
    return life_size_rig(settings, lambda: _subject(settings, 0))


def _sample(
    sample: Sample, plain: Settings, wild: WildScene, content: Content, masks: tuple[Mask, Mask], passes: int
) -> WildSample:
    other = None
    if wild.other is not None:
        joints = wild.other.joints * (MIRROR if sample.side == "left" else 1.0)
        opposite: Literal["right", "left"] = "left" if sample.side == "right" else "right"
        other = OtherHand(opposite, joints, wild.other.visible, wild.other.touching)
    grasp = wild.grasp
    return WildSample(
        sample=sample,
        settings=plain,
        clean_mask=masks[0],
        mask=masks[1],
        visible=wild.visible,
        view=content.view,
        arm=wild.arm,
        crop=content.crop,
        held=None if grasp is None else grasp.object.kind,
        grip=None if grasp is None else grasp.grip,
        touching=np.zeros(5, bool) if grasp is None else grasp.touching,
        other=other,
        filter_passes=passes,
    )


def _sensor(settings: WildSettings, index: int) -> tuple[Camera, str]:
    """The camera and the noise of an image."""
    rng = stream(settings, WILD, index, _CAMERA)
    camera, noise = sample_camera(rng)
    if settings.camera is not None:
        camera, noise = settings.camera, sample_noise(rng)
    return camera, noise if settings.noise is None else settings.noise


def _filter(settings: WildSettings, index: int, noise: str) -> tuple[int, float]:
    """How often the camera's own filter goes over an image, never where there is no noise, and what it leaves, mm."""
    rng = stream(settings, WILD, index, _FILTER)
    filtered, passes = rng.random() < CONFIG.filter.share, int(rng.integers(*CONFIG.filter.passes, endpoint=True))
    return passes if filtered and noise != "none" else 0, float(rng.uniform(*CONFIG.filter.grain_mm))


def _subject(settings: WildSettings, index: int) -> Subject:
    """The person that an image shows."""
    rng = subject_stream(settings, WILD, index)
    subject = sample_subject(rng)
    rms = float(rng.uniform(*CONFIG.surface_rms_mm)) if rng.random() < CONFIG.surface_share else 0.0
    return replace(subject, surface_rms_mm=rms if settings.surface_rms_mm is None else settings.surface_rms_mm)
