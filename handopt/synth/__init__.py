"""Labelled synthetic depth images: random subjects and poses, a triangle z-buffer, and a sensor's flaws.

`generate` makes one image; `sample_hand` draws only a subject, a pose and a view, which takes 1 to 3 ms.
"""

from handopt.synth.generate import Sample, Settings, generate
from handopt.synth.poses import LEVELS, HandSample, sample_hand
from handopt.synth.subject import Subject, sample_subject

__all__ = ["LEVELS", "HandSample", "Sample", "Settings", "Subject", "generate", "sample_hand", "sample_subject"]
