"""`handopt.track`: follow a hand through a path, a source of frames, or any iterable of depth images."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

import numpy as np

from handopt.config import Config
from handopt.errors import ConfigError, DepthError, HandoptError
from handopt.fitting import settings_of
from handopt.input.camera import Camera
from handopt.input.camera_spec import load_camera
from handopt.input.ignore import checked_mask
from handopt.input.reader import Reader
from handopt.input.sequence.base import FrameSource, SequenceFrame, StreamInfo
from handopt.input.sequence.prefetch import prefetch
from handopt.input.sequence.read_ahead import ReadAhead
from handopt.observation.hints import checked_ignore
from handopt.progress import counted
from handopt.proposals.model_file import PoseModel
from handopt.rig import Rig
from handopt.tracking.config import TrackingConfig
from handopt.tracking.frame_estimate import FrameEstimate
from handopt.tracking.run import Run
from handopt.typing import AnyArray, BoolImage

if TYPE_CHECKING:
    from handopt.tracking.track import Track

Frames = Iterable["AnyArray | SequenceFrame"]


class FrameRun(Protocol):
    """What takes the frames of a sequence, one by one."""

    def push(self, frame: SequenceFrame) -> FrameEstimate:
        """The hand in the next frame."""
        ...

    def delayed(self, frame: int) -> FrameEstimate:
        """The hand in an earlier frame, with what is known by now."""
        ...

    def track(self, source: str, fps: float | None, notes: tuple[str, ...] = ()) -> "Track":
        """The track of all frames so far. Raises ObservationError where no hand was found in any."""
        ...


class Tracking(Iterator[FrameEstimate]):
    """A sequence on its way: an iterator over the estimates of its frames, with the track of the frames so far.

    Each step reads one frame and tracks the hand to it; nothing waits for later frames, but for those of a delay.
    """

    def __init__(
        self, run: FrameRun, source: FrameSource, frames: Iterator[SequenceFrame], delay: int | None = None
    ) -> None:
        """Made by `track`."""
        self.source = source
        self._run, self._frames = run, frames
        self._delay, self._given = delay, 0
        self._failure: HandoptError | None = None
        self._count = 0
        self._result: tuple[int, Track] | None = None

    def __iter__(self) -> "Tracking":
        """The iterator itself."""
        return self

    def __next__(self) -> FrameEstimate:
        """The hand in the next frame. Raises SourceError where the source fails; what came before is kept."""
        if self._delay is not None:
            return self._delayed(self._delay)
        estimate = self._run.push(next(self._frames))
        self._count += 1
        return estimate

    def _delayed(self, delay: int) -> FrameEstimate:
        """The next frame, as soon as `delay` frames after it are known, or there are no more."""
        while self._count <= self._given + delay:
            frame = self._next_frame()
            if frame is None:
                break
            self._run.push(frame)
            self._count += 1
        if self._given == self._count:
            if self._failure is not None:
                raise self._failure
            raise StopIteration
        self._given += 1
        return self._run.delayed(self._given - 1)

    def _next_frame(self) -> SequenceFrame | None:
        """The next frame; None at the end, and where the source fails, which is raised after the frames before it."""
        if self._failure is not None:
            return None
        try:
            return next(self._frames, None)
        except HandoptError as error:
            self._failure = error
            return None

    @property
    def frame_count(self) -> int:
        """Number of frames so far."""
        return self._count

    @property
    def result(self) -> "Track":
        """The track of the frames so far, smoothed unless `smooth` is off. Raises ObservationError without a hand."""
        if self._result is None or self._result[0] != self._count:
            source = self.source
            self._result = self._count, self._run.track(source.name, source.fps, source.assumptions)
        return self._result[1]

    def finish(self) -> "Track":
        """Take all frames that are left; the track of all. Raises SourceError and ObservationError.

        In a notebook a bar counts them.
        """
        length = self.source.length
        for _ in counted(self, None if length is None else max(length - self._count, 0), "frame"):
            pass
        return self.result


def track(
    source: str | os.PathLike[str] | FrameSource | Frames,
    *,
    camera: Camera | str | None = None,
    unit: float | None = None,
    fps: float | None = None,
    ignore: str | os.PathLike[str] | AnyArray | None = None,
    mirrored: bool | None = None,
    topic: str | None = None,
    hand: str | None = None,
    rig: Rig | None = None,
    smooth: bool = True,
    delay: int | None = None,
    config: Config | None = None,
    device: str = "auto",
    seed: int = 0,
    proposals: PoseModel | None = None,
    tracking: TrackingConfig | None = None,
    scratch: str | os.PathLike[str] | None = None,
) -> Tracking:
    """Follow one hand through a sequence of depth images.

    >>> tracking = handopt.track("frames/", camera="sr305", unit=0.125)
    >>> for estimate in tracking:
    ...     print(estimate.frame, estimate.joints_mm)
    >>> handopt.save_track(tracking.result, "wave")

    source: a folder of depth images, a recording, a ROS bag, a multi-page TIFF or a stack (.npy, .npz); or an opened
    FrameSource; or any iterable of depth images (H, W), or of SequenceFrame where frames have times. An iterable is
    read one frame at a time, so that it may be a camera.
    camera: a Camera, or its name or intrinsics as `--camera` takes them; needed for an iterable, and for a path without
    one beside it. A Camera for another size is scaled to a path's images, and refused for those of an iterable.
    unit: mm per count; by default what lies beside the path or fits its values, and 1 for an iterable of images;
    SequenceFrames are in mm. fps: frames a second, where frames have no times.
    ignore: pixels to leave out of all frames, nonzero in a mask (H, W) or in its file; for a folder of images also a
    folder of masks named like them. mirrored: whether frames are mirrored left to right, as some SDKs give them, by
    default as the camera's JSON file or the file beside them says; camera and track are those of the true scene.
    topic: of the depth images in a ROS bag. An opened FrameSource has its own camera, unit, fps, ignore and mirrored.
    hand: 'right', 'left', or 'auto' (the first frames in which a hand is found decide); by default that of the rig,
    else what the source says, else 'auto'. rig: the hand's own rig, by default handopt's.
    smooth: fit earlier frames again where later ones show that they were wrong, and smooth the track at the end.
    Without it each estimate is final and causally filtered. The track has their poses and confidences, but the size and
    proportions that the last frame knows, in every frame.
    delay: with smooth, give each estimate so many frames late, smoothed with those before it and those known after it.
    proposals: a handopt.load_model whose poses fits from scratch start from. scratch: folder of a temporary file.

    Returns an iterator that gives a FrameEstimate for each frame as it comes, and whose `result` is the Track of the
    frames so far; `handopt.track(path).finish()` is the Track of all. Units are mm and radians; the camera frame is x
    right, y down, z forward.

    Raises SourceError, CameraError, DepthError, DeviceError and ConfigError, and TypeError for an argument that the
    source does not take; an iterator raises SourceError where its source fails later, and `result` ObservationError
    where no hand was found in any frame. Both raise OutputError where the temporary file cannot be written.
    """
    _check_delay(delay, smooth=smooth)
    opened, frames = Given(camera, unit, fps, ignore, mirrored, topic).opened(source, hand)
    side, lookahead = hand_of(hand, rig, opened), ReadAhead.of(opened, frames)
    settings = settings_of("proportions", config, device, seed, proposals)
    given = (opened.camera, side, rig, smooth, settings, opened.fps, tracking or TrackingConfig(), scratch, lookahead)
    return Tracking(Run(*given, live=getattr(opened, "live", False)), opened, lookahead or frames, delay)


def _check_delay(delay: int | None, *, smooth: bool) -> None:
    """Refuse a delay that is none, or without smoothing. Raises ConfigError."""
    if delay is not None and delay < 1:
        raise ConfigError(f"delay={delay}: expected a number of frames from 1 on")
    if delay is not None and not smooth:
        raise ConfigError("delay= is for smooth=True")


@dataclass(frozen=True)
class Given:
    """What the user says of a source's frames: the arguments of the same names of `track`."""

    camera: Camera | str | None
    unit: float | None
    fps: float | None
    ignore: "AnyArray | str | os.PathLike[str] | None"
    mirrored: bool | None
    topic: str | None

    def opened(
        self, source: str | os.PathLike[str] | FrameSource | Frames, hand: str | None
    ) -> tuple[FrameSource, Iterator[SequenceFrame]]:
        """The source, opened, and its frames. hand: which the user names. Raises what `track` raises."""
        if isinstance(source, str | os.PathLike):
            return self._path(Path(source), hand)
        if hasattr(source, "assumptions"):
            for name, value in vars(self).items():
                if value is not None:
                    raise TypeError(
                        f"{name}= is not for an opened source, which has its own; give it where that is opened"
                    )
            opened = cast(FrameSource, source)
        else:
            if self.topic is not None:
                raise TypeError("topic= is for a ROS bag, not for images from Python: leave it out")
            opened = _Images(source, self.camera, self.unit, self.fps, self.ignore, self.mirrored)
        return opened, iter(opened)

    def _path(self, path: Path, hand: str | None) -> tuple[FrameSource, Iterator[SequenceFrame]]:
        from handopt.input.sequence import open_source
        from handopt.input.sequence.stream_info import SourceOptions

        if isinstance(self.ignore, np.ndarray):
            raise TypeError("ignore is an array; give the path of a mask for a source that is a path")
        file = None if self.ignore is None else Path(self.ignore)
        asked = SourceOptions(
            self.camera, self.unit, fps=self.fps, ignore=file, mirrored=self.mirrored, hand=hand, topic=self.topic
        )
        opened = open_source(path, asked)
        return opened, prefetch(opened)


def hand_of(hand: str | None, rig: Rig | None, source: FrameSource) -> str:
    """Which hand to follow: what was asked for, else that of the rig, else what the source says, else auto."""
    return hand or (rig.side if rig is not None else source.hand) or "auto"


class _Images:
    """Depth images from any iterable as a FrameSource."""

    name = "frames"
    length: int | None = None
    hand: str | None = None

    def __init__(
        self,
        images: Frames,
        camera: Camera | str | None,
        unit: float | None,
        fps: float | None,
        ignore: str | os.PathLike[str] | AnyArray | None,
        mirrored: bool | None,
    ) -> None:
        if camera is None:
            raise TypeError("camera is missing: depth images without a file need one, such as camera='sr305'")
        if not isinstance(images, Iterable):
            raise TypeError(f"source is a {type(images).__name__}; expected a path or an iterable of depth images")
        self._images, self._unit_given = iter(images), unit is not None
        notes: list[str] = []
        turned = Reader(camera, mirrored=mirrored).mirrored_of(None, notes)
        if isinstance(camera, str):
            first = next(self._images, None)
            if first is None:
                raise ValueError(
                    "source has no frames: it is empty, or it is an iterator that was read before; give a new one"
                )
            height, width = _image(first).shape
            self._images = chain([first], self._images)
            camera = load_camera(camera, width, height)
        self.camera, lens, said = camera.parted_from_lens()
        self.fps, self.unit_mm, self.assumptions = fps, 1.0 if unit is None else unit, (*notes, *said)
        self._info = StreamInfo(self.camera, self.unit_mm, mirrored=turned, lens=lens)
        self._ignored: BoolImage | None = None
        if isinstance(ignore, np.ndarray):
            self._ignored = checked_ignore(ignore, self._info.shape)
        elif ignore is not None:
            self._ignored = checked_mask(Path(ignore), self._info.shape)

    def __iter__(self) -> Iterator[SequenceFrame]:
        """The frames. Raises DepthError for an image of another size than the camera's, and TypeError."""
        for index, each in enumerate(self._images):
            name = each.name if isinstance(each, SequenceFrame) else f"frame {index}"
            if not (isinstance(each, SequenceFrame) and each.problem is not None):
                self._check_size(name, _image(each))
            if not isinstance(each, SequenceFrame):
                yield SequenceFrame(index, name, self._info.millimetres(_image(each), name, self._ignored))
            elif self._unit_given:
                raise TypeError("unit= is for counts, and the depth of a SequenceFrame is in mm: leave it out")
            elif each.problem is not None:
                yield replace(each, depth_mm=self._info.empty())
            else:
                yield replace(each, depth_mm=self._info.prepared(each.depth_mm, self._ignored))

    def _check_size(self, name: str, image: AnyArray) -> None:
        if image.shape != self._info.shape:
            height, width = image.shape
            raise DepthError(
                f"{name}: is {width} x {height} pixels, but the camera is for {self.camera.width} x "
                f"{self.camera.height}{self.camera.how_to_match(width, height)}"
            )


def _image(frame: "AnyArray | SequenceFrame") -> AnyArray:
    """The depth of a frame. Raises TypeError."""
    image = np.asarray(frame.depth_mm if isinstance(frame, SequenceFrame) else frame)
    if image.ndim != 2 or image.dtype.kind not in "uif":
        raise TypeError(f"a frame is {image.dtype} {image.shape}; expected a depth image (H, W) of numbers")
    return image
