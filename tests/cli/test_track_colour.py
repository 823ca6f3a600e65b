"""`handopt track --colour`: the hand over the colour pictures beside the frames."""

from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
from PIL import Image
from support.commands import run
from support.fake_realsense import SoftCamera, librealsense, record
from support.remembered_fits import remember_fits
from support.sequences import CAMERA, samples

from handopt.draw.layout import Layout
from handopt.draw.panels import DEFAULT_PX

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
OPTIONS = ("--camera", "237.5,237.5,159.5,119.5", "--unit", "1", "--fps", "30", "--hand", "right", "--no-smooth")
COLOURS = ((200, 30, 30), (30, 200, 30))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three frames, two of which have a picture."""
    remember_fits(monkeypatch)
    path = tmp_path / "frames"
    (path / "colour").mkdir(parents=True)
    for index in range(3):
        Image.fromarray(samples()[index].counts).save(path / f"{index}.png")
    for index, colour in enumerate(COLOURS):
        Image.new("RGB", (CAMERA.width, CAMERA.height), colour).save(path / "colour" / f"{index}.png")
    return path


def corners(video: Path) -> list[list[int]]:
    """The colour in a corner of the overlay of each frame."""
    left, top = Layout(DEFAULT_PX, 4).corner(2)
    return [frame[top + 4, left + DEFAULT_PX - 5].tolist() for frame in iio.imread(video, plugin="FFMPEG")]


def test_the_video_shows_the_picture_of_each_frame(folder: Path, tmp_path: Path) -> None:
    done = run("track", folder, "-o", tmp_path / "track", *OPTIONS, "--colour")
    assert done.exit_code == 0, done.output
    found = corners(tmp_path / "track" / "track.mp4")
    for shown, colour in zip(found, COLOURS, strict=False):
        assert shown == pytest.approx(colour, abs=30)
    assert np.ptp(found[2]) < 40, "without a picture its depth is shown, in grey"


def test_mirrored_pictures_are_mirrored_back(folder: Path, tmp_path: Path) -> None:
    ramp = np.zeros((CAMERA.height, CAMERA.width, 3), np.uint8)
    ramp[..., 0] = np.linspace(20, 250, CAMERA.width)
    shown = []
    for name, options, step in (("plain", (), 1), ("turned", ("--mirrored",), -1)):
        for index in range(2):
            counts = np.ascontiguousarray(samples()[index].counts[:, ::step])
            Image.fromarray(counts).save(folder / f"{index}.png")
            Image.fromarray(np.ascontiguousarray(ramp[:, ::step])).save(folder / "colour" / f"{index}.png")
        done = run("track", folder, "-o", tmp_path / name, *OPTIONS, *options, "--colour", "--frames", "2")
        assert done.exit_code == 0, done.output
        shown.append(corners(tmp_path / name / "track.mp4")[1])
    assert shown[0] == pytest.approx(shown[1], abs=6)
    assert shown[0][0] > 60


def test_what_has_no_colour_is_refused_before_it_is_tracked(folder: Path, tmp_path: Path) -> None:
    for index in range(2):
        (folder / "colour" / f"{index}.png").unlink()
    done = run("track", folder, "-o", tmp_path / "track", *OPTIONS, "--colour")
    assert done.exit_code == 2
    assert "has no colour pictures of the depth camera's view" in done.stderr
    assert "--colour" in done.stderr
    assert not (tmp_path / "track").exists()


@pytest.mark.parametrize("options", [("--no-video",), ("--live",)])
def test_colour_without_a_video_of_a_recording_is_refused(options: tuple[str, ...], folder: Path) -> None:
    source = () if "--live" in options else (folder,)
    done = run("track", *source, *options, "--colour")
    assert done.exit_code == 2
    assert "--colour is for track.mp4 of a recording: leave it out" in done.stderr


def test_another_fault_of_the_source_is_named_as_without_colour(folder: Path, tmp_path: Path) -> None:
    said = [run("track", folder, "-o", tmp_path / "track", "-q", *more) for more in ((), ("--colour",))]
    assert [done.exit_code for done in said] == [1, 1]
    assert said[0].stderr == said[1].stderr
    assert "--camera" in said[0].stderr


def test_a_realsense_recording_is_read_once_more_for_its_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remember_fits(monkeypatch)
    rs = librealsense()
    camera = SoftCamera(rs, (CAMERA.width, CAMERA.height), focal=(CAMERA.fx, CAMERA.fy))
    camera.add_colour((2 * CAMERA.width, CAMERA.height), 0.0)
    pictures = [np.full((CAMERA.height, 2 * CAMERA.width, 3), colour, np.uint8) for colour in COLOURS]
    take = record(rs, camera, tmp_path, [samples()[index].counts for index in range(2)], pictures)
    done = run("track", take, "-o", tmp_path / "track", "--hand", "right", "--no-smooth", "--colour")
    assert done.exit_code == 0, done.output
    video = iio.imread(tmp_path / "track" / "track.mp4", plugin="FFMPEG")
    inside = [frame[overlay_middle()].mean(axis=(0, 1)) for frame in video]
    assert len(inside) == 2
    assert inside[0][0] > inside[0][1] + 20
    assert inside[1][1] > inside[1][0] + 20


def overlay_middle() -> tuple[slice, slice]:
    """Rows and columns in the middle of the overlay, where there is depth, and so colour."""
    left, top = Layout(DEFAULT_PX, 4).corner(2)
    return slice(top + DEFAULT_PX // 4, top + DEFAULT_PX // 2), slice(left + DEFAULT_PX // 4, left + DEFAULT_PX // 2)
