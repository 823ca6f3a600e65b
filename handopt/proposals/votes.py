"""Where the cells of a view vote that the joints are: the layers of a network that tell, in NumPy."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from handopt.ops.networks import convolve, dense, doubled, relu
from handopt.proposals.features import MIDDLE_PX, MM_PER_PX, SIZE
from handopt.rig.joints import KEYPOINT_JOINTS
from handopt.typing import FloatImage, Floats

DEEP: Final = 96
"""Channels where the coarse maps meet."""
SHALLOW: Final = 64
"""Channels of the map that votes."""
VOTE_NUMBERS: Final = 5
"""Of a joint in a cell: offset (3), logit of its weight, logarithm of how far off it may be in mm."""
LOWEST_LOG_MM, HIGHEST_LOG_MM = 0.0, 6.0
"""Range of the logarithm of a joint's uncertainty in mm; less than 1 mm is not learned."""
VOTES: Final = "votes."
"""What the names of these layers begin with."""
MAPS: Final = 3
"""How many of a network's maps vote, the coarsest last."""
VOTE_MM: Final = 50.0
"""What a 1 of an offset means, mm. Fixed by the trained network."""


def vote_layers(
    features: int | str, fine: int | str, middle: int | str, deep: int | str
) -> dict[str, tuple[int | str, int]]:
    """Numbers that each layer reads and gives. features, fine, middle, deep: widths of what they are read from."""
    sizes: dict[str, tuple[int | str, int]] = {
        "context": (features, DEEP),
        "deep": (deep, DEEP),
        "middle": (middle, DEEP),
        "joined": (9 * DEEP, DEEP),
        "narrowed": (DEEP, SHALLOW),
        "fine": (fine, SHALLOW),
        "first": (9 * SHALLOW, SHALLOW),
        "second": (9 * SHALLOW, SHALLOW),
        "said": (SHALLOW, len(KEYPOINT_JOINTS) * VOTE_NUMBERS),
    }
    return {VOTES + name: size for name, size in sizes.items()}


def edge(name: str) -> int:
    """Edge of the window of a convolution."""
    return 3 if name in ("joined", "first", "second") else 1


def cell_places(cells: int) -> Floats:
    """Where the cells of a map (cells, cells) lie in a view: (cells, cells, 2) mm, right and down."""
    axis = (np.arange(cells) * (SIZE // cells) - MIDDLE_PX) * MM_PER_PX
    return np.stack(np.meshgrid(axis, axis), axis=-1)


def votes(
    maps: Sequence[FloatImage], features: FloatImage, weights: Mapping[str, FloatImage]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Joints (B, 21, 3) as handopt.proposals.features.to_view has points, and how far off each may be (B, 21), both mm.

    maps: of the views, the finest first, (B, 16, 16, C), (B, 8, 8, C) and (B, 4, 4, C); features: (B, hidden)
    """

    def layer(x: FloatImage, name: str, added: FloatImage | None = None, positive: bool = True) -> FloatImage:
        weight, bias = (weights[f"{VOTES}{name}.{kind}"] for kind in ("weight", "bias"))
        return convolve(x, weight, bias, edge(name), 1, added=added, positive=positive)

    fine, middle, deep = maps
    x = layer(deep, "deep") + relu(dense(features, weights, VOTES + "context"))[:, None, None]
    x = layer(layer(middle, "middle", added=doubled(x)), "joined")
    x = layer(fine, "fine", added=doubled(layer(x, "narrowed", positive=False)))
    x = layer(layer(x, "first"), "second", added=x)
    cells = x.shape[1]
    said = layer(x, "said", positive=False).reshape(len(x), cells * cells, -1, VOTE_NUMBERS)
    logit = np.ascontiguousarray(said[..., 3])
    share = np.exp(logit - logit.max(axis=1, keepdims=True))
    share /= share.sum(axis=1, keepdims=True)
    told = np.einsum("bkj,bkjn->bjn", share, said[..., [0, 1, 2, 4]])
    keypoints = told[..., :3] * np.float32(VOTE_MM)
    for axis, places in enumerate(_axes_of_places(cells)):
        keypoints[..., axis] += (share * places).sum(axis=1)
    return keypoints, np.exp(np.clip(told[..., 3], LOWEST_LOG_MM, HIGHEST_LOG_MM))


@cache
def _axes_of_places(cells: int) -> FloatImage:
    """The same as float32, right and down apart: (2, cells * cells, 1)."""
    return np.ascontiguousarray(cell_places(cells).reshape(-1, 2).T[..., None], np.float32)
