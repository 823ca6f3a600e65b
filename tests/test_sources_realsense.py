"""RealSense cameras and recordings, through pyrealsense2's software device: no hardware is tested here."""

import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from handopt.sources import SourceError, open_source
from handopt.sources.facts import Asked
from handopt.sources.realsense import LIVE_FPS, LIVE_SIZE, Device, RealSenseSource, camera_of, open_camera

SMALL = (64, 48)


@pytest.fixture
def rs() -> Any:
    """The library, where it can be loaded (it also needs libusb-1.0)."""
    try:
        import pyrealsense2
    except ImportError as error:
        pytest.skip(f"RealSense is not tested: {error}")
    return pyrealsense2


class Camera:
    """A software device that gives depth frames of 500 mm and one more each time."""

    def __init__(self, rs: Any, size: tuple[int, int]) -> None:
        self._rs, (self._width, self._height) = rs, size
        self.device = rs.software_device()
        self._sensor = self.device.add_sensor("depth")
        intrinsics = rs.intrinsics()
        intrinsics.width, intrinsics.height = size
        intrinsics.ppx, intrinsics.ppy, intrinsics.fx, intrinsics.fy = size[0] / 2, size[1] / 2, 470.0, 471.0
        intrinsics.model, intrinsics.coeffs = rs.distortion.none, [0.0] * 5
        stream = rs.video_stream()
        stream.type, stream.index, stream.uid, stream.fmt = rs.stream.depth, 0, 0, rs.format.z16
        stream.width, stream.height, stream.fps, stream.bpp, stream.intrinsics = *size, LIVE_FPS, 2, intrinsics
        self._profile = self._sensor.add_video_stream(stream)
        self._sensor.add_read_only_option(rs.option.depth_units, 0.001)

    def give(self, number: int) -> None:
        """Give a frame."""
        frame = self._rs.software_video_frame()
        frame.pixels = np.full((self._height, self._width), 500 + number, np.uint16)
        frame.stride, frame.bpp, frame.depth_units = 2 * self._width, 2, 0.001
        frame.timestamp, frame.frame_number = 1000.0 * number / LIVE_FPS, number
        frame.domain = self._rs.timestamp_domain.hardware_clock
        frame.profile = self._profile.as_video_stream_profile()
        self._sensor.on_video_frame(frame)


def recording(rs: Any, folder: Path, count: int = 5) -> Path:
    """A recording of a software device, in whatever format the library writes."""
    camera = Camera(rs, SMALL)
    path = folder / "hand.bag"
    try:
        recorder = rs.recorder(str(path), camera.device)
    except RuntimeError:
        path = folder / "hand.db3"
        recorder = rs.recorder(str(path), camera.device)
    sensor, queue = recorder.query_sensors()[0], rs.frame_queue(50)
    sensor.open(sensor.get_stream_profiles()[0])
    sensor.start(queue)
    for number in range(count):
        camera.give(number)
        queue.wait_for_frame(2000)
    sensor.stop()
    sensor.close()
    del recorder, sensor
    return path


def test_a_recording_is_read_with_its_camera_and_times(rs: Any, tmp_path: Path) -> None:
    source = open_source(recording(rs, tmp_path))
    assert (source.camera.fx, source.camera.fy, source.camera.width) == (470.0, 471.0, SMALL[0])
    assert source.unit_mm == pytest.approx(1.0)
    assert source.fps == LIVE_FPS
    frames = list(source)
    assert [round(float(frame.depth_mm[0, 0])) for frame in frames] == [500, 501, 502, 503, 504]
    assert [frame.time_s for frame in frames] == pytest.approx([n / LIVE_FPS for n in range(5)], abs=1e-3)


class Queued(Device):
    """The device of a source over a software device's queue, since no pipeline can hold a software device."""

    def __init__(self, rs: Any, camera: Camera) -> None:
        self._what, self._recording, self._queue = "--live", False, rs.frame_queue(50)
        self.sensor = camera.device.query_sensors()[0]
        profile = self.sensor.get_stream_profiles()[0]
        self.sensor.open(profile)
        self.sensor.start(self._queue)
        self.camera = camera_of(profile.as_video_stream_profile().get_intrinsics())
        self.fps, self.unit_mm, self.closed = float(profile.fps()), 1.0, False

    def _next(self, timeout_ms: int) -> Any:
        arrived, frame = self._queue.try_wait_for_frame(timeout_ms)
        return frame.as_depth_frame() if arrived else None

    def close(self) -> None:
        self.sensor.stop()
        self.sensor.close()
        self.closed = True


def test_a_camera_gives_frames_until_it_disappears(rs: Any) -> None:
    camera = Camera(rs, LIVE_SIZE)
    device = Queued(rs, camera)
    source = RealSenseSource("live", device, Asked(unit=2.0), timeout_ms=500)
    assert source.camera.fx == 470.0

    def feed() -> None:
        for number in range(6):
            time.sleep(0.02)
            camera.give(number)

    feeder = threading.Thread(target=feed)
    feeder.start()
    taken = []
    with pytest.raises(SourceError, match=r"gave no frame for 0.5 s.*what was tracked before is kept"):  # noqa: PT012
        for frame in source:
            taken.append(frame)
    feeder.join()
    assert [round(float(frame.depth_mm[0, 0])) for frame in taken] == [1000, 1002, 1004, 1006, 1008, 1010]
    assert taken[0].depth_mm.shape == LIVE_SIZE[::-1]
    assert taken[3].time_s == pytest.approx(0.1, abs=1e-3)
    assert device.closed


def test_a_damaged_recording_is_refused(rs: Any, tmp_path: Path) -> None:
    (tmp_path / "hand.bag").write_bytes(b"#ROSBAG V2.0\nand nothing more")
    with pytest.raises(SourceError, match="copy or record it again"):
        open_source(tmp_path / "hand.bag")


def test_without_a_camera_live_says_what_to_do(rs: Any) -> None:
    with pytest.raises(SourceError, match="plug"):
        open_camera(Asked())


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "pyrealsense2", None)
    (tmp_path / "hand.bag").write_bytes(b"#ROSBAG V2.0\n")
    with pytest.raises(SourceError, match=r"pip install 'handopt\[realsense\]'"):
        open_source(tmp_path / "hand.bag")
