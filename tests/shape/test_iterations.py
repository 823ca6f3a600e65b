"""The history has a row for each iteration, whatever its stage."""

import numpy as np

from handopt.hand_model import Pose
from handopt.shape.iterations import ShapeHistory


def pose(scale: float) -> Pose:
    eye = np.tile(np.eye(3), (2, 1, 1))
    numbers = np.arange(2, dtype=np.int32)
    return Pose(np.zeros((2, 15, 3)), eye, np.zeros((2, 3)), np.full(2, scale), numbers, np.zeros((2, 23)))


def test_columns_are_means_over_the_images() -> None:
    history = ShapeHistory()
    at = pose(0.9)
    history.recorder("size")(at, {"points": np.array([1.0, 3.0]), "limits": np.zeros(2)}, np.zeros((5, 3)))
    offsets = np.full((5, 3), 2.0)
    history.recorder("surface")(pose(0.95), {"points": np.array([1.0, 1.0]), "limits": np.ones(2)}, offsets)
    at.scale[:] = 7  # what was recorded is a copy
    table = history.table()
    assert table["stage"].tolist() == ["size", "surface"]
    assert table["points"].tolist() == [2.0, 1.0]
    assert table["total"].tolist() == [2.0, 2.0]
    assert table["scale"].tolist() == [0.9, 0.95]
    assert table["offset_rms_mm"].tolist() == [0.0, np.sqrt(12.0)]
