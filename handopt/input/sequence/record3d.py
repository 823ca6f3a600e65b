"""Record3D's recordings (.r3d): a zip file with depth in metres, compressed by LZFSE (the extra `record3d`).

https://github.com/marek-simonik/record3d/issues/93 lists the files: `metadata` (JSON), `rgbd/N.depth`, float32, and
`rgbd/N.jpg`, the colour picture of the same view.
"""

import io
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from handopt.errors import CameraError, DepthError, NoColourError, SourceError, how_to_install
from handopt.files import parse_json
from handopt.input.camera import Camera
from handopt.input.colour import decoded_picture, of_depth_size
from handopt.input.decode import check_shape
from handopt.input.sequence.base import SequenceFrame
from handopt.input.sequence.stream_info import SourceOptions, has_depth, stream_info
from handopt.typing import AnyArray, Bytes

METADATA: Final = "metadata"
SIZES: Final = ((192, 256), (480, 640), (720, 960))
"""Width and height of depth, px, in files without dw and dh: LiDAR, and the TrueDepth camera."""
MAX_METADATA, MAX_MEMBER, MAX_PICTURE = 64 << 20, 4 << 20, 16 << 20
"""Bytes of the metadata, of one compressed frame, and of a picture."""


class Record3dSource:
    """The frames of a .r3d file. A frame that cannot be decoded says so."""

    has_colour = True

    def __init__(self, path: Path, options: SourceOptions) -> None:
        """Read the metadata and a first frame. Raises SourceError, CameraError and DepthError."""
        self.name, self._path = str(path), path
        self._lzfse = _liblzfse(path)
        metadata = self._metadata()
        with self._opened() as archive:
            names = [each for each in archive.namelist() if each.startswith("rgbd/") and each.endswith(".depth")]
            self._names = sorted(
                (each for each in names if Path(each).stem.isdecimal()), key=lambda x: int(Path(x).stem)
            )
            self.length: int | None = len(self._names)
            if not self._names:
                raise SourceError(f"{path}: holds no depth (rgbd/0.depth); export it again")
            self._coloured = options.colour
            if options.colour and _picture_of(self._names[0]) not in archive.namelist():
                raise NoColourError(f"{path}: has no colour pictures ({_picture_of(self._names[0])}); leave colour out")
            floats = np.nan_to_num(self._first(archive))
        self._shape = _shape(path, metadata, len(floats))
        if options.camera is None:
            options = replace(options, camera=_camera(path, metadata, self._shape))
        options = replace(options, unit=options.unit or 1000.0)
        self._info = stream_info(floats.reshape(self._shape), path, options, f"{path.name}[0]")
        self.camera, self.hand, self.unit_mm = self._info.camera, self._info.hand, self._info.unit_mm
        self._ignored = options.one_mask(self._info.shape)
        rate = metadata.get("fps")
        self.fps = options.fps or (float(rate) if isinstance(rate, int | float) and rate > 0 else None)
        self.assumptions = tuple(self._info.assumptions)

    def __iter__(self) -> Iterator[SequenceFrame]:
        """The frames in order. Raises SourceError where the file is damaged."""
        with self._opened() as archive:
            for index, member in enumerate(self._names):
                name = f"{self._path.name}[{index}]"
                try:
                    floats = self._floats(archive, member)
                    if len(floats) != self._shape[0] * self._shape[1]:
                        raise DepthError(
                            f"{name}: has {len(floats)} values, the first frame {self._shape}; export it again"
                        )
                    depth = self._info.millimetres(floats.reshape(self._shape), name, self._ignored)
                except DepthError as error:
                    yield SequenceFrame(index, name, self._info.empty(), None, problem=str(error))
                else:
                    yield SequenceFrame(index, name, depth, None, colour=self._colour(archive, member))

    def _colour(self, archive: zipfile.ZipFile, member: str) -> Bytes | None:
        """The picture (H, W, 3) of a frame; None where it is damaged, or nobody asked for it."""
        if not self._coloured:
            return None
        name = _picture_of(member)
        try:
            if archive.getinfo(name).file_size > MAX_PICTURE:
                return None
            picture = decoded_picture(io.BytesIO(archive.read(name)), name)
            return self._info.picture(of_depth_size(picture, self._info.shape, name))
        except Exception:  # zipfile, zlib and Pillow have errors of their own; the overlay shows the depth then
            return None

    def _first(self, archive: zipfile.ZipFile) -> AnyArray:
        """The values (N,) of the first frame with depth, m. Raises DepthError where there is none."""
        problem = f"{self._path}: nothing is measured in any of its frames"
        for member in self._names:
            try:
                floats = self._floats(archive, member)
            except DepthError as error:
                problem = str(error)
                continue
            if has_depth(floats):
                return floats
        raise DepthError(problem)

    def _opened(self) -> zipfile.ZipFile:
        try:
            return zipfile.ZipFile(self._path)
        except Exception as error:  # zipfile raises almost anything on damaged files
            raise SourceError(f"{self._path}: is damaged ({error}); export it again") from error

    def _metadata(self) -> dict[str, Any]:
        with self._opened() as archive:
            try:
                if archive.getinfo(METADATA).file_size > MAX_METADATA:
                    raise ValueError("it is too large")
                metadata = parse_json(archive.read(METADATA).decode("utf-8"))
            except Exception as error:  # zipfile and zlib raise almost anything on damaged files
                raise SourceError(
                    f"{self._path}: its metadata are missing or damaged ({error}); export it again"
                ) from error
        if not isinstance(metadata, dict):
            raise SourceError(f"{self._path}: its metadata are no JSON object; export it again")
        return metadata

    def _floats(self, archive: zipfile.ZipFile, member: str) -> AnyArray:
        """The values (N,) of a frame, m. Raises DepthError."""
        try:
            if archive.getinfo(member).file_size > MAX_MEMBER:
                raise ValueError("it is too large")
            return np.frombuffer(self._lzfse.decompress(archive.read(member)), "<f4")
        except Exception as error:  # zipfile, zlib and liblzfse have errors of their own
            raise DepthError(f"{self._path}: {member} is damaged ({error}); export it again") from error


def _picture_of(member: str) -> str:
    """The name of the picture of a frame's depth."""
    return member.removesuffix(".depth") + ".jpg"


def is_record3d(path: Path) -> bool:
    """Whether a zip file is a recording of Record3D."""
    try:
        with zipfile.ZipFile(path) as archive:
            return METADATA in archive.namelist()
    except Exception:  # whatever is wrong with a file is said where it is read
        return False


def _liblzfse(path: Path) -> Any:
    try:
        import liblzfse
    except ImportError as error:
        raise SourceError(
            f"{path}: a .r3d recording needs pyliblzfse, which is not installed: {how_to_install('record3d')}"
        ) from error
    return liblzfse


def _shape(path: Path, metadata: dict[str, Any], count: int) -> tuple[int, int]:
    """Rows and columns of the depth: as the metadata say, else one of the usual sizes. Raises DepthError."""
    width, height = metadata.get("dw"), metadata.get("dh")
    if not (isinstance(width, int) and isinstance(height, int) and width * height == count):
        width, height = next((each for each in SIZES if each[0] * each[1] == count), (0, 0))
    if not width:
        raise DepthError(f"{path}: its depth has {count} values, of which size nothing is said; export it again")
    check_shape(path, (height, width))
    return height, width


def _camera(path: Path, metadata: dict[str, Any], shape: tuple[int, int]) -> Camera:
    """The camera of the depth: that of the colour pictures, K by columns, at the depth's size. Raises CameraError."""
    numbers, width, height = metadata.get("K"), metadata.get("w"), metadata.get("h")
    known = isinstance(numbers, list) and len(numbers) == 9 and all(isinstance(each, int | float) for each in numbers)
    if not known or not isinstance(width, int) or not isinstance(height, int) or not isinstance(numbers, list):
        raise CameraError(f"{path}: its metadata have no K, w and h; give camera= (a preset, a file, or fx,fy,cx,cy)")
    fx, fy, cx, cy = (float(numbers[each]) for each in (0, 4, 6, 7))
    whole = Camera(fx, fy, cx, cy, width, height, f"metadata of {path.name}")
    return whole.sized(shape[1], shape[0])
