"""The tuned numbers of assessment: what each one is, its unit, and how it was found.

"By hand" means: set by hand on images of handopt synth, with no sweep on record. Calibrated weights are in
assets/calibration.toml.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class AssessConfig:
    """When a fit is good, sure or doubtful, and what counts as another pose."""

    confident: float = 0.9
    """Confidence from which on a pose is called sure. Chosen: one in ten may be wrong."""
    doubtful: float = 0.5
    """Confidence below which a pose is called doubtful. Chosen: more likely wrong than right."""
    contradicted: float = 0.49
    """Largest confidence of a fit where the image looks more like the other hand than the one that the user named, or
    like no hand. Chosen: doubtful."""
    least_presence: float = 0.9
    """Probability of a palm below which a fit is doubtful. By hand: of hands, one in fifty has less."""
    well_explained: float = 0.15
    """Unexplained fraction below which a network's doubt counts for nothing. By hand, 2026-11-29: 23 right fits of
    rendered hands all leave less, and the network doubts 3 of them; 12 fits to other things all leave more."""
    touching: float = 0.89
    """Largest confidence of a hand that holds something, or that another hand touches. Chosen: not sure, as two of
    three such images are fitted wrongly."""
    least_unexplained: float = 0.25
    """Unexplained fraction below which fits count as equally good. By hand: real hands, whose skin the rig cannot
    express, leave about that much where they are right, rendered ones half of it."""
    most_unexplained: float = 0.5
    """Unexplained fraction above which a fit is doubtful. Chosen: of 49 such fits of synthetic images 1 was right."""
    most_margin: float = 0.1
    """Margin over the runner-up above which it no longer counts. By hand: of real hands few have more."""
    distinct_mm: float = 20.0
    """Two poses are distinct where a joint that is visible in the better one lies farther apart, mm. The distance that
    confidence is about."""
    max_margin: float = 1.0
    """Largest margin over the runner-up, and the margin where there is none; logarithm of a ratio. By hand."""
    hessian_ridge: float = 1e-6
    """Smallest eigenvalue of a pose's Hessian that is inverted, relative to the largest. By hand."""

    def limit(self, holds: bool, *, contradicted: bool) -> float:
        """The largest confidence of a fit. holds: something, or is touched; contradicted: by the image."""
        return min(self.touching if holds else 1.0, self.contradicted if contradicted else 1.0)


ASSESS = AssessConfig()
