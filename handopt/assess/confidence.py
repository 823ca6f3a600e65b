"""How sure a fit is: the probability that every visible joint lies within 20 mm, from what the fit itself shows.

A logistic regression, calibrated by scripts/calibrate/calibrate_fits.py on images of handopt synth and
scenes without a hand.
"""

from dataclasses import astuple, dataclass, fields, replace
from typing import Final

import numpy as np

from handopt.assess.calibration import weights
from handopt.assess.config import ASSESS
from handopt.assess.pixel_agreement import PixelAgreement
from handopt.proposals.voted_poses import VotedJoints
from handopt.typing import Bools, Floats, Reals

USUAL_OVERLAP: Final = 0.88
"""Overlap with the network's hand of a right fit: the median of the images of scripts/calibrate/calibrate_fits.py."""
USUAL_VOTE_DISTANCE: Final = 0.4
"""Distance of a right fit from the network's joints: the median of the same images."""
USUAL_VOTE_RADIUS_MM: Final = 6.0
"""How far off the network says that joints of a right fit may be, mm: about the median of the same images."""
LEAST_VOTE_RADIUS_MM: Final = 1.0
"""Smaller radii count like this."""


@dataclass(frozen=True)
class ConfidenceFeatures:
    """What speaks for and against a fit.

    log_unexplained_fraction: logarithm of the unexplained fraction. runner_up_margin: logarithm of how much more the
    best other hypothesis leaves unexplained of hand and forearm, at most 1. hand_probability: of the observation.
    label_overlap: see handopt.assess.pixel_agreement. vote_distance: of the visible joints from where the network of
    proposals sees them, see handopt.proposals.voted_poses. log_vote_radius: logarithm of how far off it says that
    joints may be, mm, on average.
    """

    log_unexplained_fraction: float
    runner_up_margin: float
    hand_probability: float
    label_overlap: float
    vote_distance: float
    log_vote_radius: float

    @classmethod
    def of(
        cls,
        unexplained_fraction: float,
        limb_fraction: float,
        joints: Reals,
        visible: Bools,
        others: list[tuple[float, Reals]],
        hand_probability: float,
        agreement: PixelAgreement | None,
        voted: VotedJoints | None = None,
        radius_mm: Floats | None = None,
    ) -> "ConfidenceFeatures":
        """Gather the features of a fit.

        joints: (21, 3) mm; visible: (21,); others: limb fraction and joints of the other hypotheses; agreement: with
        the network of pixel labels, and voted: where that of proposals sees the joints; None where they were not asked,
        which is taken for what they say of most right fits. radius_mm: (21,), how far off the latter says that joints
        may be, where it alone is asked.
        """
        here, max_margin = max(limb_fraction, 1e-3), ASSESS.max_margin
        margin = max_margin
        seen = visible if visible.any() else slice(None)
        for fraction, other in others:
            away = np.linalg.norm(other - joints, axis=1)[seen]
            if away.max() > ASSESS.distinct_mm:
                margin = min(margin, float(np.log(max(fraction, 1e-3) / here)))
        log_fraction = float(np.log(max(unexplained_fraction, 1e-3)))
        overlap = USUAL_OVERLAP if agreement is None else agreement.overlap
        distance = USUAL_VOTE_DISTANCE if voted is None else float(voted.distance(joints, seen))
        if voted is not None:
            radius_mm = voted.radius_mm
        radius = USUAL_VOTE_RADIUS_MM if radius_mm is None else max(float(np.mean(radius_mm)), LEAST_VOTE_RADIUS_MM)
        return cls(log_fraction, max(margin, -max_margin), hand_probability, overlap, distance, float(np.log(radius)))

    @property
    def inputs(self) -> tuple[float, ...]:
        """What the regression sees: the features, less what tells rendered hands apart but not real ones."""
        return astuple(
            replace(
                self,
                log_unexplained_fraction=max(self.log_unexplained_fraction, float(np.log(ASSESS.least_unexplained))),
                runner_up_margin=min(self.runner_up_margin, ASSESS.most_margin),
            )
        )


FITTED: Final = "fit_confidence"
PREDICTED: Final = "prediction_confidence"
"""Tables of weights: of fits, and of what a network alone predicts, which explains an image less well where it is right
and has few competitors."""


def confidence(features: ConfidenceFeatures, table: str = FITTED) -> float:
    """The probability, 0 to 1. table: FITTED or PREDICTED."""
    names = ("constant", *(each.name for each in fields(features)))
    probability = float(logistic(np.array(weights(table, *names)), np.array(features.inputs)))
    doubtful = features.log_unexplained_fraction > np.log(ASSESS.most_unexplained)
    return min(probability, ASSESS.contradicted) if doubtful else probability


def confidence_text(value: float) -> str:
    """A confidence for people, with two digits, which never reach a verdict's limit that the confidence does not.

    One that would be rounded to 1 is ">0.99", as no fit is certain.
    """
    text = f"{value:.2f}"
    for limit in (ASSESS.doubtful, ASSESS.confident):
        if value < limit <= float(text):
            text = f"{limit - 0.01:.2f}"
    return ">0.99" if text == "1.00" else text


def logistic(weights: Floats, features: Floats) -> Floats:
    """The probabilities (...) of features (..., N) with weights (N + 1,), of the constant first."""
    return np.asarray(1 / (1 + np.exp(-(weights[0] + (features * weights[1:]).sum(axis=-1)))))
