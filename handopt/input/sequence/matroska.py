"""Depth in Matroska files (.mkv), as recorders of Azure Kinect and Orbbec write them, through PyAV (the extra `mkv`).

The depth track is the one of 16-bit grey pixels, https://learn.microsoft.com/azure/kinect-dk/record-file-format.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from handopt.errors import CameraError, DepthError, NoColourError, SourceError, how_to_install
from handopt.input.decode import check_shape
from handopt.input.sequence.azure_calibration import NAME, ColourView, colour_view, depth_camera
from handopt.input.sequence.base import SequenceFrame
from handopt.input.sequence.pictures import NearestPictures
from handopt.input.sequence.stream_info import SourceOptions, has_depth, stream_info
from handopt.typing import AnyArray, Bytes

GREY: Final = ("gray16le", "gray16be")
DEPTH_WORDS: Final = ("DEPTH", "depth")
PRESETS: Final = {(640, 576): "azure-kinect", (320, 288): "azure-kinect-binned", (1024, 1024): "femto-bolt-wide"}
"""Presets by width and height of the depth, px, for recordings without a calibration."""


class MatroskaSource:
    """The depth frames of a .mkv recording. A frame that cannot be decoded ends the sequence with an error."""

    has_colour = True

    def __init__(self, path: Path, options: SourceOptions) -> None:
        """Find the depth track, and a first frame with depth. Raises SourceError, CameraError and DepthError."""
        self.name, self._path = str(path), path
        first, notes = None, list[str]()
        with self._opened() as (container, stream):
            self.length: int | None = int(stream.frames) or None
            calibration = _calibration(container)
            self._view = self._colour_view(container, calibration, options) if options.colour else None
            for index, (counts, _) in enumerate(self._counts(container, stream)):
                if has_depth(counts):
                    first, name = counts, f"{path.name}[{index}]"
                    break
        if first is None:
            raise DepthError(f"{path}: nothing is measured in any of its frames")
        options = self._with_camera(options, first.shape, calibration, notes)
        self._info = stream_info(first, path, options, name)
        self.camera, self.hand, self.unit_mm = self._info.camera, self._info.hand, self._info.unit_mm
        self._ignored = options.one_mask(self._info.shape)
        self.fps, self._has_times = options.fps, options.fps is None
        self.assumptions = tuple(dict.fromkeys((*notes, *self._info.assumptions)))

    def __iter__(self) -> Iterator[SequenceFrame]:
        """The frames. Raises SourceError where the file is damaged."""
        with self._opened() as (container, stream):
            pictures = NearestPictures(_decoded_colour(self._path)) if self._view is not None else None
            for index, (counts, time_s) in enumerate(self._counts(container, stream)):
                name = f"{self._path.name}[{index}]"
                shown_s, time_s = time_s, time_s if self._has_times else None
                try:
                    depth = self._info.millimetres(counts, name, self._ignored)
                except DepthError as error:
                    yield SequenceFrame(index, name, self._info.empty(), time_s, problem=str(error))
                    continue
                picture = None if pictures is None or shown_s is None else pictures.at(shown_s)
                colour = None
                if self._view is not None and picture is not None:
                    colour = self._view.registered(picture, depth, self.camera)
                yield SequenceFrame(index, name, depth, time_s, colour=colour)

    @contextmanager
    def _opened(self) -> Iterator[tuple[Any, Any]]:
        """The container and its depth track. Raises SourceError."""
        try:
            import av
        except ImportError as error:
            raise SourceError(
                f"{self._path}: a .mkv recording needs PyAV, which is not installed: {how_to_install('mkv')}"
            ) from error
        try:
            container = av.open(str(self._path), format="matroska")
        except (av.FFmpegError, OSError, ValueError) as error:
            raise SourceError(f"{self._path}: is damaged, or no Matroska file ({error}); copy it again") from error
        with container:
            yield container, self._track(container)

    def _track(self, container: Any) -> Any:
        """The track of 16-bit grey pixels that calls itself depth, or the only one. Raises SourceError."""
        grey = [each for each in _known_tracks(container) if str(each.codec_context.pix_fmt) in GREY]
        named = [each for each in grey if any(word in str(dict(each.metadata)) for word in DEPTH_WORDS)]
        found = named or grey
        if len(found) == 1 or (found and named):
            return found[0]
        kinds = ", ".join(str(each.codec_context.pix_fmt) for each in _known_tracks(container)) or "none"
        raise SourceError(
            f"{self._path}: has {len(grey)} video tracks of 16-bit grey, expected one, or one named depth (tracks: "
            f"{kinds}); export its depth as images"
        )

    def _counts(self, container: Any, stream: Any) -> Iterator[tuple[AnyArray, float | None]]:
        """Counts (H, W) and the time of each frame, s. Raises SourceError and DepthError."""
        import av

        try:
            for frame in container.decode(stream):
                check_shape(self._path, (frame.height, frame.width))
                counts = frame.reformat(format="gray16le").to_ndarray()
                yield np.ascontiguousarray(counts), None if frame.time is None else float(frame.time)
        except av.FFmpegError as error:
            raise SourceError(
                f"{self._path}: is damaged or cut short ({error}): what was read before is kept; copy it again"
            ) from error

    def _colour_view(self, container: Any, calibration: bytes | None, options: SourceOptions) -> ColourView:
        """Where the colour camera stands. Raises SourceError where that is unknown."""
        tracks = _colour_tracks(container)
        if not tracks or calibration is None:
            lacks = "colour track" if not tracks else f"{NAME}, which says where the colour camera stands"
            raise NoColourError(f"{self._path}: has no {lacks}; leave colour out")
        if options.mirrored:
            raise NoColourError(f"{self._path}: colour of mirrored depth is not read; leave colour or mirrored out")
        try:
            return colour_view(calibration, tracks[0].width, tracks[0].height)
        except CameraError as error:
            raise NoColourError(f"{self._path}: its {NAME} cannot be used: {error}; leave colour out") from error

    def _with_camera(
        self, options: SourceOptions, shape: tuple[int, ...], calibration: bytes | None, notes: list[str]
    ) -> SourceOptions:
        """With the recording's camera, else a preset, where neither the user nor a file beside it names one."""
        from handopt.input.sidecar import find_sidecar

        beside = find_sidecar(self._path)
        if options.camera is not None or (beside is not None and beside.camera is not None):
            return options
        height, width = shape
        unread = ""
        if calibration is not None:
            try:
                camera = depth_camera(calibration, width, height)
            except CameraError as error:
                unread = f"; its {NAME} cannot be used: {error}"
            else:
                notes.append(f"The camera's intrinsics are those of {NAME} in the recording.")
                return replace(options, camera=camera, unit=options.unit or 1.0)
        preset = PRESETS.get((width, height))
        if preset is None:
            raise CameraError(
                f"{self._path}: nothing says which camera took its {width} x {height} pixels{unread}; give camera= (a "
                "preset, a file, or fx,fy,cx,cy)"
            )
        notes.append(
            f"The camera was assumed to be {preset}, by the size of the images{unread} (camera= changes this)."
        )
        return replace(options, camera=preset, unit=options.unit or 1.0)


def _decoded_colour(path: Path) -> Iterator[tuple[float, Bytes]]:
    """Times, s, and pictures (H, W, 3) of the colour track; a damaged picture ends them."""
    import av

    with av.open(str(path), format="matroska") as container:
        try:
            for frame in container.decode(_colour_tracks(container)[0]):
                check_shape(path, (frame.height, frame.width))
                yield float(frame.time or 0.0), frame.to_ndarray(format="rgb24")
        except av.FFmpegError:
            return


def _known_tracks(container: Any) -> list[Any]:
    """The video tracks in a format that FFmpeg knows."""
    return [each for each in container.streams.video if each.codec_context is not None]


def _colour_tracks(container: Any) -> list[Any]:
    return [each for each in _known_tracks(container) if str(each.codec_context.pix_fmt) not in GREY]


def _calibration(container: Any) -> bytes | None:
    """The calibration that the recorder attached, None without one."""
    found = (each.data for each in container.streams.attachments if each.name == NAME)
    data = next(found, None)
    return None if data is None else bytes(data)
