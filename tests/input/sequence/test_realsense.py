"""RealSense cameras and recordings, through librealsense's software device: finding a camera is not tested."""

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.fake_realsense import FPS, SoftCamera, librealsense, record

from handopt.errors import CameraError
from handopt.input.camera import Camera
from handopt.input.sequence import SourceError, open_source
from handopt.input.sequence.realsense import (
    LIVE_SIZE,
    DeviceFrame,
    LiveSource,
    RealSenseSource,
    open_camera,
    plugged_in,
)
from handopt.input.sequence.stream_info import SourceOptions

SMALL = (64, 48)


@pytest.fixture
def rs() -> Any:
    return librealsense()


def test_a_recording_is_read_with_its_camera_and_times(rs: Any, tmp_path: Path) -> None:
    source = open_source(record(rs, SoftCamera(rs, SMALL), tmp_path, [None] * 5))
    assert (source.camera.fx, source.camera.fy, source.camera.width) == (470.0, 471.0, SMALL[0])
    assert source.unit_mm == pytest.approx(1.0)
    assert source.fps == FPS
    frames = list(source)
    assert [round(float(frame.depth_mm[0, 0])) for frame in frames] == [500, 501, 502, 503, 504]
    assert [frame.time_s for frame in frames] == pytest.approx([n / FPS for n in range(5)], abs=1e-3)


def test_colour_of_a_recording_is_put_into_the_depth_cameras_view(rs: Any, tmp_path: Path) -> None:
    """At 470 mm a camera 20 mm to the right sees a point 20 pixels farther to the left."""
    camera, size = SoftCamera(rs, SMALL), (96, 48)
    camera.add_colour(size, 20.0)
    columns = np.broadcast_to(np.arange(size[0], dtype=np.uint8), size[::-1])
    pictures = [np.stack([columns, 255 - columns, np.full_like(columns, number)], axis=2) for number in range(4)]
    flat = np.full(SMALL[::-1], 470, np.uint16)
    file = record(rs, camera, tmp_path, [flat] * 4, pictures)
    shown = [frame.colour for frame in open_source(file, SourceOptions(colour=True))]
    assert len(shown) == 4
    for number, picture in enumerate(shown):
        assert picture is not None
        assert picture.shape == (*SMALL[::-1], 3)
        # Column 40 lies at 8.5 px from the middle; in the picture at 47.5 + 8.5 - 20.
        assert picture[20, 40].tolist() == pytest.approx([36, 219, number], abs=1.01)
    assert [frame.colour for frame in open_source(file)] == [None] * 4, "nobody asked for it"


def test_a_recording_without_colour_says_so(rs: Any, tmp_path: Path) -> None:
    file = record(rs, SoftCamera(rs, SMALL), tmp_path, [None] * 2)
    with pytest.raises(SourceError, match="has no colour stream; leave colour out"):
        open_source(file, SourceOptions(colour=True))


def test_a_camera_file_says_that_frames_come_mirrored(rs: Any, tmp_path: Path) -> None:
    ramp = (500 + np.arange(SMALL[0], dtype=np.uint16)) * np.ones((SMALL[1], 1), np.uint16)
    file = record(rs, SoftCamera(rs, SMALL), tmp_path, [ramp] * 2)
    camera = Camera(470.0, 471.0, 31.5, 23.5, *SMALL)
    (tmp_path / "cam.json").write_text(json.dumps({**camera.to_dict(), "mirrored": True}))
    source = open_source(file, SourceOptions(str(tmp_path / "cam.json")))
    np.testing.assert_array_equal(np.round(next(iter(source)).depth_mm), ramp[:, ::-1])
    assert any("mirrored, as" in sentence for sentence in source.assumptions)
    as_it_comes = open_source(file, SourceOptions(str(tmp_path / "cam.json"), mirrored=False))
    np.testing.assert_array_equal(np.round(next(iter(as_it_comes)).depth_mm), ramp)


def test_no_frame_of_a_recording_is_lost_on_a_slow_reader(rs: Any, tmp_path: Path) -> None:
    source = open_source(record(rs, SoftCamera(rs, SMALL), tmp_path, [None] * 12))
    taken = []
    for frame in source:
        time.sleep(0.06)
        taken.append(round(float(frame.depth_mm[0, 0])) - 500)
    assert taken == list(range(12))


def test_a_camera_gives_frames_until_it_disappears(rs: Any) -> None:
    camera = SoftCamera(rs, LIVE_SIZE, unit_mm=0.125)
    source = open_camera(SourceOptions(), timeout_s=0.6, device=camera.device)
    assert source.live
    assert (source.camera.fx, source.camera.cx) == (470.0, 319.5)
    assert source.unit_mm == pytest.approx(0.125)
    feeder = camera.film([None] * 6, every_s=0.05)
    taken = []
    with pytest.raises(SourceError, match=r"gave no frame for 0.6 s.*what was tracked before is kept"):  # noqa: PT012
        for frame in source:
            taken.append(frame)
    feeder.join()
    assert [float(frame.depth_mm[0, 0]) for frame in taken] == pytest.approx(
        [(500 + n) / 8 for n in range(6)], rel=1e-5
    )
    assert taken[0].depth_mm.shape == LIVE_SIZE[::-1]
    assert taken[3].time_s == pytest.approx(3 / FPS, abs=1e-3)
    with pytest.raises(RuntimeError, match="start"):
        source._device._pipeline.get_active_profile()  # type: ignore[attr-defined]


def test_a_slow_reader_gets_the_newest_frame(rs: Any) -> None:
    camera = SoftCamera(rs, SMALL)
    source = open_camera(SourceOptions(), timeout_s=5.0, device=camera.device)
    newest = 0
    camera.give(newest)
    shown, given = [], []
    for frame in source:
        shown.append(round(float(frame.depth_mm[0, 0])) - 500)
        given.append(newest)
        if newest == 30:
            break
        for _ in range(6):  # what arrives while the reader is busy
            newest += 1
            camera.give(newest)
    # A queue of more than one frame, or one that drops nothing, would lag behind.
    assert shown == given == [0, 6, 12, 18, 24, 30]
    assert source.fps == pytest.approx((len(shown) - 1) / (shown[-1] / FPS), rel=1e-3)


def test_a_camera_of_another_stream_gives_what_it_has(rs: Any) -> None:
    camera = SoftCamera(rs, (80, 60), fps=15)
    source = open_camera(
        SourceOptions(unit=2.0, camera="60,60,39.5,29.5", fps=10.0), timeout_s=0.4, device=camera.device
    )
    assert (source.camera.fx, source.camera.width, source.unit_mm, source.fps) == (60.0, 80, 2.0, 10.0)
    feeder = camera.film([None] * 2, every_s=0.05)
    with pytest.raises(SourceError, match="no frame"):
        assert [float(frame.depth_mm[0, 0]) for frame in source] == [1000.0, 1002.0]
    feeder.join()


def test_a_camera_file_that_does_not_fit_is_refused(rs: Any) -> None:
    with pytest.raises(CameraError, match="nowhere"):
        open_camera(SourceOptions(camera="nowhere.json"), device=SoftCamera(rs, SMALL).device)


def test_a_damaged_recording_is_refused(rs: Any, tmp_path: Path) -> None:
    (tmp_path / "hand.bag").write_bytes(b"#ROSBAG V2.0\nand nothing more")
    with pytest.raises(SourceError, match="copy or record it again"):
        open_source(tmp_path / "hand.bag")


def test_without_a_camera_live_says_what_to_do(rs: Any) -> None:
    assert plugged_in() == []
    with pytest.raises(SourceError, match="plug"):
        open_camera(SourceOptions())


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "pyrealsense2", None)
    (tmp_path / "hand.bag").write_bytes(b"#ROSBAG V2.0\n")
    with pytest.raises(SourceError, match=r"pip install '\.\[realsense\]'"):
        open_source(tmp_path / "hand.bag")


class Clocks:
    """A device whose clock changes after the second frame."""

    camera, unit_mm, fps = Camera(60.0, 60.0, 39.5, 29.5, 80, 60), 1.0, 20.0

    def frames(self) -> Iterator[DeviceFrame]:
        for time_ms in (100.0, 150.0, 1.8e12, 1.8e12 + 50, 1.8e12 + 50, 1.8e12 + 100):
            yield DeviceFrame(np.full((60, 80), 500, np.uint16), time_ms)

    def close(self) -> None:
        pass


@pytest.mark.parametrize(
    "kind", [lambda asked: RealSenseSource("clip", Clocks(), asked), lambda asked: LiveSource(Clocks(), asked)]
)
def test_another_clock_does_not_make_frames_jump(kind: Any) -> None:
    source = kind(SourceOptions())
    assert [frame.time_s for frame in source] == pytest.approx([0.0, 0.05, 0.1, 0.15, 0.2, 0.25])
    assert source.fps == pytest.approx(20.0)
    asked = kind(SourceOptions(fps=7.0))
    assert [frame.time_s for frame in asked] == [None] * 6
    assert asked.fps == 7.0
