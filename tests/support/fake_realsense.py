"""librealsense's software device, which stands for a camera where there is none: all but finding one is real."""

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from handopt.input.sequence import SourceError
from handopt.input.sequence.librealsense import load_librealsense

FPS = 30
FOCAL = 470.0, 471.0


def librealsense() -> Any:
    """The library, which the extra `test` brings where there are wheels of it."""
    try:
        return load_librealsense("the test")
    except SourceError as error:
        pytest.skip(f"RealSense is not tested: {error}")


class SoftCamera:
    """A software device with a depth stream of `size` (width, height) and `unit_mm` a count."""

    def __init__(
        self, rs: Any, size: tuple[int, int], unit_mm: float = 1.0, focal: Any = FOCAL, fps: int = FPS
    ) -> None:
        self._rs, (self._width, self._height), self._metres, self._fps = rs, size, unit_mm / 1000.0, fps
        self.device = rs.software_device()
        self._sensor = self.device.add_sensor("Stereo Module")
        intrinsics = rs.intrinsics()
        intrinsics.width, intrinsics.height = size
        intrinsics.ppx, intrinsics.ppy, (intrinsics.fx, intrinsics.fy) = size[0] / 2 - 0.5, size[1] / 2 - 0.5, focal
        intrinsics.model, intrinsics.coeffs = rs.distortion.none, [0.0] * 5
        stream = rs.video_stream()
        stream.type, stream.index, stream.uid, stream.fmt = rs.stream.depth, 0, 0, rs.format.z16
        stream.width, stream.height, stream.fps, stream.bpp, stream.intrinsics = *size, fps, 2, intrinsics
        self._profile = self._sensor.add_video_stream(stream, True)
        self._sensor.add_read_only_option(rs.option.depth_units, self._metres)

    def give(self, number: int, counts: NDArray[np.uint16] | None = None) -> None:
        """Give a frame: counts (H, W), or 500 and the number everywhere."""
        frame = self._rs.software_video_frame()
        flat = np.full((self._height, self._width), 500 + number, np.uint16) if counts is None else counts
        frame.pixels = np.ascontiguousarray(flat)
        frame.stride, frame.bpp, frame.depth_units = 2 * self._width, 2, self._metres
        frame.timestamp, frame.frame_number = 1000.0 * number / self._fps, number
        frame.domain = self._rs.timestamp_domain.hardware_clock
        frame.profile = self._profile.as_video_stream_profile()
        self._sensor.on_video_frame(frame)

    def add_colour(self, size: tuple[int, int], right_mm: float) -> None:
        """Add a colour stream of another size, by a camera so far to the right that has the same focal lengths."""
        rs, stream = self._rs, self._rs.video_stream()
        intrinsics = rs.intrinsics()
        intrinsics.width, intrinsics.height = size
        intrinsics.ppx, intrinsics.ppy, (intrinsics.fx, intrinsics.fy) = size[0] / 2 - 0.5, size[1] / 2 - 0.5, FOCAL
        intrinsics.model, intrinsics.coeffs = rs.distortion.none, [0.0] * 5
        stream.type, stream.index, stream.uid, stream.fmt = rs.stream.color, 0, 1, rs.format.bgr8
        stream.width, stream.height, stream.fps, stream.bpp, stream.intrinsics = *size, self._fps, 3, intrinsics
        self._colour, self._colour_size = self._sensor.add_video_stream(stream, True), size
        to_colour = rs.extrinsics()
        to_colour.rotation = [1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0]
        to_colour.translation = [-right_mm / 1000, 0.0, 0.0]
        self._profile.register_extrinsics_to(self._colour, to_colour)

    def give_colour(self, number: int, picture: NDArray[np.uint8]) -> None:
        """Give a picture (H, W, 3), red, green and blue."""
        frame = self._rs.software_video_frame()
        frame.pixels = np.ascontiguousarray(picture[..., ::-1])
        frame.stride, frame.bpp = 3 * self._colour_size[0], 3
        frame.timestamp, frame.frame_number = 1000.0 * number / self._fps, number
        frame.domain = self._rs.timestamp_domain.hardware_clock
        frame.profile = self._colour.as_video_stream_profile()
        self._sensor.on_video_frame(frame)

    def film(
        self,
        images: Sequence[NDArray[np.uint16] | None],
        every_s: float,
        then: Callable[[], None] | None = None,
    ) -> threading.Thread:
        """Give the images, one every so often, on a thread that has begun, and then do something."""

        def work() -> None:
            time.sleep(0.2)
            for number, image in enumerate(images):
                self.give(number, image)
                time.sleep(every_s)
            if then is not None:
                then()

        thread = threading.Thread(target=work)
        thread.start()
        return thread


def record(
    rs: Any,
    camera: SoftCamera,
    folder: Path,
    images: Sequence[NDArray[np.uint16] | None],
    pictures: Sequence[NDArray[np.uint8]] = (),
) -> Path:
    """A recording of the images, and of their pictures, in whatever format the library writes."""
    path = folder / "hand.bag"
    try:
        recorder = rs.recorder(str(path), camera.device)
    except RuntimeError:
        path = folder / "hand.db3"
        recorder = rs.recorder(str(path), camera.device)
    sensor, queue = recorder.query_sensors()[0], rs.frame_queue(50)
    profiles = sensor.get_stream_profiles()
    sensor.open(profiles if pictures else profiles[0])
    sensor.start(queue)
    for number, image in enumerate(images):
        camera.give(number, image)
        queue.wait_for_frame(2000)
        for picture in pictures[number : number + 1]:
            camera.give_colour(number, picture)
            queue.wait_for_frame(2000)
    sensor.stop()
    sensor.close()
    del recorder, sensor
    return path
