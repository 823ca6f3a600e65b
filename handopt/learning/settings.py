"""How the network of proposals is trained: every number, which a TOML file can change."""

from dataclasses import dataclass
from math import cos, pi
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta

from handopt.config.constraints import Checked, Fraction, LengthMm, build_from_toml

Images = Annotated[int, Meta(gt=0, le=4096)]
Many = Annotated[int, Meta(gt=0, le=10_000_000)]
Rate = Annotated[float, Meta(gt=0, le=1)]


def warmed_cosine(highest: float, step: int, warm_up: int, share: float) -> float:
    """A learning rate that rises for warm_up steps and falls to 0 with the cosine of the share that is done."""
    return highest * min(1.0, (step + 1) / warm_up) * 0.5 * (1 + cos(pi * min(1.0, share)))


@dataclass(frozen=True)
class TrainSettings(Checked):
    """All numbers of a training run, most of them chosen by hand. Raises ConfigError.

    steps: batches, at most. batch: images in a step. heads: hypotheses of an image. rate: the highest learning rate of
    AdamW; it rises for warm_up_steps and falls to 0 with the cosine of the share that is done. weight_decay: of AdamW.
    largest_gradient: norm to which gradients are cut. temperature_mm falls to final_temperature_mm by the share
    cooled_at: how much heads learn from images that another one explains better. average: of the weights, that are kept
    and not renewed in each step. Images come in blocks of block_images; one more every steps_per_block steps, and the
    last pool_blocks of them are drawn from. labelled_share of each batch are images whose pixels are labelled
    (handopt.learning.labelled_images), which come in blocks of labelled_images, one more every steps_per_labelled_block
    steps. held_out_blocks: of other seeds, for the scores, every report_steps steps.
    checkpoint_s: seconds between checkpoints. bfloat16: whether the layers multiply numbers of 16 bits; weights, losses
    and the model are float32
    """

    steps: Many = 20_000
    batch: Images = 128
    heads: Annotated[int, Meta(gt=0, le=64)] = 16
    rate: Rate = 2e-3
    warm_up_steps: Many = 300
    weight_decay: Annotated[float, Meta(ge=0, le=1)] = 0.02
    largest_gradient: Annotated[float, Meta(gt=0, le=1e6)] = 50.0
    temperature_mm: LengthMm = 30.0
    final_temperature_mm: LengthMm = 2.5
    cooled_at: Fraction = 0.6
    average: Fraction = 0.998
    block_images: Images = 1024
    block_poses: Images = 256
    first_blocks: Images = 8
    pool_blocks: Images = 32
    steps_per_block: Images = 32
    labelled_share: Fraction = 0.5
    labelled_images: Images = 256
    steps_per_labelled_block: Images = 24
    held_out_blocks: Images = 4
    report_steps: Many = 250
    checkpoint_s: Annotated[float, Meta(ge=0, le=86_400)] = 120.0
    bfloat16: bool = False

    @classmethod
    def from_toml(cls, path: Path) -> "TrainSettings":
        """Read settings from a TOML file; what it does not name keeps its default. Raises ConfigError."""
        return build_from_toml(cls, path)

    def rate_at(self, step: int, share: float) -> float:
        """The learning rate of a step, when a share of the training is done."""
        return warmed_cosine(self.rate, step, self.warm_up_steps, share)

    def temperature_at(self, share: float) -> float:
        """The temperature, mm, when a share of the training is done: it falls geometrically."""
        cooling = min(1.0, share / self.cooled_at) if self.cooled_at else 1.0
        return float(self.temperature_mm ** (1 - cooling) * self.final_temperature_mm**cooling)

    def to_dict(self) -> dict[str, Any]:
        """All settings as plain values."""
        return dict(vars(self))
