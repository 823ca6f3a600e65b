"""Folders of Stray Scanner and Polycam, in the layouts that their makers document."""

from pathlib import Path

import numpy as np
import pytest
from support.recordings import ARKIT_SIZE, polycam, save, stray

from handopt.errors import CameraError, DepthError, SourceError
from handopt.input.sequence import open_source
from handopt.input.sequence.open import is_recording
from handopt.input.sequence.stream_info import SourceOptions


@pytest.mark.parametrize(("write", "times"), [(stray, [4.5, 4.6]), (polycam, [104.512, 104.545])])
def test_depth_confidence_times_and_camera(write: object, times: list[float], tmp_path: Path) -> None:
    assert callable(write)
    write(tmp_path)
    assert is_recording(tmp_path)
    source = open_source(tmp_path)
    frames = list(source)
    assert [float(frame.depth_mm[2, 5]) for frame in frames] == [600.0, 601.0]
    assert np.isnan(frames[0].depth_mm[0]).all(), "low confidence"
    assert (frames[0].depth_mm[1:] == 600).all(), "medium and high"
    assert [frame.time_s for frame in frames] == pytest.approx(times)
    camera = source.camera
    # 1920 or 1024 columns become 256; the middle of the pixels stays the middle.
    assert (camera.fx, camera.fy, camera.cx, camera.cy) == pytest.approx((192.0, 192.0, 127.5, 95.5))
    assert any("low confidence" in note for note in source.assumptions)
    assert any("One count is 1 mm" in note for note in source.assumptions)


def test_the_pictures_of_polycam_show_the_depth_camera_s_view(tmp_path: Path) -> None:
    frame = next(iter(open_source(polycam(tmp_path), SourceOptions(colour=True))))
    assert frame.colour is not None
    assert frame.colour.shape == (*ARKIT_SIZE, 3)
    assert abs(int(frame.colour[50, 50, 0]) - 120) < 3
    with pytest.raises(SourceError, match="has no colour pictures of the depth camera's view"):
        open_source(stray(tmp_path / "stray"), SourceOptions(colour=True))


def test_what_is_damaged_is_named(tmp_path: Path) -> None:
    stray(tmp_path)
    save(tmp_path / "confidence" / "000001.png", np.zeros((48, 64), np.uint8))
    frames = list(open_source(tmp_path))
    assert "000001.png: has 64 x 48 pixels, not 256 x 192" in str(frames[1].problem)
    (tmp_path / "odometry.csv").write_text("timestamp, frame\n1.0\n")
    with pytest.raises(SourceError, match="has a line without a time and a frame"):
        open_source(tmp_path)
    (tmp_path / "odometry.csv").write_text("a, b\n")
    with pytest.raises(SourceError, match="has no columns timestamp and frame"):
        open_source(tmp_path)
    (tmp_path / "odometry.csv").unlink()
    assert [frame.time_s for frame in open_source(tmp_path)] == [None, None]
    for text, problem in (("1,2\n3,4\n", r"has the shape \(2, 2\)"), ("a,b\n", "is no matrix"), ("1,2\n3\n", "matrix")):
        (tmp_path / "camera_matrix.csv").write_text(text)
        with pytest.raises(CameraError, match=problem):
            open_source(tmp_path)
    bare = polycam(tmp_path / "p") / "keyframes" / "cameras" / "104512000.json"
    bare.write_text('{"fx": 1}')
    with pytest.raises(CameraError, match="states no fx, fy, cx, cy, width, height"):
        open_source(tmp_path / "p")


def test_without_depth_it_says_so(tmp_path: Path) -> None:
    (tmp_path / "camera_matrix.csv").write_text("1,0,0\n0,1,0\n0,0,1\n")
    with pytest.raises((SourceError, DepthError), match="has no folder depth"):
        open_source(tmp_path)


def test_a_folder_of_images_may_have_a_folder_of_cameras(tmp_path: Path) -> None:
    save(tmp_path / "0.png", np.full(ARKIT_SIZE, 600, np.uint16))
    (tmp_path / "cameras").mkdir()
    assert not is_recording(tmp_path)
    (frame,) = open_source(tmp_path, SourceOptions(camera="200,200,128,96", unit=1.0))
    assert (frame.depth_mm == 600).all()


def test_a_picture_that_cannot_be_shown_costs_no_frame(tmp_path: Path) -> None:
    (polycam(tmp_path) / "keyframes" / "images" / "104512000.jpg").write_bytes(b"no picture")
    frames = list(open_source(tmp_path, SourceOptions(colour=True)))
    assert [frame.problem for frame in frames] == [None, None]
    assert [frame.colour is None for frame in frames] == [True, False]
