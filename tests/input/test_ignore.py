"""Masks of pixels to leave out: one for all images, or one of the same stem for each."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from handopt.errors import DepthError
from handopt.input.ignore import IgnoreMasks
from handopt.input.reader import Reader
from handopt.input.sequence import open_source
from handopt.input.sequence.stream_info import SourceOptions

SHAPE = (30, 40)
ASKED = {"camera": "40,40,19.5,14.5", "unit": 1.0}


def mask(columns: slice = slice(5, 9)) -> NDArray[np.uint8]:
    values = np.zeros(SHAPE, np.uint8)
    values[10:20, columns] = 255
    return values


def save(path: Path, values: NDArray[np.generic]) -> Path:
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(values).save(path)
    return path


@pytest.fixture
def images(tmp_path: Path) -> Path:
    rows = np.arange(SHAPE[0] * SHAPE[1], dtype=np.uint16).reshape(SHAPE)
    for number in range(3):
        save(tmp_path / "images" / f"{number}.png", (400 + rows % 97 + number).astype(np.uint16))
    return tmp_path / "images"


def test_one_mask_is_for_all_images_in_any_colour(tmp_path: Path, images: Path) -> None:
    coloured = np.zeros((*SHAPE, 4), np.uint8)
    coloured[..., 1], coloured[..., 3] = mask(), 255
    file = save(tmp_path / "mask.png", coloured)
    for number in (0, 2):
        read = Reader(**ASKED, ignore=file).read(images / f"{number}.png")
        assert read.ignore is not None
        np.testing.assert_array_equal(read.ignore, mask() > 0)


def test_a_folder_has_a_mask_for_each_image_by_its_stem(tmp_path: Path, images: Path) -> None:
    save(tmp_path / "masks" / "0.png", mask())
    np.save(tmp_path / "masks" / "1.npy", mask(slice(20, 30)))
    reader = Reader(**ASKED, ignore=tmp_path / "masks")
    first, second, third = (reader.read(images / f"{number}.png") for number in range(3))
    assert first.ignore is not None
    assert second.ignore is not None
    assert first.ignore.sum() == 40
    assert second.ignore.sum() == 100
    assert third.ignore is None
    assert any("has no mask of the image's name" in sentence for sentence in third.assumptions)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (np.zeros((20, 40), np.uint8), "is 40 x 20 pixels, the depth image 40 x 30"),
        (np.ones(SHAPE, np.uint8), "every pixel is nonzero, which leaves nothing of the image"),
    ],
)
def test_a_mask_that_cannot_be_meant_is_refused(
    tmp_path: Path, images: Path, values: NDArray[np.uint8], said: str
) -> None:
    file = save(tmp_path / "mask.png", values)
    with pytest.raises(DepthError, match=f"ignore=.*mask.png: {said}"):
        Reader(**ASKED, ignore=file).read(images / "0.png")


def test_a_mask_that_cannot_be_read_is_refused(tmp_path: Path, images: Path) -> None:
    (tmp_path / "mask.png").write_text("no image")
    with pytest.raises(DepthError, match="is no mask that can be read"):
        Reader(**ASKED, ignore=tmp_path / "mask.png").read(images / "0.png")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DepthError, match="holds no masks"):
        IgnoreMasks(tmp_path / "empty").check()


def test_two_masks_for_one_image_are_refused(tmp_path: Path, images: Path) -> None:
    save(tmp_path / "masks" / "0.png", mask())
    save(tmp_path / "masks" / "0.tif", mask())
    with pytest.raises(DepthError, match=r"0\.png, 0\.tif all go with 0\.png"):
        Reader(**ASKED, ignore=tmp_path / "masks").read(images / "0.png")


def test_a_recording_has_nan_where_pixels_are_left_out_and_is_turned_over(tmp_path: Path, images: Path) -> None:
    save(tmp_path / "masks" / "1.png", mask())
    plain = [frame.depth_mm for frame in open_source(images, SourceOptions(**ASKED))]
    options = SourceOptions(**ASKED, ignore=tmp_path / "masks", mirrored=True)
    for number, frame in enumerate(open_source(images, options)):
        expected = plain[number].copy()
        if number == 1:
            expected[mask() > 0] = np.nan
        np.testing.assert_array_equal(frame.depth_mm, expected[:, ::-1])


def test_a_folder_of_masks_is_listed_once(tmp_path: Path, images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path / "masks" / "1.png", mask())
    listed: list[str] = []
    iterdir = Path.iterdir

    def counted(path: Path) -> Iterator[Path]:
        listed.append(path.name)
        return iterdir(path)

    monkeypatch.setattr(Path, "iterdir", counted)
    reader = Reader(**ASKED, ignore=tmp_path / "masks")
    for number in range(3):
        reader.ignore_file_of(images / f"{number}.png")
        reader.read(images / f"{number}.png")
    assert listed == ["masks"]
    assert len(list(open_source(images, SourceOptions(**ASKED, ignore=tmp_path / "masks")))) == 3
    assert listed.count("masks") == 2


def test_a_recording_says_how_many_images_have_no_mask(tmp_path: Path, images: Path) -> None:
    save(tmp_path / "masks" / "1.png", mask())
    source = open_source(images, SourceOptions(**ASKED, ignore=tmp_path / "masks"))
    said = f"Nothing was left out of 2 of 3 images: {tmp_path / 'masks'} has no masks of their names."
    assert source.assumptions.count(said) == 1
    for number in (0, 2):
        save(tmp_path / "masks" / f"{number}.png", mask())
    source = open_source(images, SourceOptions(**ASKED, ignore=tmp_path / "masks"))
    assert not any("left out" in sentence for sentence in source.assumptions)


def test_a_recording_needs_a_mask_that_goes_with_it(tmp_path: Path, images: Path) -> None:
    save(tmp_path / "masks" / "other.png", mask())
    with pytest.raises(DepthError, match="has no mask named like any image"):
        open_source(images, SourceOptions(**ASKED, ignore=tmp_path / "masks"))
    np.save(tmp_path / "stack.npy", np.full((2, *SHAPE), 500, np.uint16))
    with pytest.raises(DepthError, match="a folder of masks goes with a folder of images"):
        open_source(tmp_path / "stack.npy", SourceOptions(**ASKED, ignore=tmp_path / "masks"))
    file = save(tmp_path / "mask.png", mask())
    for frame in open_source(tmp_path / "stack.npy", SourceOptions(**ASKED, ignore=file)):
        np.testing.assert_array_equal(np.isnan(frame.depth_mm), mask() > 0)


def test_the_file_beside_an_image_says_that_it_is_mirrored(images: Path) -> None:
    (images / "camera.json").write_text('{"mirrored": true, "unit": "mm"}')
    read = Reader("40,40,19.5,14.5").read(images / "0.png")
    assert read.mirrored
    assert any("mirrored, as" in sentence for sentence in read.assumptions)
    assert not Reader(**ASKED, mirrored=False).read(images / "0.png").mirrored
    (images / "camera.json").write_text('{"mirrored": "yes"}')
    with pytest.raises(Exception, match="mirrored is 'yes', expected true or false"):
        Reader("40,40,19.5,14.5").read(images / "0.png")
