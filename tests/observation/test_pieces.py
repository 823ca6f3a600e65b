"""Which small surfaces beside a hand belong to it."""

import numpy as np
import pytest

from handopt.observation.pieces import with_pieces
from handopt.observation.settings import PieceConfig


@pytest.mark.parametrize(
    ("gap_mm", "area_cm2", "columns", "joined"),
    [
        (60.0, 3.0, 10, True),
        (-60.0, 3.0, 10, True),
        (150.0, 3.0, 10, False),
        (-150.0, 3.0, 10, False),
        (60.0, 80.0, 10, False),
        (60.0, 45.0, 10, True),
        (-60.0, 45.0, 10, False),
        (60.0, 0.05, 10, False),
        (60.0, 3.0, 16, False),
    ],
)
def test_pieces_are_small_and_near(gap_mm: float, area_cm2: float, columns: int, joined: bool) -> None:
    depth, labels = np.zeros((20, 30), np.float32), np.zeros((20, 30), np.int32)
    depth[:, :10], labels[:, :10] = 600.0, 1
    depth[5:12, columns : columns + 4], labels[5:12, columns : columns + 4] = 600.0 - gap_mm, 2
    area = np.array([0.0, 100.0, area_cm2])
    mask, own = with_pieces(depth, labels, area, labels == 1, np.array([1], np.int32), 3.0)
    assert (set(own.tolist()) == {1, 2}) == joined
    np.testing.assert_array_equal(mask, (labels == 1) | (joined & (labels == 2)))


def test_pieces_of_pieces_are_joined() -> None:
    depth, labels = np.zeros((10, 30), np.float32), np.zeros((10, 30), np.int32)
    for label, z in ((1, 600.0), (2, 560.0), (3, 520.0)):
        columns = slice(5 * label, 5 * label + 5)
        depth[:, columns], labels[:, columns] = z, label
    _, own = with_pieces(depth, labels, np.full(4, 5.0), labels == 1, np.array([1], np.int32), 3.0)
    assert set(own.tolist()) == {1, 2, 3}


@pytest.mark.parametrize(("background_mm", "joined"), [(655.0, False), (700.0, True), (0.0, True)])
def test_what_continues_a_larger_surface_behind_is_no_piece(background_mm: float, joined: bool) -> None:
    depth, labels = np.zeros((20, 40), np.float32), np.zeros((20, 40), np.int32)
    depth[:, 5:10], labels[:, 5:10] = 600.0, 1
    depth[5:12, 10:14], labels[5:12, 10:14] = 650.0, 2
    depth[:, 20:], labels[:, 20:] = background_mm, 3 if background_mm else 0
    area = np.array([0.0, 100.0, 5.0, 400.0])
    _, own = with_pieces(depth, labels, area, labels == 1, np.array([1], np.int32), 3.0)
    assert (2 in own) == joined


def test_other_numbers_join_other_pieces() -> None:
    depth, labels = np.zeros((20, 30), np.float32), np.zeros((20, 30), np.int32)
    depth[:, :10], labels[:, :10] = 600.0, 1
    depth[5:12, 10:14], labels[5:12, 10:14] = 450.0, 2
    areas, own = np.array([0.0, 100.0, 3.0]), np.array([1], np.int32)
    _, usual = with_pieces(depth, labels, areas, labels == 1, own, 3.0)
    _, deep = with_pieces(depth, labels, areas, labels == 1, own, 3.0, PieceConfig(gap_mm=(-100.0, 200.0)))
    assert set(usual.tolist()) == {1}
    assert set(deep.tolist()) == {1, 2}
