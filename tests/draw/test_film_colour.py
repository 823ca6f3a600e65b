"""Videos of tracks over colour pictures of the depth camera's view."""

from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
from support.sequences import CAMERA, COUNT, followed

from handopt.draw.film import Film
from handopt.draw.layout import Layout
from handopt.draw.panels import Painter
from handopt.draw.video import write_video
from handopt.typing import Bytes

# the reader of imageio leaves its pipes to the garbage collector
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
SIZE = 120


def flat(rgb: tuple[int, int, int]) -> Bytes:
    return np.full((CAMERA.height, CAMERA.width, 3), rgb, np.uint8)


def panel(picture: Bytes, number: int = 2) -> Bytes:
    """A panel of a painted frame; the third is the overlay."""
    left, top = Layout(SIZE, 4).corner(number)
    return picture[top : top + SIZE, left : left + SIZE]


def test_a_view_shows_the_pixels_of_a_picture_that_its_depth_was_taken_from() -> None:
    film = Film.of_track(followed())
    rows, columns = np.mgrid[: CAMERA.height, : CAMERA.width]
    numbered = np.stack([rows, columns % 256, columns // 256], axis=2).astype(np.uint8)
    view = film.view(4, film.needed_px())
    shown = view.cut(numbered).astype(int)
    middle = view.side // 2
    row, column = shown[middle, middle, 0], shown[middle, middle, 1] + 256 * shown[middle, middle, 2]
    assert (column, row) == pytest.approx(CAMERA.project(film.centers_mm[4][None])[0], abs=2)
    assert (np.diff(shown[:, middle, 0]) >= 0).all()


def test_what_lies_beyond_the_picture_is_black() -> None:
    film = Film.of_track(followed())
    view = film.view(4, film.needed_px())
    column, row = (int(each) for each in CAMERA.project(film.centers_mm[4][None])[0])
    shown = view.cut(flat((9, 9, 9))[:row, :column])
    assert (shown[: view.side // 2 - 2, : view.side // 2 - 2] == 9).any()
    assert not shown[view.side // 2 + 2 :].any()
    assert not shown[:, view.side // 2 + 2 :].any()


def test_the_hand_is_shown_over_the_colour_of_its_own_frame(tmp_path: Path) -> None:
    film = Film.of_track(followed())
    colours = [(0, 200, 0) if index % 2 else (0, 0, 200) for index in range(COUNT)]
    pictures = [None if index == 3 else flat(each) for index, each in enumerate(colours)]
    painted = list(Painter(film, size=SIZE, pictures=iter(pictures)))
    plain = Painter(film, size=SIZE).frame(3)
    assert len(painted) == COUNT
    for index in (0, 1, 2, 5):
        corner = panel(painted[index])[2, -2]
        assert tuple(corner) == colours[index]
    assert np.array_equal(panel(painted[3]), panel(plain)), "without a picture the depth is shown"
    assert np.array_equal(panel(painted[1], 0), panel(Painter(film, size=SIZE).frame(1), 0))
    middle = panel(painted[2])[SIZE // 4 : 3 * SIZE // 4, SIZE // 4 : 3 * SIZE // 4].reshape(-1, 3)
    mixed = (middle[:, 0] > 40) & (middle[:, 2] > 60)
    assert mixed.mean() > 0.1, "the picture is seen through the hand"
    write_video(film, tmp_path / "track.mp4", size=SIZE, pictures=iter(pictures))
    read = iio.imread(tmp_path / "track.mp4", plugin="FFMPEG")
    assert panel(read[1])[2, -2].astype(int) == pytest.approx(colours[1], abs=25)


def test_fewer_pictures_than_frames_are_no_error() -> None:
    film = Film.of_track(followed())
    painted = list(Painter(film, ("overlay",), SIZE, pictures=[flat((200, 0, 0))]))
    assert len(painted) == COUNT
