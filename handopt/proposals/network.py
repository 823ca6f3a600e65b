"""The proposals' network in NumPy, and the numbers of its heads."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from handopt.ops.networks import convolve, relu
from handopt.proposals.features import CHANNELS, SIZE
from handopt.typing import FloatImage

VERSION: Final = 1
"""Of the arrays' layout."""
STEM: Final = 5
"""Edge of the first convolution, pixels."""
ANGLE_STD_RAD: Final = 0.5
"""What a 1 in a head means for an angle from the middle of its limits, rad. Fixed by the trained network."""
WRIST_STD_MM: Final = 50.0
"""The same for the wrist from the view's centre, mm."""
LOG_SCALE_STD: Final = 0.1
"""The same for the logarithm of the scale."""
LOWEST_LOG_MM, HIGHEST_LOG_MM = -3.0, 6.0
"""Range of the logarithm of a joint's uncertainty in mm."""


def head_sizes(free: int) -> tuple[int, int, int, int, int]:
    """How many numbers of a head are its rotation (6D), its free angles, its wrist, its log scale and its logit."""
    return 6, free, 3, 1, 1


@dataclass(frozen=True, eq=False)
class Network:
    """Weights as float32: (size * size * inputs, outputs) of a convolution, (inputs, outputs) of a dense layer.

    A 5 x 5 convolution of stride 2; stages of a 3 x 3 convolution of stride 2 and a residual block of two of stride 1;
    two dense layers; K heads. ReLU after all but the last. Some also tell of the joints. metadata: how it was trained.
    """

    weights: dict[str, FloatImage]
    stages: int
    heads: int
    metadata: dict[str, Any]

    def features(self, images: FloatImage) -> FloatImage:
        """The numbers (B, hidden) from which the heads are read, of views (B, 64, 64, 2)."""
        x = self._convolve(images, "stem", STEM, 2)
        for stage in range(self.stages):
            x = self._convolve(x, f"stage{stage}.shrink", 3, 2)
            inner = self._convolve(x, f"stage{stage}.first", 3, 1)
            x = self._convolve(inner, f"stage{stage}.second", 3, 1, added=x)
        x = relu(self._dense(x.reshape(len(x), -1), "dense"))
        return relu(self._dense(x, "inner"))

    def hypotheses(self, features: FloatImage) -> FloatImage:
        """The heads (B, K, n) of features (B, hidden)."""
        return self._dense(features, "head").reshape(len(features), self.heads, -1)

    def joints(self, features: FloatImage) -> tuple[FloatImage, FloatImage] | None:
        """Uncertainty (B, 21), mm, and probability of being visible (B, 21) of the joints of the likeliest hypothesis.

        None where the network does not tell. features: (B, hidden)
        """
        if "joints.weight" not in self.weights:
            return None
        log_mm, seen = np.split(self._dense(features, "joints"), 2, axis=1)
        one = np.float32(1)
        return np.exp(np.clip(log_mm, LOWEST_LOG_MM, HIGHEST_LOG_MM)), np.asarray(
            one / (one + np.exp(-seen)), np.float32
        )

    def _convolve(
        self, x: FloatImage, name: str, size: int, stride: int, added: FloatImage | None = None
    ) -> FloatImage:
        weight, bias = self.weights[f"{name}.weight"], self.weights[f"{name}.bias"]
        return convolve(x, weight, bias, size, stride, added=added, positive=True)

    def _dense(self, x: FloatImage, name: str) -> FloatImage:
        return x @ self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]


def network_from_arrays(arrays: Mapping[str, NDArray[Any]]) -> Network:
    """The network in the arrays of a model, as handopt train writes them. Raises ValueError or KeyError."""
    metadata = json.loads(str(arrays["metadata"]))
    if metadata["version"] != VERSION:
        raise ValueError(f"a network of version {metadata['version']}, expected {VERSION}")
    weights = {name: each.astype(np.float32) for name, each in arrays.items() if name != "metadata"}
    network = Network(weights, int(metadata["stages"]), int(metadata["heads"]), metadata)
    features = network.features(np.zeros((1, SIZE, SIZE, CHANNELS), np.float32))
    if not np.isfinite(network.hypotheses(features)).all():
        raise ValueError("a network that is not finite")
    return network
