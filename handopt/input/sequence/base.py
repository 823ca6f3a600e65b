"""Frames of a sequence, and the protocol of the sources that give them."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol, TypeGuard

import numpy as np
from numpy.typing import NDArray

from handopt.errors import DepthError
from handopt.input.camera import Camera
from handopt.input.depth import ENDLESS_MM, without_value
from handopt.input.distortion import Lens
from handopt.input.no_depth import is_no_depth, no_depth_constants
from handopt.typing import BoolImage, Bytes, FloatImage

_NO_IMAGE: Final = np.zeros((0, 0), np.float32)


def split_ignored(depth_mm: FloatImage) -> tuple[FloatImage, BoolImage | None]:
    """A frame's depth (H, W) with 0 for NaN, and where pixels are left out (H, W), None for nowhere."""
    ignored = np.isnan(depth_mm)
    if not ignored.any():
        return depth_mm, None
    return np.where(ignored, np.float32(0), depth_mm), ignored


@dataclass(frozen=True)
class SequenceFrame:
    """A frame of a sequence.

    name: what a message calls it. depth_mm: (H, W), 0 where nothing is measured, NaN where a pixel is left out.
    time_s: since the first frame, or None. problem: why a frame could not be read; it counts as a frame without
    measurements. colour: (H, W, 3), a picture of the depth camera's view where it was asked for and there is one.
    """

    index: int
    name: str
    depth_mm: FloatImage
    time_s: float | None = None
    problem: str | None = None
    colour: Bytes | None = None

    def without_images(self) -> "SequenceFrame":
        """What is known of the frame, without its pixels."""
        return replace(self, depth_mm=_NO_IMAGE, colour=None)


class FrameSource(Protocol):
    """A sequence of frames of one camera, opened. Frames come in order, each read when it is asked for.

    length: number of frames, None if unknown. fps: frames per second, None if unknown. hand:
    'right', 'left' or None, as files beside the frames say. assumptions: sentences on what was guessed. unit_mm: mm per
    count.
    """

    name: str
    camera: Camera
    length: int | None
    fps: float | None
    hand: str | None
    unit_mm: float
    assumptions: tuple[str, ...]

    def __iter__(self) -> Iterator[SequenceFrame]:
        """The frames. Raises SourceError if the source fails for good; earlier frames stay valid."""
        ...


class SeekableSource(FrameSource, Protocol):
    """A source whose frames can be read from any one on, by several readers, also of other processes."""

    def frames_from(self, first: int) -> Iterator[SequenceFrame]:
        """The frames from one on, as iterating gives them."""
        ...


def is_seekable(source: FrameSource) -> TypeGuard[SeekableSource]:
    """Whether the frames of a source can be read from any one on."""
    return hasattr(source, "frames_from")


@dataclass
class StreamInfo:
    """What holds for all frames of a source.

    no_depth: counts that mean "no depth" in all frames, as the first one shows; further ones hold for a frame alone.
    mirrored: whether frames come mirrored left to right and are mirrored back here. lens: whose distortion is taken
    out here; the camera is without it.
    """

    camera: Camera
    unit_mm: float
    hand: str | None = None
    assumptions: list[str] = field(default_factory=list)
    no_depth: tuple[int, ...] = ()
    mirrored: bool = False
    lens: Lens | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of every frame."""
        return self.camera.height, self.camera.width

    def empty(self) -> FloatImage:
        """A frame without measurements."""
        return np.zeros(self.shape, np.float32)

    def millimetres(self, counts: NDArray[Any], name: str, ignored: BoolImage | None = None) -> FloatImage:
        """Depth in mm of counts (H, W), 0 where nothing was measured, NaN where a pixel is left out.

        ignored: (H, W) pixels to leave out, as the counts come. Raises DepthError for another size.
        """
        if counts.shape != self.shape:
            height, width = self.shape
            raise DepthError(
                f"{name}: is {counts.shape[1]} x {counts.shape[0]} pixels, the first frame {width} x {height}; "
                "a sequence is of one camera: track what has another size on its own"
            )
        constants = {*self.no_depth, *no_depth_constants(counts, self.unit_mm)}
        dropped = is_no_depth(counts, constants)
        for _, where in without_value(counts, ENDLESS_MM / self.unit_mm):
            dropped |= where
        depth: FloatImage = (np.where(dropped, 0, counts) if dropped.any() else counts).astype(np.float32)
        depth *= np.float32(self.unit_mm)
        return self.prepared(depth, ignored)

    def picture(self, colour: Bytes) -> Bytes:
        """A picture (H, W, 3) that shows what counts show, as `millimetres` gives these: not mirrored, without lens."""
        colour = np.ascontiguousarray(colour[:, ::-1]) if self.mirrored else colour
        return colour if self.lens is None else self.lens.straightened(colour)

    def prepared(self, depth_mm: FloatImage, ignored: BoolImage | None = None) -> FloatImage:
        """Depth (H, W) in mm with NaN where a pixel is left out, mirrored back if frames come mirrored."""
        if ignored is not None:
            depth_mm = np.where(ignored, np.float32(np.nan), depth_mm)
        depth_mm = np.ascontiguousarray(depth_mm[:, ::-1]) if self.mirrored else depth_mm
        return depth_mm if self.lens is None else self.lens.straightened(depth_mm)
