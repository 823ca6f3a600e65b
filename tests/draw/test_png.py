"""PNG files, read back by another program's decoder."""

import imageio.v3 as iio
import numpy as np
import pytest

from handopt.draw.png import encode_indexed, encode_rgb


def test_indexed_images_of_any_rows(rng: np.random.Generator) -> None:
    rows, table = rng.integers(0, 256, (5, 7), np.uint8), rng.integers(0, 256, (256, 3), np.uint8)
    np.testing.assert_array_equal(iio.imread(encode_indexed(rows, table)), table[rows])


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (6, 1), (33, 21)])
def test_images_of_any_colours(shape: tuple[int, int], rng: np.random.Generator) -> None:
    image = rng.integers(0, 256, (*shape, 3), np.uint8)
    np.testing.assert_array_equal(iio.imread(encode_rgb(image)), image)
    turned = image.transpose(1, 0, 2)
    np.testing.assert_array_equal(iio.imread(encode_rgb(turned)), turned)


def test_flat_images_are_small() -> None:
    assert len(encode_rgb(np.full((600, 1300, 3), 40, np.uint8))) < 20_000
