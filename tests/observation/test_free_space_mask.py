"""Where the hand is proven not to be: the one computation against loops over cells."""

from collections import deque

import numpy as np
import pytest

from handopt.observation.free_space_mask import free_space_mask
from handopt.observation.settings import FreeSpaceConfig
from handopt.typing import BoolImage, FloatImage

OCCLUDER_MM, EDGE_PX, HOLE_REACH_PX, HOLE_MM2, OPEN_MM, WIDTH_MM, OPEN_PX = 10.0, 2.0, 4.0, 150.0, 40.0, 15.0, 1.0


def regions(mask: BoolImage) -> list[set[tuple[int, int]]]:
    """The cells of a mask that hang together over their edges."""
    left, found = {(int(r), int(c)) for r, c in np.argwhere(mask)}, []
    while left:
        waiting, region = deque([left.pop()]), set()
        while waiting:
            row, column = waiting.popleft()
            region.add((row, column))
            for beside in ((row + 1, column), (row - 1, column), (row, column + 1), (row, column - 1)):
                if beside in left:
                    left.remove(beside)
                    waiting.append(beside)
        found.append(region)
    return found


def slow_mask(
    hand_mm: FloatImage, other_mm: FloatImage, arm: BoolImage, unknown: BoolImage, mm_per_px: float, ratio: float
) -> tuple[BoolImage, BoolImage]:
    """The mask cell by cell, and the cells where it depends on which of several nearest cells of the hand counts."""
    rim = EDGE_PX * max(1.0, ratio)
    hands, arms = np.argwhere(hand_mm > 0), np.argwhere(arm)
    seen = np.argwhere(np.isfinite(other_mm) | (hand_mm > 0) | unknown)
    small: set[tuple[int, int]] = set()
    background: set[tuple[int, int]] = set()
    for region in regions(np.isinf(other_mm) & (hand_mm == 0)):
        if len(region) * mm_per_px**2 <= HOLE_MM2:
            small |= region
        far = [cell for cell in region if np.hypot(*(hands - cell).T).min(initial=np.inf) * mm_per_px >= OPEN_MM]
        if any(np.hypot(*(seen - cell).T).min(initial=np.inf) * mm_per_px >= WIDTH_MM for cell in far):
            background |= region
    free, open_ = np.zeros(arm.shape, bool), np.zeros(arm.shape, bool)
    for row, column in np.ndindex(arm.shape):
        if hand_mm[row, column] > 0 or arm[row, column] or unknown[row, column]:
            continue
        away = np.hypot(*(hands - (row, column)).T)
        beside = {float(hand_mm[r, c]) for r, c in hands[np.isclose(away, away.min())]}
        if np.isfinite(other_mm[row, column]):
            said = {bool(other_mm[row, column] >= each - OCCLUDER_MM) for each in beside}
            free[row, column], open_[row, column] = True in said, len(said) == 2
        else:
            in_hole = (row, column) in small and away.min() <= max(HOLE_REACH_PX, rim)
            to_arm = np.hypot(*(arms - (row, column)).T).min(initial=np.inf)
            beyond = away.min() > (OPEN_PX * max(1.0, ratio) if (row, column) in background else rim)
            free[row, column] = beyond and to_arm > rim and not in_hole
    return free, open_


def random_scene(rng: np.random.Generator, size: int) -> tuple[FloatImage, FloatImage, BoolImage, BoolImage]:
    """A hand of two discs before a wall with holes, an occluder, an arm, and cells that say nothing."""
    rows, columns = np.indices((size, size))
    hand = np.zeros((size, size), np.float32)
    for depth in (500.0, 540.0):
        row, column = rng.uniform(0.3 * size, 0.7 * size, 2)
        hand[np.hypot(rows - row, columns - column) < rng.uniform(2.0, 5.0)] = depth
    other = np.full((size, size), 700.0, np.float32)
    other[:, : int(rng.integers(4, 9))] = 430.0  # nearer than the hand
    other[rng.random((size, size)) < 0.1] = 505.0
    for _ in range(6):
        row, column, radius = *rng.uniform(0, size, 2), rng.uniform(1.0, 5.0)
        other[np.hypot(rows - row, columns - column) < radius] = np.inf
    arm = (rows > size - 5) & (np.abs(columns - size // 2) < 4) & (hand == 0)
    other[(hand > 0) & (rng.random((size, size)) < 0.5)] = np.inf
    return hand, other, arm, rng.random((size, size)) < 0.05


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(("mm_per_px", "ratio"), [(2.0, 0.7), (5.0, 1.0), (4.0, 1.9)])
@pytest.mark.parametrize("symmetric", [True, False])
def test_the_mask_is_that_of_its_slow_twin(seed: int, mm_per_px: float, ratio: float, symmetric: bool) -> None:
    scene = random_scene(np.random.default_rng(seed), 32)
    free = free_space_mask(*scene, mm_per_px, pixel_ratio=ratio, symmetric=symmetric)
    slow, open_ = slow_mask(*scene, mm_per_px, ratio)
    assert 20 < slow.sum() < 32 * 32 - 20
    assert open_.sum() < 10
    np.testing.assert_array_equal(free[~open_], slow[~open_])


@pytest.mark.parametrize("seed", range(4))
def test_the_mirror_image_gives_the_mirrored_mask(seed: int) -> None:
    scene = random_scene(np.random.default_rng(seed), 32)
    hand, other, arm, unknown = (image[:, ::-1] for image in scene)
    turned = free_space_mask(hand, other, arm, unknown, 3.0)
    np.testing.assert_array_equal(turned[:, ::-1], free_space_mask(*scene, 3.0))


def test_of_two_nearest_cells_the_farther_one_counts_on_either_side() -> None:
    hand = np.zeros((3, 9), np.float32)
    hand[:, 2], hand[:, 6] = 500.0, 600.0
    other = np.full((3, 9), 550.0, np.float32)
    nothing = np.zeros((3, 9), bool)
    for turned in (hand, hand[:, ::-1]):
        assert not free_space_mask(turned, other, nothing, nothing, 2.0)[:, 4].any()


def test_without_a_hand_all_is_free_that_is_known() -> None:
    nothing, arm = np.zeros((6, 6), np.float32), np.zeros((6, 6), bool)
    arm[0], unknown = True, np.eye(6, dtype=bool)
    np.testing.assert_array_equal(free_space_mask(nothing, nothing, arm, unknown, 2.0), ~arm & ~unknown)


def test_other_numbers_prove_other_cells() -> None:
    hand, other = np.zeros((9, 30), np.float32), np.full((9, 30), np.inf, np.float32)
    hand[:, :5] = 500.0
    nothing = np.zeros((9, 30), bool)
    for edge_px, open_mm, first in ((2.0, np.inf, 7), (6.0, np.inf, 11), (2.0, 110.0, 6), (2.0, 130.0, 7)):
        config = FreeSpaceConfig(edge_px=edge_px, open_mm=open_mm)
        free = free_space_mask(hand, other, nothing, nothing, 5.0, config=config)
        assert np.flatnonzero(free[4])[0] == first


def test_a_strip_of_nothing_is_no_background() -> None:
    """The shadow of hand and forearm, and a row without depth, lie beside what is measured all along."""
    hand, other = np.zeros((40, 40), np.float32), np.full((40, 40), 900.0, np.float32)
    hand[:, :10] = 500.0
    other[:, 10:12], other[20:23] = np.inf, np.inf
    nothing = np.zeros((40, 40), bool)
    assert not free_space_mask(hand, other, nothing, nothing, 3.0)[:, 10:12].any()
    other[:20, 12:] = np.inf
    assert free_space_mask(hand, other, nothing, nothing, 3.0)[:, 11].all()
