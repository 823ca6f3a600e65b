"""Intel RealSense cameras and their .bag recordings, through pyrealsense2 (the extra `realsense`)."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from handopt.camera import Camera
from handopt.sources.base import Facts, Frame, SourceError
from handopt.sources.facts import Asked

TIMEOUT_MS = 5000
LIVE_SIZE, LIVE_FPS = (640, 480), 30
MM_PER_M = 1000.0


class RealSenseSource:
    """Depth frames of a pipeline that runs. A camera that disappears, or a file that ends, ends the frames."""

    def __init__(self, name: str, device: "Device", asked: Asked, timeout_ms: int = TIMEOUT_MS) -> None:
        """device: started. Raises SourceError."""
        self.name, self._device, self._timeout_ms = name, device, timeout_ms
        notes = []
        camera = device.camera
        if asked.camera is not None:
            from handopt.camera import load_camera

            camera = load_camera(asked.camera, camera.width, camera.height)
        else:
            notes.append("The camera's intrinsics are those that the device reports.")
        unit = device.unit_mm if asked.unit is None else asked.unit
        self._facts = Facts(camera, unit)
        self.camera, self.unit_mm = camera, unit
        self.length: int | None = None
        self.fps = device.fps if asked.fps is None else asked.fps
        self.hand: str | None = None
        self.assumptions = tuple(notes)

    def __iter__(self) -> Iterator[Frame]:
        """The frames until the recording ends. Raises SourceError where a camera stops to give any."""
        first_ms = None
        try:
            for index, (counts, time_ms) in enumerate(self._device.frames(self._timeout_ms)):
                first_ms = time_ms if first_ms is None else first_ms
                name = f"{self.name}[{index}]"
                yield Frame(index, name, self._facts.millimetres(counts, name), (time_ms - first_ms) / 1000.0)
        finally:
            self._device.close()


class Device:
    """A pyrealsense2 pipeline: a camera, or a recording that plays as fast as it is read."""

    def __init__(self, rs: Any, pipeline: Any, config: Any, what: str, *, recording: bool) -> None:
        """pipeline: not started; config: of it. what: for messages. Raises SourceError."""
        self._what, self._recording = what, recording
        self._pipeline = pipeline
        try:
            profile = self._pipeline.start(config)
            if recording:
                profile.get_device().as_playback().set_real_time(False)
            stream = profile.get_stream(rs.stream.depth).as_video_stream_profile()
            self.camera = camera_of(stream.get_intrinsics())
            self.fps: float | None = float(stream.fps())
            self.unit_mm = MM_PER_M * float(profile.get_device().first_depth_sensor().get_depth_scale())
        except RuntimeError as error:
            raise SourceError(f"{what}: no depth stream could be started ({error}); {self._advice()}") from error

    def frames(self, timeout_ms: int) -> Iterator[tuple[Any, float]]:
        """Counts (H, W) uint16 and time in ms of each frame. Raises SourceError where a camera gives none any more."""
        last = -1
        while True:
            depth = self._next(timeout_ms)
            if depth is None:
                if self._recording:
                    return
                raise SourceError(
                    f"{self._what}: gave no frame for {timeout_ms / 1000:g} s; it may have been unplugged: "
                    "what was tracked before is kept; check its cable and start again"
                )
            if depth and depth.get_frame_number() != last:
                last = depth.get_frame_number()
                yield np.asanyarray(depth.get_data()).copy(), float(depth.get_timestamp())

    def _next(self, timeout_ms: int) -> Any:
        """The next depth frame, None where there is none in time."""
        arrived, frames = self._pipeline.try_wait_for_frames(timeout_ms)
        return frames.get_depth_frame() if arrived else None

    def close(self) -> None:
        """Stop the pipeline."""
        import contextlib

        with contextlib.suppress(RuntimeError):
            self._pipeline.stop()

    def _advice(self) -> str:
        return "copy or record it again" if self._recording else "plug a RealSense camera in, or give a recording"


def camera_of(intrinsics: Any) -> Camera:
    """The camera of rs.intrinsics; its distortion, which depth streams hardly have, is left out."""
    return Camera(
        intrinsics.fx, intrinsics.fy, intrinsics.ppx, intrinsics.ppy, intrinsics.width, intrinsics.height, "realsense"
    )


def open_recording(path: Path, asked: Asked) -> RealSenseSource:
    """A .bag recording. Raises SourceError."""
    rs = _library(str(path))
    config = rs.config()
    try:
        rs.config.enable_device_from_file(config, str(path), repeat_playback=False)
    except RuntimeError as error:
        raise SourceError(f"{path}: cannot be played ({error}); copy or record it again") from error
    return RealSenseSource(
        path.name, Device(rs, rs.pipeline(), config, str(path), recording=True), asked, timeout_ms=1000
    )


def open_camera(asked: Asked, timeout_ms: int = TIMEOUT_MS) -> RealSenseSource:
    """The first RealSense camera that is plugged in. Raises SourceError."""
    rs = _library("--live")
    if len(rs.context().query_devices()) == 0:
        raise SourceError("--live: no RealSense camera is plugged in; plug one in, or give a recording as SOURCE")
    config = rs.config()
    config.enable_stream(rs.stream.depth, *LIVE_SIZE, rs.format.z16, LIVE_FPS)
    return RealSenseSource("live", Device(rs, rs.pipeline(), config, "--live", recording=False), asked, timeout_ms)


def _library(what: str) -> Any:
    try:
        import pyrealsense2
    except ImportError as error:
        raise SourceError(
            f"{what} needs pyrealsense2, which cannot be loaded ({error}): pip install 'handopt[realsense]', and on "
            "Linux the system's libusb-1.0 (apt install libusb-1.0-0)"
        ) from error
    return pyrealsense2
