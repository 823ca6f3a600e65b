"""How far the network of pixel labels, which has not seen a fit, agrees with it: a second opinion."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from handopt.input.camera import Camera
from handopt.input.pixel_labels import HAND
from handopt.observation.pixel_network import PixelNetwork, default_network
from handopt.observation.pixel_reading import LEAST_SEEN_PX
from handopt.observation.pixel_window import network_input, pixel_window
from handopt.rig.joints import labelled_palm_of
from handopt.typing import BoolImage, FloatImage, Reals

NEAR_MM: Final = 25.0
"""A pixel shows the fitted hand where the two depths differ by less than this, mm of a hand of the default size. Chosen
by hand: the thickness of a finger."""


@dataclass(frozen=True)
class PixelAgreement:
    """What the network sees where a hand was fitted.

    presence: probability of a palm. overlap: intersection over union of the pixels that the network takes for the hand
    and those that show the fitted one.
    """

    presence: float
    overlap: float


def pixel_agreement(
    depth_mm: FloatImage,
    fitted_depth_mm: FloatImage,
    camera: Camera,
    joints_mm: Reals,
    size: float,
    *,
    left: bool,
    network: PixelNetwork | None = None,
) -> PixelAgreement | None:
    """Compare what the network reads around a fitted palm with the fit; None where the palm is nowhere.

    depth_mm, fitted_depth_mm: (H, W) mm, 0 = none, the image and the rendered hand. joints_mm: (21, 3), size and left:
    of the fitted hand; a left hand is looked at as its mirror image, so that mirrored images agree as much. network:
    None for the one that comes with handopt
    """
    palm = np.asarray(labelled_palm_of(joints_mm), np.float64)
    if not (np.isfinite(palm).all() and palm[2] > 0):
        return None
    windows = [pixel_window(depth, camera, palm, size) for depth in (depth_mm, fitted_depth_mm)]
    offset, rendered = (window.offset_mm[:, :: -1 if left else 1] for window in windows)
    logits, _, summary = (default_network() if network is None else network).raw(network_input(offset[None]))
    measured = np.isfinite(offset)
    hand = measured & _likeliest(logits[0], HAND)
    with np.errstate(invalid="ignore"):
        shown = np.abs(offset - rendered) < NEAR_MM
    enough = np.count_nonzero(measured) >= LEAST_SEEN_PX
    return PixelAgreement(
        presence=float(1 / (1 + np.exp(-np.float64(summary[0, 0])))) if enough else 0.0,
        overlap=float((hand & shown).sum() / max((hand | shown).sum(), 1)),
    )


def _likeliest(logits: FloatImage, label: int) -> BoolImage:
    """Where (H, W) a label has the largest of logits (H, W, N), of equal ones the first."""
    own = np.ascontiguousarray(logits[..., label])
    likeliest = np.ones(own.shape, np.bool_)
    for other in range(logits.shape[-1]):
        if other != label:
            likeliest &= own > logits[..., other] if other < label else own >= logits[..., other]
    return likeliest
