"""Colour pictures of the depth camera's view, for overlays alone: nothing is fitted to them."""

from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

import numpy as np

from handopt.errors import DepthError, NoColourError
from handopt.files import is_file
from handopt.input.decode import check_shape
from handopt.typing import Bytes

if TYPE_CHECKING:
    from handopt.input.reader import DepthInput

FOLDER: Final = "colour"
"""Folder beside depth images with a picture of the same stem for each."""
OPEN3D_FOLDERS: Final = ("color", "image", "rgb")
SUFFIXES: Final = (".jpg", ".jpeg", ".png")
SAME_ASPECT: Final = 0.01
"""Largest relative difference between two aspect ratios that are the same. By hand."""


def find_picture(image: Path) -> Path | None:
    """The picture that belongs to a depth image: in colour/ beside it, or in color/, image/ or rgb/ beside depth/."""
    folders = [image.parent / FOLDER]
    if image.parent.name == "depth":
        folders += [image.parent.parent / name for name in OPEN3D_FOLDERS]
    places = (folder / f"{image.stem}{suffix}" for folder in folders for suffix in SUFFIXES)
    return next((place for place in places if is_file(place)), None)


def read_picture(path: Path) -> Bytes:
    """A colour picture (H, W, 3) of a PNG or JPEG file. Raises DepthError."""
    return decoded_picture(path, str(path))


def decoded_picture(file: "Path | IO[bytes]", name: str) -> Bytes:
    """A colour picture (H, W, 3) of a PNG or JPEG, a file or what it holds. Raises DepthError."""
    from PIL import Image

    try:
        with Image.open(file, formats=("PNG", "JPEG")) as picture:
            check_shape(Path(name), (picture.height, picture.width))
            return np.array(picture.convert("RGB"))
    except DepthError:
        raise
    except Exception as error:  # Pillow raises almost anything on damaged files
        raise DepthError(f"{name}: cannot be read as a colour picture ({error}); copy it again") from error


def of_depth_size(picture: Bytes, shape: tuple[int, int], name: str) -> Bytes:
    """A picture at the size (H, W) of the depth image that it was taken with. Raises DepthError for another aspect."""
    from PIL import Image

    height, width = shape
    high, wide = picture.shape[:2]
    if (high, wide) == shape:
        return picture
    if abs(wide * height / (high * width) - 1) > SAME_ASPECT:
        raise NoColourError(
            f"{name}: the colour picture has {wide} x {high} pixels, the depth {width} x {height}: it does not show "
            "the depth camera's view; register it first, or leave colour out"
        )
    return np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.BILINEAR))


def picture_of(image: Path, frame: "DepthInput") -> Bytes | None:
    """The picture of a depth image, (H, W, 3), mirrored back and straightened; None without. Raises DepthError."""
    path = find_picture(image)
    if path is None:
        return None
    height, width = frame.depth_mm.shape
    picture = of_depth_size(read_picture(path), (height, width), str(path))
    picture = np.ascontiguousarray(picture[:, ::-1]) if frame.mirrored else picture
    lens = frame.camera.lens
    return picture if lens is None else lens.straightened(picture)
