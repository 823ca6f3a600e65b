"""Constants in place of depths: recognised where the image favours that, and true walls are kept."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from handopt.errors import DepthError
from handopt.input.depth import read_depth
from handopt.input.no_depth import no_depth_constants
from handopt.input.sequence import open_source
from handopt.input.sequence.stream_info import SourceOptions

SHAPE = (120, 160)


def hand_before(background: int | NDArray[np.int64], specks: int = 0) -> NDArray[np.uint16]:
    """Something at about 500 mm before a background, with single pixels of the background in it."""
    rng = np.random.default_rng(3)
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    counts = np.broadcast_to(np.asarray(background), SHAPE).copy()
    inside = np.hypot(rows - 60, columns - 80) < 40
    counts[inside] = 500 + rng.integers(-3, 4, int(inside.sum()))
    for number in range(specks):
        counts[40 + 4 * (number // 8), 60 + 4 * (number % 8)] = np.max(background)
    return counts.astype(np.uint16)


def noisy(depth: int, deviation: float) -> NDArray[np.int64]:
    return np.rint(depth + deviation * np.random.default_rng(1).standard_normal(SHAPE)).astype(np.int64)


@pytest.mark.parametrize("value", [32001, 32002, 32767, 65535])
def test_beyond_all_walls_a_constant_needs_no_specks(value: int) -> None:
    assert no_depth_constants(hand_before(value)) == (value,)


@pytest.mark.parametrize("value", [2001, 2047, 4090, 4095, 8191])
def test_where_a_wall_could_be_a_constant_lies_in_specks_too(value: int) -> None:
    assert no_depth_constants(hand_before(value, specks=20)) == (value,)
    assert no_depth_constants(hand_before(value)) == ()  # a rendered wall without noise


@pytest.mark.parametrize("value", [2001, 2047, 4095])
@pytest.mark.parametrize("deviation", [0.6, 3.0, 10.0])
def test_a_true_wall_is_kept(value: int, deviation: float) -> None:
    assert no_depth_constants(hand_before(noisy(value, deviation), specks=20)) == ()
    cut = np.minimum(noisy(value, deviation), value)  # a sensor that gives no more than the constant
    assert no_depth_constants(hand_before(cut, specks=20)) == ()


@pytest.mark.parametrize("value", [2001, 2047, 4095])
def test_a_flat_wall_with_random_dropout_is_kept(value: int) -> None:
    """Where most of a wall without noise drops out, single pixels of it are left among pixels of 0."""
    for share in (0.1, 0.5, 0.8, 0.9):
        counts = hand_before(value)
        counts[(np.random.default_rng(2).random(SHAPE) < share) & (counts == value)] = 0
        assert no_depth_constants(counts) == (), share


def test_what_lies_just_below_is_compared_as_it_is() -> None:
    counts = hand_before(4095, specks=20).astype(np.float32)
    counts[:10] = 4090.5
    assert no_depth_constants(counts) == ()
    counts[:10] = 4090.0
    assert no_depth_constants(counts) == (4095,), "4090 is a constant as well; as an area alone it may be a wall"


@pytest.mark.parametrize("value", [2000, 3000, 32000, 4094])
def test_other_counts_are_depths(value: int) -> None:
    assert no_depth_constants(hand_before(value, specks=20)) == ()


def test_what_lies_behind_a_constant_makes_it_a_depth() -> None:
    counts = hand_before(2001, specks=20)
    counts[:10] = 2600
    assert no_depth_constants(counts) == ()


def test_a_wall_at_four_metres_in_eighths_of_a_millimetre_is_kept() -> None:
    assert no_depth_constants(hand_before(noisy(32001, 60.0)), 0.125) == ()
    assert no_depth_constants(hand_before(32001), 0.125) == ()
    assert no_depth_constants(hand_before(32001, specks=20), 0.125) == (32001,)


def test_two_constants_in_one_image() -> None:
    counts = hand_before(32001)
    counts[:10] = 32002
    assert no_depth_constants(counts) == (32002, 32001)


def test_counts_in_floats_count_as_well() -> None:
    counts = hand_before(32001).astype(np.float32)
    counts[0, 0] = np.nan
    assert no_depth_constants(counts) == (32001,)


def test_a_file_says_it_without_numbers_that_differ_from_image_to_image(tmp_path: Path) -> None:
    counts = hand_before(32001)
    Image.fromarray(counts).save(tmp_path / "image.png")
    depth = read_depth(tmp_path / "image.png", unit=1.0)
    assert depth.assumptions == ("Pixels of 32001 were taken as no depth.",)
    np.testing.assert_array_equal(depth.depth_mm, np.where(counts == 32001, 0, counts))


def test_nothing_but_constants_is_no_depth_image(tmp_path: Path) -> None:
    Image.fromarray(np.full(SHAPE, 32001, np.uint16)).save(tmp_path / "image.png")
    with pytest.raises(DepthError, match="of its 19200 pixels 19200 of 32001: there is no depth to use"):
        read_depth(tmp_path / "image.png")


def test_a_recording_says_it_once_and_goes_by_its_first_frame(tmp_path: Path) -> None:
    first, second = hand_before(2001, specks=20), hand_before(2001)  # the second alone would pass for a wall
    for name, counts in (("0.png", first), ("1.png", second)):
        Image.fromarray(counts).save(tmp_path / name)
    source = open_source(tmp_path, SourceOptions("240,240,80,60", 1.0))
    assert [each for each in source.assumptions if "no depth" in each] == ["Pixels of 2001 were taken as no depth."]
    for frame, counts in zip(source, (first, second), strict=True):
        np.testing.assert_array_equal(frame.depth_mm, np.where(counts == 2001, 0, counts))
