"""How well the pixels of a hand, and those of what it holds, are told apart."""

from dataclasses import dataclass

import numpy as np

from handopt.errors import ShapeError
from handopt.input.pixel_labels import HAND, OBJECT
from handopt.typing import Mask


@dataclass(frozen=True)
class MaskScores:
    """Counts of pixels, of one image or summed over several by +.

    hand_in_both, hand_in_either: labelled hand in truth and prediction, or in one of them. object_px: labelled object
    in the truth; object_apart_px: of these, not taken for the hand; object_found_px: of these, labelled object
    """

    hand_in_both: int
    hand_in_either: int
    object_px: int
    object_apart_px: int
    object_found_px: int

    def __add__(self, other: "MaskScores") -> "MaskScores":
        """The counts of both."""
        return MaskScores(
            self.hand_in_both + other.hand_in_both,
            self.hand_in_either + other.hand_in_either,
            self.object_px + other.object_px,
            self.object_apart_px + other.object_apart_px,
            self.object_found_px + other.object_found_px,
        )

    @property
    def hand_iou(self) -> float | None:
        """Intersection over union of the hand's pixels; None where neither mask has any."""
        return self.hand_in_both / self.hand_in_either if self.hand_in_either else None

    @property
    def object_apart(self) -> float | None:
        """The share of the object's pixels that are not taken for the hand; None where there is no object."""
        return self.object_apart_px / self.object_px if self.object_px else None

    @property
    def object_found(self) -> float | None:
        """The share of the object's pixels that are labelled object; None where there is no object."""
        return self.object_found_px / self.object_px if self.object_px else None


def mask_scores(truth: Mask, predicted: Mask) -> MaskScores:
    """Compare two masks (H, W) with values of handopt.input.pixel_labels. Raises ShapeError."""
    truth, predicted = np.asarray(truth), np.asarray(predicted)
    if truth.ndim != 2 or truth.shape != predicted.shape:
        raise ShapeError(f"predicted: expected a mask of shape {truth.shape} as the truth's, got {predicted.shape}")
    hand, found, held = truth == HAND, predicted == HAND, truth == OBJECT
    return MaskScores(
        hand_in_both=int(np.count_nonzero(hand & found)),
        hand_in_either=int(np.count_nonzero(hand | found)),
        object_px=int(np.count_nonzero(held)),
        object_apart_px=int(np.count_nonzero(held & ~found)),
        object_found_px=int(np.count_nonzero(held & (predicted == OBJECT))),
    )
