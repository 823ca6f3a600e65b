"""Scoring predicted joints against labels: readers, joint mappings, measures, tables and a plot."""

from handopt.evaluation.frames import Frames
from handopt.evaluation.labels import read_labels
from handopt.evaluation.metrics import Evaluation
from handopt.evaluation.predictions import read_predictions
from handopt.evaluation.score import compare, evaluate

__all__ = ["Evaluation", "Frames", "compare", "evaluate", "read_labels", "read_predictions"]
