"""The script that makes the moving picture of the README: joining what handopt video drew."""

from pathlib import Path

import pytest
import render_demo
from PIL import Image

PAPER, INK = (18, 20, 25), (240, 160, 125)
WIDTH, HEIGHT, OBJECTIVE_PX = 60, 24, 30


def write_frames(path: Path, width: int, count: int) -> Path:
    """A GIF whose frames differ by a bar that grows, with a mark on its right border."""
    frames = []
    for number in range(count):
        frame = Image.new("RGB", (width, HEIGHT), PAPER)
        frame.paste(INK, (1, 1, 2 + number, HEIGHT - 1))
        frame.paste(INK, (width - 5, 0, width, 5))
        frames.append(frame.convert("P", palette=Image.Palette.ADAPTIVE))
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=30, loop=0)
    return path


@pytest.fixture
def fit(tmp_path: Path) -> Path:
    return write_frames(tmp_path / "fit.gif", WIDTH + OBJECTIVE_PX, 5)


@pytest.fixture
def track(tmp_path: Path) -> Path:
    return write_frames(tmp_path / "track.gif", WIDTH, 4)


def test_fit_and_track_follow_each_other_in_one_size(fit: Path, track: Path) -> None:
    pictures, durations_ms = render_demo.join(fit, track)
    assert [picture.size for picture in pictures] == [(WIDTH, HEIGHT)] * 9
    assert len(durations_ms) == 9
    assert durations_ms[4] > durations_ms[1], "the end of the fit is shown longer than its iterations"


def test_the_objective_is_cut_off_and_the_border_stays_empty(fit: Path, track: Path) -> None:
    pictures, _ = render_demo.join(fit, track)
    last_iteration = pictures[4].convert("RGB")
    assert last_iteration.getpixel((3, HEIGHT // 2)) == INK
    assert {last_iteration.getpixel((WIDTH - 1, row)) for row in range(HEIGHT)} == {PAPER}


def test_the_picture_keeps_all_frames_and_their_times(fit: Path, track: Path, tmp_path: Path) -> None:
    pictures, durations_ms = render_demo.join(fit, track)
    render_demo.write_gif(tmp_path / "new" / "demo.gif", pictures, durations_ms)
    with Image.open(tmp_path / "new" / "demo.gif") as picture:
        assert getattr(picture, "n_frames", 1) == 9
        assert picture.info["loop"] == 0
        found = []
        for number in range(9):
            picture.seek(number)
            found.append(picture.info["duration"])
    assert found[1:4] == [110, 110, 110]
    assert found[4] == 1500
