"""A small evaluation whose measures can be worked out by hand."""

from typing import Any

import numpy as np

from handopt.evaluation import Evaluation
from handopt.evaluation.mapping import MSRA

NONE = float("nan")
ERRORS = np.array([[1.0, 3.0, 20.0], [4.0, 6.0, 8.0], [NONE, NONE, NONE], [30.0, 90.0, 60.0]])
VISIBLE = np.array([[True, True, False], [True, True, True], [True, False, False], [False, False, False]])


def evaluation(**changes: Any) -> Evaluation:
    """Four frames with three joints: good but for an occluded joint, good, not predicted, bad and all occluded."""
    settings: dict[str, Any] = {
        "joint_set": MSRA,
        "joints": ("a", "b", "c"),
        "frames": ("easy/0", "easy/1", "hard/0", "hard/1"),
        "errors_mm": ERRORS,
        "visible": VISIBLE,
        "confidence": np.array([0.95, 0.7, NONE, 0.2]),
        "predictions": ("p/0", "p/1", None, "p/3"),
    }
    return Evaluation(**{**settings, **changes})
