"""Intel RealSense cameras and their recordings, through pyrealsense2 (the extra `realsense`)."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol, TypeVar

import numpy as np

from handopt.errors import NoColourError, SourceError
from handopt.input.camera import Camera
from handopt.input.camera_spec import load_camera
from handopt.input.reader import Reader
from handopt.input.sequence.base import SequenceFrame, StreamInfo
from handopt.input.sequence.librealsense import load_librealsense
from handopt.input.sequence.stream_info import SourceOptions
from handopt.typing import Bytes

TIMEOUT_S = 5.0
LOOK_S = 0.2
"""Interval at which a silent camera is checked for being there, and a recording for its end."""
PLAYED_S = 10.0
"""How long a recording may take to give a frame."""
LONGEST_STEP_MS = 60_000.0
LIVE_SIZE, LIVE_FPS = (640, 480), 30
MM_PER_M = 1000.0
COLOUR_FORMATS: Final = {"rgb8": (0, 1, 2), "bgr8": (2, 1, 0), "rgba8": (0, 1, 2), "bgra8": (2, 1, 0)}
"""Formats of colour that are read, and where red, green and blue stand in a pixel."""


class DeviceFrame(NamedTuple):
    """Counts (H, W) uint16, time in ms, and a picture (H, W, 3) of the same view where there is one."""

    counts: Any
    time_ms: float
    colour: Bytes | None = None


class Device(Protocol):
    """Anything that gives the depth frames of a camera."""

    camera: Camera
    unit_mm: float
    fps: float | None

    def frames(self) -> Iterator["DeviceFrame"]:
        """Each frame. Raises SourceError if the camera stops sending."""
        ...

    def close(self) -> None:
        """Stop it."""
        ...


T = TypeVar("T", bound=Device)


class RealSenseSource:
    """Depth frames of a started device. They end when the camera disappears or the file ends."""

    live = False
    has_colour = True

    def __init__(self, name: str, device: Device, options: SourceOptions) -> None:
        """device: started. Raises CameraError."""
        self.name, self._device = name, device
        notes: list[str] = []
        camera = device.camera
        if options.camera is not None:
            camera = load_camera(options.camera, camera.width, camera.height)
        else:
            notes.append("The camera's intrinsics are those that the device reports.")
        unit = device.unit_mm if options.unit is None else options.unit
        mirrored = Reader(options.camera, mirrored=options.mirrored).mirrored_of(None, notes)
        camera, lens, said = camera.parted_from_lens()
        notes += said
        self._info = StreamInfo(camera, unit, mirrored=mirrored, lens=lens)
        self._ignored = options.one_mask(self._info.shape)
        self.camera, self.unit_mm = camera, unit
        self.length: int | None = None
        self._has_times = options.fps is None
        self.fps = device.fps if options.fps is None else options.fps
        self.hand: str | None = None
        self.assumptions: tuple[str, ...] = tuple(notes)

    def __iter__(self) -> Iterator[SequenceFrame]:
        """The frames until the recording ends. Raises SourceError if the camera stops sending."""
        elapsed_s, last_ms = 0.0, None
        try:
            for index, (counts, time_ms, colour) in enumerate(self._device.frames()):
                if last_ms is not None:
                    elapsed_s += self._step_s(time_ms - last_ms)
                last_ms = time_ms
                name = f"{self.name}[{index}]"
                time_s = elapsed_s if self._has_times else None
                depth = self._info.millimetres(counts, name, self._ignored)
                shown = None if colour is None else self._info.picture(colour)
                yield SequenceFrame(index, name, depth, time_s, colour=shown)
        finally:
            self._device.close()

    def _step_s(self, step_ms: float) -> float:
        """Seconds between two frames; librealsense may switch clocks in between."""
        return step_ms / 1000.0 if 0 < step_ms < LONGEST_STEP_MS else 1 / (self._device.fps or LIVE_FPS)


class LiveSource(RealSenseSource):
    """The newest frame of a camera, each time that one is asked for; frames in between are dropped.

    fps: the rate at which frames were delivered so far.
    """

    live = True
    has_colour = False

    def __init__(self, device: Device, options: SourceOptions) -> None:
        """device: started. Raises CameraError."""
        super().__init__("live", device, options)

    def __iter__(self) -> Iterator[SequenceFrame]:
        """The frames. Raises SourceError where the camera stops to give any."""
        for frame in super().__iter__():
            if frame.time_s:
                self.fps = frame.index / frame.time_s
            yield frame


class _Pipeline:
    """A started pipeline of librealsense, its camera, unit and rate, and how to stop it."""

    def __init__(self, rs: Any, pipeline: Any, start: Callable[[], Any], what: str, advice: str) -> None:
        self._rs, self._pipeline, self._what = rs, pipeline, what
        try:
            profile = start()
            self._device = profile.get_device()
            stream = profile.get_stream(rs.stream.depth).as_video_stream_profile()
            self.camera = camera_of(stream.get_intrinsics())
            self.fps: float | None = float(stream.fps()) or None
            self.unit_mm = MM_PER_M * float(self._device.first_depth_sensor().get_depth_scale())
        except RuntimeError as error:
            self.close()
            raise SourceError(f"{what}: no depth stream could be started ({error}); {advice}") from error

    def close(self) -> None:
        """Stop the pipeline."""
        with contextlib.suppress(RuntimeError):  # it never started
            self._pipeline.stop()


class Recording(_Pipeline):
    """A recording that plays as fast as it is read; no frame is dropped."""

    def __init__(self, rs: Any, path: Path, *, colour: bool = False) -> None:
        """colour: whether frames bring the colour stream, put into the depth camera's view. Raises SourceError."""
        pipeline, config = rs.pipeline(), rs.config()
        advice = "copy or record it again"
        try:
            rs.config.enable_device_from_file(config, str(path), repeat_playback=False)
        except RuntimeError as error:
            raise SourceError(f"{path}: cannot be played ({error}); {advice}") from error

        def start() -> Any:  # what plays in real time, if only for a moment, loses frames
            config.resolve(rs.pipeline_wrapper(pipeline)).get_device().as_playback().set_real_time(False)
            return pipeline.start(config)

        super().__init__(rs, pipeline, start, str(path), advice)
        self._align, self._order = None, (0, 1, 2)
        if colour:
            self._order = self._colour_order()
            self._align = rs.align(rs.stream.depth)

    def _colour_order(self) -> tuple[int, int, int]:
        """Where red, green and blue stand in a pixel of the colour stream. Raises SourceError."""
        problem = "has no colour stream"
        with contextlib.suppress(RuntimeError):  # there is no such stream
            stream = self._pipeline.get_active_profile().get_stream(self._rs.stream.color)
            if (order := COLOUR_FORMATS.get(stream.format().name)) is not None:
                return order
            problem = f"has colour as {stream.format().name}, of which only {', '.join(COLOUR_FORMATS)} are read"
        self.close()
        raise NoColourError(f"{self._what}: {problem}; leave colour out")

    def frames(self) -> Iterator[DeviceFrame]:
        """Each frame. Raises SourceError where it hangs."""
        last, waited_s = -1, 0.0
        while True:
            arrived, frames = self._pipeline.try_wait_for_frames(round(1000 * LOOK_S))
            if arrived:
                waited_s = 0.0
                frames = frames if self._align is None else self._align.process(frames)
                depth = frames.get_depth_frame()
                if depth and depth.get_frame_number() != last:
                    last = depth.get_frame_number()
                    yield _counts(depth)._replace(colour=self._picture(frames))
                continue
            if self._device.as_playback().current_status() == self._rs.playback_status.stopped:
                return
            waited_s += LOOK_S
            if waited_s >= PLAYED_S:
                raise SourceError(f"{self._what}: gave no frame for {waited_s:.0f} s; copy or record it again")

    def _picture(self, frames: Any) -> Bytes | None:
        """The picture (H, W, 3) that came with a depth frame, put into its view; None without."""
        colour = frames.get_color_frame() if self._align is not None else None
        return np.asanyarray(colour.get_data())[..., self._order] if colour else None


class LiveCamera(_Pipeline):
    """A camera that streams; of its frames the newest waits, so that a slow reader drops frames and never lags."""

    def __init__(self, rs: Any, timeout_s: float, device: Any = None) -> None:
        """device: a pyrealsense2 device, None for the first one. Raises SourceError."""
        pipeline, self._newest, self._timeout_s = rs.pipeline(), rs.frame_queue(1), timeout_s
        if device is not None:
            pipeline.set_device(device)
        advice = "close other programs that use the camera, or plug it in again (USB 3 where it has it)"
        super().__init__(rs, pipeline, lambda: self._started(rs, pipeline), "live=True", advice)

    def _started(self, rs: Any, pipeline: Any) -> Any:
        """Start the usual stream, or, if the camera has none, whatever depth stream it has."""
        config = rs.config()
        config.enable_stream(rs.stream.depth, *LIVE_SIZE, rs.format.z16, LIVE_FPS)
        try:
            return pipeline.start(config, self._newest)
        except RuntimeError:
            config = rs.config()
            config.enable_stream(rs.stream.depth)
            return pipeline.start(config, self._newest)

    def frames(self) -> Iterator[DeviceFrame]:
        """The newest frame each time. Raises SourceError where the camera disappears."""
        waited_s = 0.0
        while True:
            arrived, frame = self._newest.try_wait_for_frame(round(1000 * LOOK_S))
            if arrived:
                waited_s = 0.0
                depth = frame.as_frameset().get_depth_frame() if frame.is_frameset() else frame.as_depth_frame()
                if depth:
                    yield _counts(depth)
                continue
            waited_s += LOOK_S
            if waited_s >= self._timeout_s or not self._device.is_connected():
                raise SourceError(
                    f"{self._what}: the camera gave no frame for {waited_s:.1f} s; it may have been unplugged: "
                    "what was tracked before is kept; check its cable and start again with another output="
                )


def _counts(depth: Any) -> DeviceFrame:
    return DeviceFrame(np.asanyarray(depth.get_data()).copy(), float(depth.get_timestamp()))


def camera_of(intrinsics: Any) -> Camera:
    """The camera of rs.intrinsics, without its distortion, which is negligible in depth streams."""
    return Camera(
        intrinsics.fx, intrinsics.fy, intrinsics.ppx, intrinsics.ppy, intrinsics.width, intrinsics.height, "realsense"
    )


def open_recording(path: Path, options: SourceOptions) -> RealSenseSource:
    """A .bag or .db3 recording. Raises SourceError and CameraError."""
    with _closed_on_error(Recording(load_librealsense(str(path)), path, colour=options.colour)) as recording:
        return RealSenseSource(path.name, recording, options)


def open_camera(options: SourceOptions, timeout_s: float = TIMEOUT_S, device: Any = None) -> LiveSource:
    """A RealSense camera, the first that is plugged in.

    timeout_s: how long it may give no frame. device: a pyrealsense2 device instead. Raises SourceError and CameraError.
    """
    rs = load_librealsense("live=True")
    if device is None and not plugged_in():
        raise SourceError("live=True: no RealSense camera is plugged in; plug one in, or give a recording as SOURCE")
    with _closed_on_error(LiveCamera(rs, timeout_s, device)) as camera:
        return LiveSource(camera, options)


@contextlib.contextmanager
def _closed_on_error(device: T) -> Iterator[T]:
    try:
        yield device
    except BaseException:
        device.close()
        raise


def plugged_in() -> list[str]:
    """Names of the cameras that are plugged in. Raises SourceError where librealsense cannot be loaded or look."""
    rs = load_librealsense("live=True")
    try:
        return [
            device.get_info(rs.camera_info.name) if device.supports(rs.camera_info.name) else "RealSense"
            for device in rs.context().query_devices()
        ]
    except RuntimeError as error:
        raise SourceError(f"live=True: librealsense cannot look for cameras ({error})") from error
