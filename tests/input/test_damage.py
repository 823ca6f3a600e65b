"""Depth that is damaged says so: checksums of PNG, strips, tiles and orientation of TIFF; and very large images."""

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin
from support.image_bytes import SCENE, png_bytes

from handopt.errors import CameraError, DepthError
from handopt.input.camera import Camera
from handopt.input.depth import read_depth
from handopt.input.reader import Reader
from handopt.input.sequence import open_source
from handopt.input.sequence.stream_info import SourceOptions

STRIP_BYTE_COUNTS, ROWS_PER_STRIP, IMAGE_LENGTH = 279, 278, 257


def test_every_bit_of_a_png_counts(tmp_path: Path) -> None:
    whole, path = png_bytes(SCENE), tmp_path / "a.png"
    path.write_bytes(whole + b"more")
    assert (read_depth(path, unit=1.0).depth_mm == SCENE).all(), "what follows the end is no damage"
    for place in range(8, len(whole), 3):
        damaged = bytearray(whole)
        damaged[place] ^= 0x10
        path.write_bytes(damaged)
        with pytest.raises(DepthError, match=r"damaged|cut short|limit|larger|pixels|channel|kind|8-bit|1-bit"):
            read_depth(path, unit=1.0)


def tiff(path: Path, change: dict[int, Any], **options: Any) -> Path:
    """A TIFF file in which numbers of the directory are replaced."""
    Image.fromarray(SCENE).save(path, format="TIFF", **options)
    data = bytearray(path.read_bytes())
    (at,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, at)
    for entry in range(at + 2, at + 2 + 12 * count, 12):
        tag, kind = struct.unpack_from("<HH", data, entry)
        if tag in change:
            struct.pack_into("<I" if kind == 4 else "<H", data, entry + 8, change[tag])
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({STRIP_BYTE_COUNTS: 64}, "1 of its 1 strips or tiles have too few bytes"),
        ({STRIP_BYTE_COUNTS: 60_000}, "reach beyond the end of the file"),
        ({ROWS_PER_STRIP: 6}, "has 1 of 4 strips or tiles of its pixels"),
        ({IMAGE_LENGTH: 48}, "too few bytes|of its pixels"),
    ],
)
def test_strips_that_are_short_or_missing(change: dict[int, int], message: str, tmp_path: Path) -> None:
    path = tiff(tmp_path / "a.tif", change)
    with pytest.raises(DepthError, match=message):
        read_depth(path, unit=1.0)


def test_a_whole_tiff_is_read_whatever_its_compression(tmp_path: Path) -> None:
    for compression in (None, "tiff_lzw", "tiff_adobe_deflate", "packbits"):
        path = tiff(tmp_path / "a.tif", {}, **({} if compression is None else {"compression": compression}))
        assert (read_depth(path, unit=1.0).depth_mm == SCENE).all()


@pytest.mark.parametrize("orientation", [2, 3, 6, 8, 77])
def test_an_image_that_is_turned_against_its_camera_is_refused(orientation: int, tmp_path: Path) -> None:
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[274] = orientation
    path = tmp_path / "a.tif"
    Image.fromarray(SCENE).save(path, format="TIFF", tiffinfo=tags)
    with pytest.raises(DepthError, match=f"orientation tag is {orientation}.*without the tag"):
        read_depth(path, unit=1.0)
    Image.fromarray(SCENE).save(path, save_all=True, append_images=[Image.fromarray(SCENE)], tiffinfo=tags)
    with pytest.raises(DepthError, match="orientation"):
        open_source(path, SourceOptions(Camera(100, 100, 16, 12, 32, 24), 1.0))


def test_of_a_very_large_image_some_rows_and_columns_are_taken(tmp_path: Path) -> None:
    depth = np.full((2100, 4000), 500, np.uint16)
    depth[1::3] = 600
    Image.fromarray(depth).save(tmp_path / "a.png", compress_level=1)
    camera = Camera(3000, 3000, 1999.5, 1049.5, 4000, 2100)
    read = Reader(camera, 1.0, hand="right").read(tmp_path / "a.png")
    assert (read.step, read.depth_mm.shape) == (2, (1050, 2000))
    assert (read.depth_mm == depth[::2, ::2]).all()
    point = np.array([10.0, -20.0, 500.0])
    assert np.allclose(2 * read.camera.project(point), camera.project(point)), "row 0 is row 0"
    assert "4000 x 2100 pixels, of which one in 2 rows" in " ".join(read.assumptions)


@pytest.mark.parametrize("changes", [{"fy": 1.0}, {"cx": 1e6}, {"cy": -9000.0}, {"fx": 25.0}])
def test_a_camera_whose_image_no_pinhole_makes_is_refused(changes: dict[str, float]) -> None:
    with pytest.raises(CameraError, match="degrees off the optical axis; change camera="):
        Camera(**{"fx": 475.0, "fy": 475.0, "cx": 319.5, "cy": 239.5, "width": 640, "height": 480, **changes})
    Camera(475.0, 475.0, -900.0, 239.5, 120, 480)  # a crop from far to the right
