"""Many depth images in one file: .npy and .npz stacks, and multi-page TIFF, read page by page."""

import os
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from handopt.errors import DepthError, SourceError
from handopt.input.camera import Camera
from handopt.input.decode import check_shape
from handopt.input.depth import single_channel
from handopt.input.npy import read_npy_header
from handopt.input.sequence.base import SequenceFrame
from handopt.input.sequence.stream_info import SourceOptions, has_depth, stream_info
from handopt.input.tiff import check_tiff
from handopt.input.timestamps import times_within
from handopt.typing import AnyArray


class StackSource:
    """The pages of a file. A page that cannot be read says so; reading ends if the file changes meanwhile."""

    camera: Camera

    def __init__(self, path: Path, options: SourceOptions) -> None:
        """Find a first page with depth. Raises SourceError, CameraError, DepthError."""
        self.name, self._path, self._options = str(path), path, options
        self._stamp = _stamp(path)
        self.length: int | None = None
        self.fps = options.fps
        first, name, count = None, self.name, 0
        problem = f"{path}: nothing is measured in any of its pages"
        for count, page in enumerate(self._pages(), 1):
            if isinstance(page, DepthError):
                problem = str(page)
            elif has_depth(page):
                first, name = page, self._named(count - 1)
                break
        if count == 0:
            raise DepthError(f"{path}: holds no images")
        if first is None:
            raise DepthError(problem)
        self._info = stream_info(first, path, options, name)
        self.camera, self.hand, self.unit_mm = self._info.camera, self._info.hand, self._info.unit_mm
        self.assumptions = tuple(self._info.assumptions)
        self._ignored = options.one_mask(self._info.shape)
        self._times: NDArray[np.float64] | None = None

    def __iter__(self) -> Iterator[SequenceFrame]:
        """The frames. Raises SourceError if the file changes."""
        return self._frames(0)

    def _frames(self, first: int) -> Iterator[SequenceFrame]:
        for index, page in enumerate(self._pages(first), first):
            self._check_unchanged(index)
            name = self._named(index)
            try:
                if isinstance(page, DepthError):
                    raise page
                depth = self._info.millimetres(page, name, self._ignored)
            except DepthError as error:
                yield SequenceFrame(index, name, self._info.empty(), self._time(index), problem=str(error))
            else:
                yield SequenceFrame(index, name, depth, self._time(index))
        self._check_unchanged(self.length or 0)

    def _pages(self, first: int = 0) -> Iterator[AnyArray | DepthError]:
        raise NotImplementedError

    def _time(self, index: int) -> float | None:
        return None if self._times is None else float(self._times[index])

    def _named(self, index: int) -> str:
        return f"{self._path.name}[{index}]"

    def _check_unchanged(self, index: int) -> None:
        try:
            same = _stamp(self._path) == self._stamp
        except SourceError:
            same = False
        if not same:
            raise SourceError(
                f"{self._path} changed while it was read, at frame {index}: what was read before is kept; "
                "track it again when it is complete"
            )


class NumpySource(StackSource):
    """A .npy file (N, H, W), or a .npz file with such an array, the one named "depth" if there is one.

    A .npz file may also hold "time_s" (N,), when each frame was taken, or "fps".
    """

    def __init__(self, path: Path, options: SourceOptions) -> None:
        """Find a first page with depth, and the times. Raises SourceError, CameraError, DepthError."""
        super().__init__(path, options)
        if options.fps is None:
            self._times, self.fps = times_within(path, self.length)

    def frames_from(self, first: int) -> Iterator[SequenceFrame]:
        """The frames from one on. Raises SourceError if the file changes."""
        return self._frames(first)

    def _pages(self, first: int = 0) -> Iterator[AnyArray | DepthError]:
        try:
            with self._path.open("rb") as file:
                if file.read(4)[:2] != b"PK":
                    file.seek(0)
                    yield from self._array(file, first)
                    return
            with zipfile.ZipFile(self._path) as archive:
                member = self._member(archive)
                with archive.open(member) as stream:
                    yield from self._array(stream, first)
        except (DepthError, SourceError):
            raise
        except OSError as error:
            raise SourceError(f"{self._path}: cannot be read ({error.strerror or error})") from error
        except Exception as error:  # zipfile and zlib raise almost anything on damaged files
            raise DepthError(f"{self._path}: is damaged or cut short ({error}); copy or save it again") from error

    def _member(self, archive: zipfile.ZipFile) -> str:
        """The array to read: "depth", or the first with three dimensions."""
        names = [name for name in archive.namelist() if name.endswith(".npy")]
        if "depth.npy" in names:
            return "depth.npy"
        for name in names:
            with archive.open(name) as file:
                if len(read_npy_header(self._path, file).shape) == 3:
                    return name
        raise DepthError(f"{self._path}: holds no array (frames, height, width); name the stack 'depth'")

    def _array(self, file: IO[bytes], first: int) -> Iterator[AnyArray | DepthError]:
        shape, fortran, dtype = read_npy_header(self._path, file)
        if dtype.hasobject or dtype.kind not in "uif" or dtype.itemsize > 8:
            raise DepthError(f"{self._path}: holds values of type {dtype}, expected integers or floats")
        if len(shape) != 3 or fortran:
            order = ", in Fortran order" if fortran else ""
            raise DepthError(
                f"{self._path}: holds an array of shape {shape}{order}, expected (frames, height, width) in C order; "
                "for a single image use handopt fit"
            )
        check_shape(self._path, shape[1:])
        if dtype.itemsize == 1:
            raise DepthError(f"{self._path}: holds 8-bit values, which are too coarse to fit a hand; save 16 bits")
        self.length = shape[0]
        page_bytes = shape[1] * shape[2] * dtype.itemsize
        if first:
            file.seek(first * page_bytes - 1, os.SEEK_CUR)
            if not file.read(1):  # the file ends before, as whoever reads the pages before says
                return
        for index in range(first, shape[0]):
            data = file.read(page_bytes)
            if len(data) < page_bytes:
                yield DepthError(
                    f"{self._named(index)}: the file is cut short, it has {index} of {shape[0]} frames: copy it again"
                )
                return
            yield np.frombuffer(data, dtype).reshape(shape[1:])


class TiffSource(StackSource):
    """A TIFF file with a page for every frame."""

    def _pages(self, first: int = 0) -> Iterator[AnyArray | DepthError]:
        from PIL import Image

        try:
            image = Image.open(self._path, formats=("TIFF",))
        except Exception as error:  # Pillow raises almost anything on damaged files
            raise DepthError(f"{self._path}: is damaged, or no TIFF file ({error}); export it again") from error
        with image:
            index = first
            while True:
                try:
                    with warnings.catch_warnings():
                        warnings.simplefilter("ignore")
                        image.seek(index)
                except EOFError:
                    self.length = index
                    return
                except Exception as error:
                    yield DepthError(f"{self._named(index)}: the file is damaged or cut short here ({error})")
                    return
                yield self._page(image, index)
                index += 1

    def _page(self, image: Any, index: int) -> AnyArray | DepthError:
        name = self._named(index)
        try:
            check_shape(Path(name), (image.height, image.width))
            check_tiff(self._path, image)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return single_channel(np.array(image), Path(name), self._options.encoding, [])
        except DepthError as error:
            return error
        except Exception as error:
            return DepthError(f"{name}: is damaged or cut short ({error}); export it again")


def is_stack(path: Path) -> bool:
    """Whether a .npy, .npz or TIFF file holds several images. False for what cannot be read."""
    try:
        with path.open("rb") as file:
            head = file.read(4)
            file.seek(0)
            if head == b"\x93NUM":
                return len(read_npy_header(path, file).shape) == 3
        if head[:2] == b"PK":
            with zipfile.ZipFile(path) as archive:
                return any(_is_deep(path, archive, name) for name in archive.namelist() if name.endswith(".npy"))
        if head[:2] in (b"II", b"MM"):
            from PIL import Image

            with Image.open(path, formats=("TIFF",)) as image:
                return int(getattr(image, "n_frames", 1)) > 1
    except Exception:  # whatever is wrong with a file is said where it is read
        return False
    return False


def _is_deep(path: Path, archive: zipfile.ZipFile, name: str) -> bool:
    with archive.open(name) as file:
        return len(read_npy_header(path, file).shape) == 3


def _stamp(path: Path) -> tuple[int, int]:
    """Size and modification time of a file, to notice that it changed while it was read."""
    try:
        status = path.stat()
    except OSError as error:
        raise SourceError(f"{path}: cannot be read ({error.strerror or error}); check the path") from error
    if status.st_size == 0:
        raise SourceError(f"{path}: is empty (0 bytes); copy or record it again")
    return status.st_size, status.st_mtime_ns
