"""Masks of pixels to leave out: one for all images, or a folder with a mask for each, of the same stem."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np

from handopt.errors import DepthError
from handopt.files import is_folder
from handopt.input.decode import decode_file
from handopt.input.depth import is_depth_file
from handopt.typing import AnyArray, BoolImage


def read_mask(path: Path) -> BoolImage:
    """Read a mask (H, W), nonzero in any colour channel, from an image or .npy file. Raises DepthError."""
    values: AnyArray = decode_file(path, [])
    if values.ndim == 3:
        colours = values.shape[2] - (values.shape[2] in (2, 4))
        values = np.asarray(values[..., :colours].any(axis=2))
    return np.asarray(values != 0)


@dataclass(frozen=True)
class IgnoreMasks:
    """Which pixels of which image to leave out. path: of a mask, or of a folder of masks, which is listed once."""

    path: Path

    def file_of(self, image: Path) -> Path | None:
        """The mask that goes with an image; None where the folder has none. Raises DepthError."""
        if not is_folder(self.path):
            return self.path
        found = self._by_stem.get(image.stem, [])
        if len(found) > 1:
            names = ", ".join(each.name for each in found)
            raise DepthError(f"ignore={self.path}: {names} all go with {image.name}; leave one mask of that name")
        return found[0] if found else None

    def covers(self, image: Path) -> bool:
        """Whether some mask goes with an image. Raises DepthError."""
        return not is_folder(self.path) or image.stem in self._by_stem

    def mask_of(self, image: Path, shape: tuple[int, int]) -> BoolImage | None:
        """The pixels (H, W) to leave out of an image; None where the folder has no mask for it. Raises DepthError."""
        file = self.file_of(image)
        return None if file is None else checked_mask(file, shape)

    def check(self) -> None:
        """Refuse a mask that cannot be read, and a folder without masks. Raises DepthError."""
        if is_folder(self.path):
            if not self._by_stem:
                raise DepthError(f"ignore={self.path}: the folder holds no masks; name them like the images")
        else:
            checked_mask(self.path)

    @cached_property
    def _by_stem(self) -> dict[str, list[Path]]:
        found: dict[str, list[Path]] = {}
        try:
            for each in sorted(self.path.iterdir()):
                if is_depth_file(each) and each.name[0] != ".":
                    found.setdefault(each.stem, []).append(each)
        except OSError as error:
            raise DepthError(f"ignore={self.path}: cannot be read ({error.strerror or error})") from error
        return found


def checked_mask(path: Path, shape: tuple[int, int] | None = None) -> BoolImage:
    """Read a mask of pixels to leave out, for images of a shape (H, W), None for any.

    Raises DepthError where it cannot be read, is of another size, or leaves nothing.
    """
    try:
        mask = read_mask(path)
    except DepthError as error:
        raise DepthError(f"ignore={path}: is no mask that can be read: {error}") from error
    if shape is not None and mask.shape != shape:
        raise DepthError(
            f"ignore={path}: is {mask.shape[1]} x {mask.shape[0]} pixels, the depth image {shape[1]} x {shape[0]}"
        )
    if mask.all():
        raise DepthError(f"ignore={path}: every pixel is nonzero, which leaves nothing of the image")
    return mask


IGNORED_NOTE: Final = "Pixels of the image were left out, as ignore= says."
"""Said of each image of which something was left out. How much is in the result: ignored_pixels."""
