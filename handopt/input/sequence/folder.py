"""A folder of depth images as a sequence."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from handopt.errors import DepthError, NoColourError, SourceError
from handopt.files import is_file, is_folder
from handopt.input.camera import Camera
from handopt.input.colour import FOLDER, find_picture, of_depth_size, read_picture
from handopt.input.decode import decode_file
from handopt.input.depth import DEPTH_SUFFIXES, is_depth_file, single_channel, without_masks
from handopt.input.ignore import IgnoreMasks
from handopt.input.sequence.arkit_folder import find_arkit_folder
from handopt.input.sequence.base import SequenceFrame
from handopt.input.sequence.rgbd_folder import find_rgbd_folder
from handopt.input.sequence.stream_info import SourceOptions, has_depth, stream_info
from handopt.input.sidecar import find_time
from handopt.typing import BoolImage, Bytes


class FolderSource:
    """The depth images of a folder in natural order: 2.png before 10.png; of a TUM folder as depth.txt lists them."""

    camera: Camera
    has_colour = True

    def __init__(self, folder: Path, options: SourceOptions) -> None:
        """Find the first image with depth. Raises SourceError, CameraError, DepthError."""
        self.name = str(folder)
        rgbd = find_rgbd_folder(folder, options, _listed) or find_arkit_folder(folder, options, _listed)
        self._files = _listed(folder) if rgbd is None else list(rgbd.files)
        self._times = {} if rgbd is None else rgbd.times_s
        self._confidence = {} if rgbd is None else rgbd.confidence
        self._pictures = {} if rgbd is None else rgbd.pictures
        if options.colour and rgbd is None:
            self._pictures = {path: place for path in self._files if (place := find_picture(path)) is not None}
        if options.colour and not self._pictures:
            raise NoColourError(
                f"{folder}: has no colour pictures of the depth camera's view, which would have the images' names and "
                f"lie in {FOLDER}/ beside them; leave colour out"
            )
        options = options if rgbd is None else rgbd.options
        self._options = options
        self.length: int | None = len(self._files)
        self.fps = options.fps
        path, counts = self._first()
        self._info = stream_info(counts, path, options, str(path))
        self.camera, self.hand, self.unit_mm = self._info.camera, self._info.hand, self._info.unit_mm
        self._masks = None if options.ignore is None else IgnoreMasks(options.ignore)
        if options.ignore is not None and not is_folder(options.ignore):
            options.one_mask(self._info.shape)  # one for all frames: refused before the first, not at each
        notes = () if rgbd is None else rgbd.notes
        self.assumptions = (*notes, *self._info.assumptions, *self._note_on_masks())

    def __iter__(self) -> Iterator[SequenceFrame]:
        """The frames; one that cannot be read says so."""
        return self.frames_from(0)

    def frames_from(self, first: int) -> Iterator[SequenceFrame]:
        """The frames from one on."""
        for index, path in enumerate(self._files[first:], first):
            try:
                depth = self._info.millimetres(self._counts(path), path.name, self._ignored(path))
            except DepthError as error:
                yield SequenceFrame(index, path.name, self._info.empty(), self._time(path), problem=str(error))
            else:
                yield SequenceFrame(index, path.name, depth, self._time(path), colour=self._colour(path))

    def _ignored(self, path: Path) -> BoolImage | None:
        """The pixels (H, W) of a frame to leave out: those of masks, and of low confidence. Raises DepthError."""
        ignored = None if self._masks is None else self._masks.mask_of(path, self._info.shape)
        place = self._confidence.get(path)
        if place is None:
            return ignored
        confidence = read_picture(place)[..., 0]
        if confidence.shape != self._info.shape:
            height, width = self._info.shape
            raise DepthError(
                f"{place}: has {confidence.shape[1]} x {confidence.shape[0]} pixels, not {width} x {height}"
            )
        low: BoolImage = confidence == 0
        return low if ignored is None else ignored | low

    def _colour(self, path: Path) -> Bytes | None:
        """The picture of a frame, None where it has none that can be shown: nothing is fitted to it."""
        picture = self._pictures.get(path)
        if picture is None:
            return None
        try:
            return self._info.picture(of_depth_size(read_picture(picture), self._info.shape, str(picture)))
        except DepthError:
            return None

    def _note_on_masks(self) -> list[str]:
        """How many images have no mask where others have one. Raises DepthError where none has one."""
        count = len(self._files)
        bare = 0 if self._masks is None else sum(not self._masks.covers(each) for each in self._files)
        if bare == count:
            raise DepthError(f"ignore={self._options.ignore}: has no mask named like any image of {self.name}")
        if bare == 0:
            return []
        return [
            f"Nothing was left out of {bare} of {count} images: {self._options.ignore} has no masks of their names."
        ]

    def _time(self, path: Path) -> float | None:
        """When a frame was taken, as the file beside it says; the caller's rate overrules that."""
        if self._options.fps is not None:
            return None
        return self._times[path] if path in self._times else find_time(path)

    def _counts(self, path: Path) -> NDArray[Any]:
        notes: list[str] = []
        return single_channel(decode_file(path, notes), path, self._options.encoding, notes)

    def _first(self) -> tuple[Path, NDArray[Any]]:
        """The first image with depth in it."""
        problem = f"{self.name}: nothing is measured in any of its {len(self._files)} images"
        for path in self._files:
            try:
                counts = self._counts(path)
            except DepthError as error:
                problem = str(error)
                continue
            if has_depth(counts):
                return path, counts
        raise DepthError(problem)


def natural(name: str) -> tuple[Any, ...]:
    """A key that sorts numbers in names by their value."""
    parts = re.split(r"(\d{1,300})", name)  # every second one is a number; others may hold digits such as a superscript
    return tuple((int(part), "") if index % 2 else (-1, part) for index, part in enumerate(parts))


def _listed(folder: Path) -> list[Path]:
    try:
        files = (path for path in folder.iterdir() if is_depth_file(path) and path.name[0] != "." and is_file(path))
        inside = without_masks(files)
    except OSError as error:
        raise SourceError(f"the folder {folder} cannot be read: {error.strerror}") from error
    if not inside:
        suffixes = ", ".join(sorted(DEPTH_SUFFIXES))
        raise SourceError(f"the folder {folder} holds no depth images ({suffixes}): give the folder of the frames")
    return sorted(inside, key=lambda path: natural(path.name))
