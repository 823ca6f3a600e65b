"""Depth in millimetres from files: encodings, units, and what is no depth image."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from handopt.errors import DepthError
from handopt.input.depth import DepthImage, is_depth_file, read_depth

HEIGHT, WIDTH = 60, 80


def scene_mm() -> NDArray[np.uint16]:
    """A slanted wall at 900-1100 mm behind a ball at 500 mm; a border without measurement."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    depth: NDArray[np.float64] = 900.0 + 2.5 * columns
    radius = np.hypot(rows - 30, columns - 40)
    depth[radius < 15] = 500.0 + 2.0 * radius[radius < 15]
    depth[:, :4] = 0.0
    return depth.astype(np.uint16)


def nyu_rgb(depth: NDArray[np.uint16]) -> NDArray[np.uint8]:
    return np.stack([depth * 0, depth >> 8, depth & 255], axis=-1).astype(np.uint8)


def save(path: Path, values: NDArray[Any]) -> Path:
    if path.suffix == ".npy":
        np.save(path, values)
    else:
        Image.fromarray(values).save(path)
    return path


def assumed(depth: DepthImage, text: str) -> bool:
    return any(text in sentence for sentence in depth.assumptions)


@pytest.mark.parametrize("seed", range(6))
def test_random_png_round_trips(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(8, 60, 2))
    counts = rng.integers(0, 65535, shape).astype(np.uint16)
    unit = float(rng.choice([0.1, 0.125, 1.0, 2.0 / 3.0]))
    depth = read_depth(save(tmp_path / "image.png", counts), unit=unit)
    assert depth.depth_mm.dtype == np.float32
    assert depth.depth_mm.flags.c_contiguous
    assert [each.startswith(f"{unit:g} mm per count is unusual") for each in depth.assumptions] == [True] * (
        unit == 2 / 3
    )
    assert (depth.unit_mm, depth.path) == (unit, tmp_path / "image.png")
    # one rounding to float32
    np.testing.assert_allclose(depth.depth_mm, counts * unit, rtol=1e-7)


@pytest.mark.parametrize("name", ["image.png", "image.tif", "image.npy"])
def test_integers_are_millimetres_unless_told_and_that_is_said(tmp_path: Path, name: str) -> None:
    path = save(tmp_path / name, scene_mm())
    depth = read_depth(path)
    np.testing.assert_array_equal(depth.depth_mm, scene_mm())
    assert depth.unit_mm == 1.0
    assert assumed(depth, "unit=")
    assert not read_depth(path, unit=1.0).assumptions


@pytest.mark.parametrize(("factor", "name", "unit"), [(0.001, "metres", 1000.0), (1.0, "millimetres", 1.0)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_floats_are_metres_or_millimetres_by_size(
    tmp_path: Path, factor: float, name: str, unit: float, dtype: type
) -> None:
    depth = read_depth(save(tmp_path / "image.npy", (scene_mm() * factor).astype(dtype)))
    # float32 keeps 24 bits: 1e-4 mm of 1 m
    np.testing.assert_allclose(depth.depth_mm, scene_mm(), rtol=2e-7)
    assert depth.unit_mm == unit
    assert assumed(depth, f"assumed to be {name}")


def test_floats_follow_the_unit_that_is_given(tmp_path: Path) -> None:
    path = save(tmp_path / "image.npy", scene_mm() / 10.0)
    depth = read_depth(path, unit=10.0)
    np.testing.assert_allclose(depth.depth_mm, scene_mm(), rtol=1e-6)
    assert not depth.assumptions


@pytest.mark.parametrize("unit", [0.0, -1.0, float("nan"), float("inf")])
def test_a_unit_of_nonsense(tmp_path: Path, unit: float) -> None:
    with pytest.raises(DepthError, match="unit="):
        read_depth(save(tmp_path / "image.png", scene_mm()), unit=unit)


def test_an_unknown_encoding(tmp_path: Path) -> None:
    with pytest.raises(DepthError, match="encoding='kinect': expected one of auto, raw, nyu"):
        read_depth(save(tmp_path / "image.png", scene_mm()), encoding="kinect")


def test_the_nyu_encoding_is_recognised_and_said(tmp_path: Path) -> None:
    path = save(tmp_path / "image.png", nyu_rgb(scene_mm()))
    for encoding in ("auto", "nyu"):
        depth = read_depth(path, encoding=encoding)
        np.testing.assert_array_equal(depth.depth_mm, scene_mm())
        assert assumed(depth, "NYU encoding") == (encoding == "auto")
    transparent = np.dstack([nyu_rgb(scene_mm()), np.full((HEIGHT, WIDTH), 255, np.uint8)])
    np.testing.assert_array_equal(read_depth(save(path, transparent)).depth_mm, scene_mm())


def test_a_real_frame_in_the_nyu_encoding(tmp_path: Path, shared_data: Path) -> None:
    frames = [next(iter(sorted(shared_data.glob(pattern)))) for pattern in ("nyu/*.png", "synthetic/hard/*.png")]
    for frame in frames:
        depth = read_depth(frame, unit=1.0).depth_mm
        encoded = save(tmp_path / "encoded.png", nyu_rgb(depth.astype(np.uint16)))
        np.testing.assert_array_equal(read_depth(encoded).depth_mm, depth)


def pictures() -> dict[str, NDArray[np.uint8]]:
    rng = np.random.default_rng(5)
    rows, columns = np.mgrid[:HEIGHT, :WIDTH].astype(np.float64)
    zero = columns * 0
    made = {
        "photo": np.stack([rows + columns, 3 * rows, 255 - columns], axis=-1),
        "grey as RGB": np.stack([columns] * 3, axis=-1),
        "noise": rng.integers(0, 256, (HEIGHT, WIDTH, 3)),
        "noise without red": rng.integers(0, 30, (HEIGHT, WIDTH, 3)) * [0, 1, 1],
        "blue gradient": np.stack([zero, zero, columns], axis=-1),
        "green gradient": np.stack([zero, columns / 4, zero], axis=-1),
        "green screen": np.stack([zero, zero + 200, zero + 30], axis=-1),
        "dark gradients": np.stack([zero, columns / 5, 255 - rows], axis=-1),
        "red depth": np.stack([columns + 1, *np.moveaxis(nyu_rgb(scene_mm()), -1, 0)[1:]], axis=-1),
    }
    return {name: values.astype(np.uint8) for name, values in made.items()}


@pytest.mark.parametrize("name", pictures())
def test_a_colour_picture_is_no_depth_image(tmp_path: Path, name: str) -> None:
    path = save(tmp_path / "picture.png", pictures()[name])
    with pytest.raises(DepthError, match=r"picture\.png.*colour picture.*unit=.*encoding="):
        read_depth(path)
    with pytest.raises(DepthError, match="8-bit image with 3 channels"):
        read_depth(path, encoding="raw")


def test_the_nyu_encoding_can_be_insisted_on(tmp_path: Path) -> None:
    depth = read_depth(save(tmp_path / "image.png", pictures()["red depth"]), encoding="nyu")
    np.testing.assert_array_equal(depth.depth_mm, scene_mm())
    assert assumed(depth, "red in them")


def test_the_nyu_encoding_needs_rgb(tmp_path: Path) -> None:
    with pytest.raises(DepthError, match=r"encoding='nyu' needs .* 16-bit image with 1 channel"):
        read_depth(save(tmp_path / "image.png", scene_mm()), encoding="nyu")


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA"])
def test_8_bit_pictures(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "picture.png"
    Image.fromarray((scene_mm() // 5).astype(np.uint8)).convert(mode).save(path)
    with pytest.raises(DepthError, match=r"picture\.png: is an? .-bit image with . channel"):
        read_depth(path)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.bool_])
def test_8_bit_arrays(tmp_path: Path, dtype: type) -> None:
    with pytest.raises(DepthError, match=r"too coarse.*unit="):
        read_depth(save(tmp_path / "image.npy", (scene_mm() // 5).astype(dtype)))


@pytest.mark.parametrize("values", [scene_mm() * 0, nyu_rgb(scene_mm() * 0), scene_mm() * 0.0])
def test_all_zero(tmp_path: Path, values: NDArray[Any]) -> None:
    name = "image.npy" if values.dtype.kind == "f" else "image.png"
    with pytest.raises(DepthError, match=f"{name}: every pixel is 0"):
        read_depth(save(tmp_path / name, values))


def test_what_is_no_number_is_no_measurement_and_is_counted(tmp_path: Path) -> None:
    values = scene_mm().astype(np.float64)
    values[10, 10:13] = np.nan
    values[11, 10:15] = np.inf, -np.inf, np.inf, -1.0, -0.001
    values[12, 10] = 1e10
    depth = read_depth(save(tmp_path / "image.npy", values), unit=1.0)
    assert len(depth.assumptions) == 1
    for text in ("3 NaN", "3 infinite", "2 negative", "1 above 1e+06"):
        assert assumed(depth, text)
    changed = values != scene_mm()
    assert not depth.depth_mm[changed].any()
    np.testing.assert_array_equal(depth.depth_mm[~changed], scene_mm()[~changed])


def test_negative_integers_and_saturated_pixels(tmp_path: Path) -> None:
    signed = scene_mm().astype(np.int32)
    signed[5, 5:9] = -1
    depth = read_depth(save(tmp_path / "image.npy", signed))
    assert assumed(depth, "4 negative")
    assert not depth.depth_mm[5, 5:9].any()
    for dtype in ("<u2", ">u2"):
        full = scene_mm().astype(dtype)
        full[5, 5:8] = 65535
        depth = read_depth(save(tmp_path / "image.npy", full))
        assert assumed(depth, "Pixels of 65535 were taken as no depth.")
        assert not depth.depth_mm[5, 5:8].any()


@pytest.mark.parametrize(("bad", "kept"), [(np.nan, 40), (np.inf, 0), (-3.0, 47)])
def test_hardly_anything_measured(tmp_path: Path, bad: float, kept: int) -> None:
    values = np.full((HEIGHT, WIDTH), bad, np.float32)
    values.flat[:kept] = 500.0
    with pytest.raises(DepthError, match=r"image\.npy: of its 4800 pixels 4[78]\d\d "):
        read_depth(save(tmp_path / "image.npy", values))


def test_a_hand_alone_among_unmeasured_pixels_is_enough(tmp_path: Path) -> None:
    values = np.full((HEIGHT, WIDTH), np.nan, np.float32)
    values[20:28, 20:28] = 0.5
    depth = read_depth(save(tmp_path / "image.npy", values))
    assert np.count_nonzero(depth.depth_mm == 500.0) == 64


@pytest.mark.parametrize(
    ("values", "unit", "advice"),
    [
        (scene_mm(), 0.01, "unit=1 "),
        (scene_mm(), 1000.0, "unit=1 "),
        (scene_mm().astype(np.uint32) * 100, None, "unit=0.01 "),
        (scene_mm() * 8, 10.0, "unit=0.1 .*unit=0.125 "),
        (scene_mm() / 1000.0, 1.0, "unit=1000 "),
        (np.full((HEIGHT, WIDTH), 30.0), None, "unit=10 "),
        (np.full((HEIGHT, WIDTH), 9.0e5), 5e6, "unit=0.001 "),
        (np.full((HEIGHT, WIDTH), 1e-9), None, "change unit="),
    ],
)
def test_a_wrong_unit_is_recognised_and_one_that_fits_is_named(
    tmp_path: Path, values: NDArray[Any], unit: float | None, advice: str
) -> None:
    with pytest.raises(DepthError, match=advice) as caught:
        read_depth(save(tmp_path / "image.npy", values), unit=unit)
    assert "the unit looks wrong" in str(caught.value)
    assert "image.npy" in str(caught.value)


@pytest.mark.parametrize(("distance_mm", "said"), [(10, "10 mm"), (15_000, "15.0 m"), (250_000, "250 m")])
def test_a_hand_at_an_absurd_distance_is_said(tmp_path: Path, distance_mm: int, said: str) -> None:
    with pytest.raises(DepthError, match=f"{said} to {said} away"):
        read_depth(save(tmp_path / "image.npy", np.full((HEIGHT, WIDTH), distance_mm)))


def test_a_suspicious_unit_is_mentioned_with_others_whether_it_was_assumed_or_given(tmp_path: Path) -> None:
    path = save(tmp_path / "image.png", scene_mm() * 8)
    assert assumed(read_depth(path), "unit=0.125 ")
    assert assumed(read_depth(path, unit=1.0), "unit=0.125 ")
    assert not read_depth(path, unit=0.125).assumptions
    assert not assumed(read_depth(save(path, scene_mm())), "may be wrong")


def test_extreme_numbers_do_not_overflow(tmp_path: Path) -> None:
    values = np.full((HEIGHT, WIDTH), 1e-30)
    values[:30] = 1e6
    depth = read_depth(save(tmp_path / "image.npy", values), unit=1e33)
    assert np.isfinite(depth.depth_mm).all()
    assert depth.depth_mm[59, 0] == 1000.0


def test_the_message_of_a_missing_file_names_it(tmp_path: Path) -> None:
    with pytest.raises(DepthError, match=r"nowhere\.png: does not exist"):
        read_depth(str(tmp_path / "nowhere.png"))


def test_depth_files_by_name() -> None:
    assert all(is_depth_file(f"a/b{suffix}") for suffix in (".png", ".tif", ".tiff", ".npy", ".npz", ".exr"))
    assert is_depth_file(Path("IMAGE.PNG"))
    assert not any(is_depth_file(name) for name in ("camera.json", "picture.jpg", "png", "readme"))
