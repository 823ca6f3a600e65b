"""Scoring predicted joints against labels: readers, joint mappings, measures, tables and a plot; scoring masks."""

from handopt.evaluation.frames import Frames
from handopt.evaluation.labels import read_labels
from handopt.evaluation.masks import MaskScores, mask_scores
from handopt.evaluation.metrics import Evaluation
from handopt.evaluation.predictions import read_predictions
from handopt.evaluation.score import compare, evaluate

__all__ = [
    "Evaluation",
    "Frames",
    "MaskScores",
    "compare",
    "evaluate",
    "mask_scores",
    "read_labels",
    "read_predictions",
]
