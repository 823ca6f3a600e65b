"""Colour pictures of the depth camera's view: which file it is, and what it is made to show."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from handopt.errors import DepthError
from handopt.input.camera import Camera
from handopt.input.colour import find_picture, of_depth_size, picture_of, read_picture
from handopt.input.distortion import Distortion
from handopt.input.reader import DepthInput


def picture(path: Path, size: tuple[int, int] = (60, 80)) -> np.ndarray:
    """A PNG whose red counts columns, and green rows."""
    pixels = np.zeros((*size, 3), np.uint8)
    pixels[..., 1], pixels[..., 0] = np.indices(size) * 3
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return pixels


@pytest.mark.parametrize(
    ("image", "place"),
    [("a/7.png", "a/colour/7.png"), ("a/depth/7.npy", "a/color/7.png"), ("a/depth/7.png", "a/rgb/7.png")],
)
def test_a_picture_is_found_by_its_name(tmp_path: Path, image: str, place: str) -> None:
    assert find_picture(tmp_path / image) is None
    picture(tmp_path / place)
    assert find_picture(tmp_path / image) == tmp_path / place
    assert find_picture(tmp_path / image.replace("7", "8")) is None


def test_a_picture_has_the_size_of_the_depth(tmp_path: Path) -> None:
    pixels = picture(tmp_path / "a.png", (60, 80))
    assert np.array_equal(read_picture(tmp_path / "a.png"), pixels)
    assert of_depth_size(pixels, (60, 80), "a.png") is pixels
    assert of_depth_size(pixels, (30, 40), "a.png").shape == (30, 40, 3)
    with pytest.raises(DepthError, match=r"a\.png: the colour picture has 80 x 60 pixels, the depth 50 x 60"):
        of_depth_size(pixels, (60, 50), "a.png")
    (tmp_path / "b.png").write_bytes(b"no picture")
    with pytest.raises(DepthError, match=r"b\.png: cannot be read as a colour picture"):
        read_picture(tmp_path / "b.png")


def test_a_picture_is_mirrored_and_straightened_as_the_depth_is(tmp_path: Path) -> None:
    pixels = picture(tmp_path / "colour" / "a.png")
    camera = Camera(50.0, 50.0, 39.5, 29.5, 80, 60)
    depth = np.ones((60, 80), np.float32)
    shown = picture_of(tmp_path / "a.png", DepthInput(depth, camera, "right", (), mirrored=True))
    assert shown is not None
    assert np.array_equal(shown, pixels[:, ::-1])
    bent = replace(camera, distortion=Distortion.of("brown", (0.2, 0, 0, 0)))
    straight = picture_of(tmp_path / "a.png", DepthInput(depth, bent, "right", ()))
    assert straight is not None
    # Column 15, row 30: x = -0.49, y = 0.01, and 1 + 0.2 r2 = 1.04804 leads to column 13.82, row 30.02.
    assert straight[30, 15].tolist() == pixels[30, 14].tolist()
    assert picture_of(tmp_path / "b.png", DepthInput(depth, camera, "right", ())) is None
