"""The proposals' network in NumPy, and the numbers of its heads."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from handopt.ops.networks import convolve, dense, relu
from handopt.proposals.votes import HIGHEST_LOG_MM, LOWEST_LOG_MM, MAPS, votes
from handopt.typing import FloatImage

VERSION: Final = 2
"""Of the arrays' layout."""
STEM: Final = 5
"""Edge of the first convolution, pixels."""
ANGLE_STD_RAD: Final = 0.5
"""What a 1 in a head means for an angle from the middle of its limits, rad. Fixed by the trained network."""
WRIST_STD_MM: Final = 50.0
"""The same for the wrist from the view's centre, mm."""
LOG_SCALE_STD: Final = 0.1
"""The same for the logarithm of the scale."""


def head_sizes(free: int) -> tuple[int, int, int, int, int]:
    """How many numbers of a head are its rotation (6D), its free angles, its wrist, its log scale and its logit."""
    return 6, free, 3, 1, 1


@dataclass(frozen=True, eq=False)
class Network:
    """Weights as float32: (size * size * inputs, outputs) of a convolution, (inputs, outputs) of a dense layer.

    A 5 x 5 convolution of stride 2; stages of a 3 x 3 convolution of stride 2 and a residual block of two of stride 1;
    two dense layers; K heads, and what it says of the joints. ReLU after all but the last. The last three maps vote
    for joints.
    """

    weights: dict[str, FloatImage]
    stages: int
    heads: int

    @property
    def channels(self) -> int:
        """Of its input, of handopt.proposals.features.network_input."""
        return int(self.weights["stem.weight"].shape[0]) // (STEM * STEM)

    def features(self, images: FloatImage) -> FloatImage:
        """The numbers (B, hidden) from which the heads are read, of views (B, 64, 64, channels)."""
        return self.look(images)[0]

    def look(self, images: FloatImage) -> tuple[FloatImage, list[FloatImage]]:
        """Features (B, hidden) of views (B, 64, 64, channels), and the maps of the stages, the finest first."""
        x, maps = self._convolve(images, "stem", STEM, 2), []
        for stage in range(self.stages):
            x = self._convolve(x, f"stage{stage}.shrink", 3, 2)
            inner = self._convolve(x, f"stage{stage}.first", 3, 1)
            x = self._convolve(inner, f"stage{stage}.second", 3, 1, added=x)
            maps.append(x)
        x = relu(dense(x.reshape(len(x), -1), self.weights, "dense"))
        return relu(dense(x, self.weights, "inner")), maps

    def votes(self, features: FloatImage, maps: Sequence[FloatImage]) -> tuple[FloatImage, FloatImage]:
        """Joints (B, 21, 3) and how far off each may be (B, 21), of what look gives; see handopt.proposals.votes."""
        return votes(maps[-MAPS:], features, self.weights)

    def hypotheses(self, features: FloatImage) -> FloatImage:
        """The heads (B, K, n) of features (B, hidden)."""
        return dense(features, self.weights, "head").reshape(len(features), self.heads, -1)

    def joints(self, features: FloatImage) -> tuple[FloatImage, FloatImage]:
        """Uncertainty (B, 21), mm, and probability of being visible (B, 21) of the joints of the likeliest hypothesis.

        features: (B, hidden)
        """
        log_mm, seen = np.split(dense(features, self.weights, "joints"), 2, axis=1)
        one = np.float32(1)
        return np.exp(np.clip(log_mm, LOWEST_LOG_MM, HIGHEST_LOG_MM)), np.asarray(
            one / (one + np.exp(-seen)), np.float32
        )

    def _convolve(
        self, x: FloatImage, name: str, size: int, stride: int, added: FloatImage | None = None
    ) -> FloatImage:
        weight, bias = self.weights[f"{name}.weight"], self.weights[f"{name}.bias"]
        return convolve(x, weight, bias, size, stride, added=added, positive=True)
