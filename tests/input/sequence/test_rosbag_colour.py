"""Colour of ROS bags: the topic of the depth's view is found, and each frame gets the picture nearest in time."""

from pathlib import Path

import numpy as np
import pytest
from support.ros_bags import SIZE, Bag, bag

from handopt.errors import SourceError
from handopt.input.sequence import open_source
from handopt.input.sequence.stream_info import SourceOptions

COLOUR = "/camera/color/image_raw"
RED, BLUE = (200, 20, 10), (10, 20, 200)
WANTED = SourceOptions(colour=True)


def flat(rgb: tuple[int, ...], size: tuple[int, int] = SIZE) -> np.ndarray:
    return np.tile(np.array(rgb, np.uint8), (*size, 1))


def with_depth(made: Bag, times_s: tuple[float, ...] = (10.0,)) -> None:
    made.info()
    for sec in times_s:
        made.image(np.full(SIZE, 500, np.uint16), sec)


@pytest.mark.parametrize("version", [1, 2])
def test_frames_get_the_picture_nearest_in_time(version: int, tmp_path: Path) -> None:
    with bag(tmp_path, version) as made:
        with_depth(made, (10.0, 10.1, 10.2))
        made.picture(flat(RED), 10.01, COLOUR)
        made.picture(flat(BLUE), 10.1, COLOUR)
    source = open_source(made.path, WANTED)
    for _ in range(2):  # it can be read again
        frames = list(source)
        assert [None if each.colour is None else tuple(each.colour[0, 0]) for each in frames] == [RED, BLUE, None]
        assert frames[0].colour is not None
        assert frames[0].colour.shape == (*SIZE, 3)
    assert all(each.colour is None for each in open_source(made.path)), "colour comes where it is asked for"


@pytest.mark.parametrize(
    ("encoding", "pixel"),
    [("bgr8", RED[::-1]), ("rgba8", (*RED, 255)), ("bgra8", (*RED[::-1], 255)), ("mono8", (90,))],
)
def test_encodings_become_red_green_and_blue(encoding: str, pixel: tuple[int, ...], tmp_path: Path) -> None:
    with bag(tmp_path, 1) as made:
        with_depth(made)
        made.picture(flat(pixel), 10, COLOUR, encoding)
    (frame,) = open_source(made.path, WANTED)
    assert frame.colour is not None
    assert tuple(frame.colour[3, 4]) == ((90, 90, 90) if encoding == "mono8" else RED)


def test_jpeg_of_another_size_is_scaled(tmp_path: Path) -> None:
    with bag(tmp_path, 2) as made:
        with_depth(made)
        made.jpeg(flat(RED, (2 * SIZE[0], 2 * SIZE[1])), 10, f"{COLOUR}/compressed")
    (frame,) = open_source(made.path, WANTED)
    assert frame.colour is not None
    assert frame.colour.shape == (*SIZE, 3)
    assert np.abs(frame.colour.astype(int) - RED).max() < 6


def test_pictures_of_another_view_are_refused(tmp_path: Path) -> None:
    with bag(tmp_path, 1) as made:
        with_depth(made)
        made.picture(flat(RED), 10, COLOUR, frame="colour")
        made.picture(flat(RED, (SIZE[0], 2 * SIZE[1])), 10, "/camera/depth/wide")
    with pytest.raises(SourceError, match="no topic has pictures of the depth's view"):
        open_source(made.path, WANTED)
    assert len(list(open_source(made.path))) == 1


def test_a_damaged_picture_leaves_its_frame_without(tmp_path: Path) -> None:
    with bag(tmp_path, 1) as made:
        with_depth(made, (10.0, 11.0, 12.0))
        made.picture(flat(RED), 10, COLOUR)
        made.picture(flat(BLUE)[:-1], 11, COLOUR)  # of another view
        made.picture(flat(BLUE), 12, COLOUR)
    frames = list(open_source(made.path, WANTED))
    assert all(each.problem is None and each.depth_mm.max() == 500 for each in frames)
    assert [None if each.colour is None else tuple(each.colour[0, 0]) for each in frames] == [RED, None, BLUE]


def test_a_topic_whose_first_picture_is_damaged_is_found(tmp_path: Path) -> None:
    with bag(tmp_path, 1) as made:
        with_depth(made, (10.0, 11.0))
        made.damaged(COLOUR, "sensor_msgs/msg/Image", 110)
        made.picture(flat(RED), 11, COLOUR)
    frames = list(open_source(made.path, WANTED))
    assert [None if each.colour is None else tuple(each.colour[0, 0]) for each in frames] == [None, RED]


def test_a_topic_of_damaged_pictures_alone_is_none(tmp_path: Path) -> None:
    with bag(tmp_path, 1) as made:
        with_depth(made)
        made.damaged(COLOUR, "sensor_msgs/msg/Image", 110)
    with pytest.raises(SourceError, match="no topic has pictures of the depth's view"):
        open_source(made.path, WANTED)
