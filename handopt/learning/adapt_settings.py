"""How a model is adapted to unlabelled frames: every number, which a TOML file can change."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

from msgspec import Meta

from handopt.config.constraints import Checked, Fraction, LengthMm, build_from_toml
from handopt.learning.settings import Images, Rate, warmed_cosine

Many = Annotated[int, Meta(gt=0, le=1_000_000)]
Factor = Annotated[float, Meta(ge=0, le=1000)]

SHAPES: Final = ("none", "scale", "proportions", "vertices")
"""What of the hand's own shape is free: nothing, its size, also its proportions, also its surface."""
WITH_PROPORTIONS: Final = SHAPES[2:]


@dataclass(frozen=True)
class AdaptSettings(Checked):
    """All numbers of an adaptation, chosen by hand unless said otherwise. Raises ConfigError.

    iterations: steps, at most. windows: short runs of window consecutive frames in a step. rate: highest learning rate
    of AdamW, which rises for warm_up steps and falls with a cosine. weight_decay, largest_gradient, average: as in
    TrainSettings. blend: share of what was learned in the weights of the model; the rest is of the one that it began
    with (Wortsman et al., CVPR 2022), which keeps what the frames do not show. fits, depth, smooth, rehearse,
    personal: weights of the five parts of the loss: the distance from confident fits, mm; the self-supervised loss
    against the depth images; the acceleration of the joints, mm; and the distance from the labels of rendered images,
    mm: of those that handopt train renders, against forgetting what the frames do not show, and of this person's hand,
    of the size and proportions found so far (where there are certain fits, and something of the shape is free). Blocks
    of both have rehearsed_images in rehearsed_poses; one comes every steps_per_block and one every
    steps_per_personal_block steps. sure: least confidence of a fit that is believed. leap_mm: how far a fit may be
    from the middle of its neighbours. temperature_mm: how much heads learn from images that another one explains
    better. still_mm: movement of the hand between two frames above which they are not taken to be consecutive.
    shape_rate: learning rate of the hand's own shape; rest_rate: of its surface, mm. report_every: steps between
    scores on held-out frames. patience: reports without progress after which it ends. checkpoint_s: seconds between
    checkpoints
    """

    iterations: Many = 800
    windows: Images = 16
    window: Annotated[int, Meta(ge=3, le=16)] = 3
    rate: Rate = 4e-4
    warm_up: Many = 20
    weight_decay: Annotated[float, Meta(ge=0, le=1)] = 0.01
    largest_gradient: Annotated[float, Meta(gt=0, le=1e6)] = 50.0
    average: Fraction = 0.98
    blend: Fraction = 0.7
    fits: Factor = 1.0
    depth: Factor = 1.0
    smooth: Factor = 1.0
    rehearse: Factor = 1.0
    personal: Factor = 1.0
    rehearsed_images: Images = 1024
    rehearsed_poses: Images = 256
    steps_per_block: Many = 100
    steps_per_personal_block: Many = 50
    sure: Fraction = 0.8
    leap_mm: LengthMm = 35.0
    temperature_mm: LengthMm = 5.0
    still_mm: LengthMm = 40.0
    shape_rate: Rate = 2e-3
    rest_rate: Rate = 0.02
    report_every: Many = 50
    patience: Many = 6
    checkpoint_s: Annotated[float, Meta(ge=0, le=86_400)] = 60.0

    @classmethod
    def from_toml(cls, path: Path) -> "AdaptSettings":
        """Read settings from a TOML file; what it does not name keeps its default. Raises ConfigError."""
        return build_from_toml(cls, path)

    def rate_at(self, step: int, share: float) -> float:
        """The learning rate of a step, when a share of the adaptation is done."""
        return warmed_cosine(self.rate, step, self.warm_up, share)

    def to_dict(self) -> dict[str, Any]:
        """All settings as plain values."""
        return dict(vars(self))
