"""Labelled synthetic depth images: random subjects and poses, a triangle z-buffer, and a sensor's flaws.

`generate` makes one image, `generate_wild` one of level wild with a label for each pixel; `sample_hand` draws
only a subject, a pose and a view, which takes 1 to 3 ms.
"""

from handopt.synth.generate import Sample, Settings, generate
from handopt.synth.poses import LEVELS, HandSample, sample_hand
from handopt.synth.subject import Subject, sample_subject
from handopt.synth.wild import WildSample, WildSettings, generate_wild

__all__ = [
    "LEVELS",
    "HandSample",
    "Sample",
    "Settings",
    "Subject",
    "WildSample",
    "WildSettings",
    "generate",
    "generate_wild",
    "sample_hand",
    "sample_subject",
]
