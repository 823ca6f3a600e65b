"""A second look at what each pixel is: around a predicted hand, with what the first look said and where that hand is.

The first look (handopt.observation.pixel_reading) sees depth alone, and takes many pixels of a held object for the
hand's. A wider network of the same kind sees its labels and the predicted hand's skin as well.
scripts/train/train_pixel_labels.py made it.
"""

from functools import cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from handopt.assets import asset
from handopt.input.camera import Camera
from handopt.observation.pixel_network import PixelNetwork, load_network
from handopt.observation.pixel_reading import PixelReading, reading_of, three_in
from handopt.observation.pixel_window import OFFSET_SCALE_MM, network_input, offset_from, pixel_window
from handopt.typing import FloatImage, Vector

ASSET: Final = "second_look.npz"
SIZE: Final = 128
"""Pixels along a side of a window: 288 mm. Fixed by the trained network."""
CHANNELS: Final = 8
"""Of the network's input: see second_input."""
RESIDUAL_SCALE_MM: Final = 15.0
"""Difference of measured depth and skin that the network sees as 1, mm. Fixed by the trained network."""
MOST_RESIDUAL: Final = 2.0
"""Larger differences look alike. Fixed by the trained network."""


def second_input(offset_mm: NDArray[Any], first: NDArray[Any], skin_mm: NDArray[Any]) -> FloatImage:
    """The network's input (..., S, S, 8).

    offset_mm: (..., S, S) depth minus the palm's, NaN where nothing is measured. first: (..., S, S, 3) probabilities of
    hand, forearm and what else may be near (three_of), which count where something is measured. skin_mm: (..., S, S)
    depth of the predicted hand minus the palm's, NaN where it is not seen. All of a hand of the default size.
    """
    seen, skin = np.isfinite(offset_mm), np.isfinite(skin_mm)
    with np.errstate(invalid="ignore"):
        residual = np.where(seen & skin, (offset_mm - skin_mm) / RESIDUAL_SCALE_MM, 0.0)
    of_hand = [skin, np.clip(residual, -MOST_RESIDUAL, MOST_RESIDUAL), np.where(skin, skin_mm, 0.0) / OFFSET_SCALE_MM]
    parts = [network_input(offset_mm), np.where(seen[..., None], first, 0.0), np.stack(of_hand, axis=-1)]
    return np.concatenate([part.astype(np.float32) for part in parts], axis=-1)


def look_again(
    depth_mm: FloatImage,
    camera: Camera,
    first: PixelReading,
    skin_mm: FloatImage,
    palm_mm: Vector,
    size: float,
    network: PixelNetwork | None = None,
    labels: FloatImage | None = None,
) -> PixelReading:
    """Read the window around a predicted hand; what lies beyond it is as in the first reading.

    depth_mm: (H, W) mm, 0 = none, of which first is a reading. skin_mm: (H, W) the z-buffer of the predicted hand, 0
    where it is not seen. palm_mm: (3,) of it, camera frame; size: of it, relative to the default rig's. network: None
    for the one that comes with handopt. labels: (H, W, 3) three_in of the first reading, if it is at hand. Raises
    ShapeError.
    """
    window = pixel_window(depth_mm, camera, palm_mm, size, SIZE)
    labels = three_in(first, depth_mm, camera) if labels is None else labels
    skin = offset_from(window.looked_up(skin_mm), palm_mm, size)
    image = second_input(window.offset_mm, window.looked_up(labels), skin)[None]
    output = (default_network() if network is None else network).both_ways(image)
    return reading_of(window, output, 0, first)


@cache
def default_network() -> PixelNetwork:
    """The network that comes with handopt. Raises HandoptError where its file is missing or broken."""
    return load_network(asset(ASSET), CHANNELS, SIZE)
