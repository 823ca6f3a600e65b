"""The loss that needs no labels: rendered depth, silhouette, closest points, collision, limits, and priors."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from handopt.backend import Device
from handopt.config import Config
from handopt.errors import ConfigError, ShapeError
from handopt.objective.pose_prior import PosePrior
from handopt.objective.terms import SCALES
from handopt.torch.arrays import Tensor
from handopt.torch.depth_target import DepthTarget
from handopt.torch.hand_layer import HandLayer, HandOutput
from handopt.torch.hand_terms import TERMS, hand_loss, hand_terms


class SelfSupervisedLoss(torch.nn.Module):  # type: ignore[misc]  # torch has no types here
    """The objective of handopt's gradient descent, with the weights of its config, on what a HandLayer gives.

    The terms and their equations are those of kernels/README.md. Beside the terms of descent, proportions have a prior;
    and the gradient of collisions is exact also where bone lengths change.
    """

    def __init__(self, layer: HandLayer, config: Config | None = None, stage: int = -1) -> None:
        """layer: whose bones and limits count; config: its weights and settings, the default ones if None.

        stage: which stage of config.stages says how closely to look (radius of the splats, where a point is an
        outlier): 0 the coarsest, which captures from further away, -1 the last and finest. Raises ConfigError.
        """
        super().__init__()
        self.config = config or Config()
        for name in ("bones", "lower", "upper"):
            self.register_buffer(name, getattr(layer, name).clone(), persistent=False)
        whiten, offset, self.least_prior = _whitening()
        self.register_buffer("whiten", torch.as_tensor(whiten).to(layer.rest), persistent=False)
        self.register_buffer("whiten_offset", torch.as_tensor(offset).to(layer.rest), persistent=False)
        self.set_stage(stage)

    def set_stage(self, stage: int) -> None:
        """Look as closely as a stage of config.stages says. Raises ConfigError."""
        count = len(self.config.stages)
        if not -count <= stage < count:
            raise ConfigError(f"stage: expected a number from {-count} to {count - 1}, got {stage!r}")
        chosen = self.config.stages[stage]
        self.radius_px, self.sigma_mm, self.depth = chosen.radius_px, chosen.sigma_mm, chosen.depth
        weights, unit = self.config.weights, SCALES.length_unit_mm**2
        factors = {
            "depth": weights.depth * chosen.depth,
            "silhouette": weights.silhouette / unit,
            "points": weights.points / chosen.sigma_mm**2,
            "collision": weights.collision / unit,
            "limits": weights.limits,
            "prior": weights.prior,
            "size": weights.size / SCALES.size_sigma**2,
        }
        self.register_buffer("factors", self.whiten.new_tensor(list(factors.values())), persistent=False)
        self.of_proportions = weights.proportions / SCALES.proportion_sigma**2
        self.of_bending = weights.shape

    def forward(self, hand: HandOutput, target: DepthTarget) -> Tensor:
        """The loss of each hand, (B,), against the image that target.image_index names for it. Raises ShapeError.

        One operator makes all terms and their gradient at once; `terms` gives the same sum, each term on its own.
        """
        loss = hand_loss(*self._compared(hand, target))
        proportions, shape = _of_shape(hand)
        if proportions is not None:
            loss = loss + self.of_proportions * proportions
        return loss if shape is None else loss + self.of_bending * shape

    def terms(self, hand: HandOutput, target: DepthTarget) -> dict[str, Tensor]:
        """The weighted terms by name, (B,) each; their sum is the loss."""
        found = hand_terms(*self._compared(hand, target))
        terms = {name: factor * each for name, factor, each in zip(TERMS, self.factors, found, strict=True)}
        proportions, shape = _of_shape(hand)
        none = torch.zeros_like(hand.scale)
        terms["proportions"] = none if proportions is None else none + self.of_proportions * proportions
        terms["shape"] = none if shape is None else none + self.of_bending * shape
        return terms

    def _compared(self, hand: HandOutput, target: DepthTarget) -> tuple[Sequence[Any], ...]:
        """The arguments of hand_terms and hand_loss."""
        if len(target) != len(hand.vertices):
            raise ShapeError(
                f"target: expected an image for each of {len(hand.vertices)} hands, got {len(target)}; see select()"
            )
        config = self.config
        numbers = (self.radius_px, config.huber, self.sigma_mm, config.plane, config.collision_radius_mm)
        return (
            (hand.vertices, hand.joints, hand.angles, hand.scale, hand.normals.detach()),
            target.compared(self.radius_px),
            (self.bones, self.lower, self.upper, self.whiten, self.whiten_offset, self.factors),
            (*numbers, self.least_prior),
        )


def _whitening() -> tuple[Any, Any, float]:
    """The pose prior, which is quadratic, as |angles W + b|^2 + c: W (45, 45), b (45,), c."""
    prior = PosePrior(Device("cpu"), np.float64)
    curvature = prior.curvature
    at_zero, slope = prior(np.zeros((1, 15, 3)))
    lowest = -np.linalg.solve(curvature, slope.ravel()) / 2
    factor = np.linalg.cholesky(curvature)
    return factor, -lowest @ factor, float(at_zero[0] - lowest @ curvature @ lowest)


def _of_shape(hand: HandOutput) -> tuple[Tensor | None, Tensor | None]:
    """Squared proportions, and squared bending of the rest vertices by vertex, None where they were not given."""
    proportions = None if hand.shape is None else hand.shape.square().sum(-1)
    shape = None if hand.bending is None else hand.bending.square().sum((-2, -1)) / hand.bending.shape[-2]
    return proportions, shape
