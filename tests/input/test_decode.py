"""Decoding image files: what is read, and what is refused before it is decoded."""

import importlib.util
import os
import struct
import tracemalloc
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from support.image_bytes import (
    SCENE,
    SHAPE,
    exr_bytes,
    npy_announcing,
    npy_bytes,
    png_bytes,
    png_header,
    save_png,
    zipped,
)
from support.permissions import forbid

from handopt.errors import DepthError
from handopt.input import decode
from handopt.input.decode import decode_file


def refused(path: Path, message: str) -> None:
    """Check that a file is refused, by name and reason."""
    with pytest.raises(DepthError, match=message) as caught:
        decode_file(path, [])
    assert str(path) in str(caught.value)


def no_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every decoder fail a test that reaches it."""

    def reached(*_args: Any, **_options: Any) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr(Image.Image, "load", reached)
    monkeypatch.setattr(np.lib.format, "read_array", reached)
    monkeypatch.setattr(iio, "imread", reached)


@pytest.mark.parametrize("seed", range(8))
def test_random_16_bit_png_and_tiff_come_back(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    height, width = rng.integers(8, 50, 2)
    values = rng.integers(0, 65536, (height, width)).astype(np.uint16)
    path = tmp_path / "image"
    for options in (
        {"format_name": "PNG"},
        {"format_name": "TIFF"},
        {"format_name": "TIFF", "compression": "tiff_lzw"},
    ):
        path.write_bytes(png_bytes(values, **options))
        np.testing.assert_array_equal(decode_file(path, []), values)


@pytest.mark.parametrize("dtype", ["float32", "int32", ">u2"])
def test_other_tiffs(tmp_path: Path, dtype: str) -> None:
    path = tmp_path / "image.tif"
    values = SCENE.astype(dtype)
    path.write_bytes(png_bytes(values, "TIFF"))
    np.testing.assert_array_equal(decode_file(path, []), values)


@pytest.mark.parametrize("dtype", ["uint16", "int32", "int64", "float16", "float32", ">f8"])
@pytest.mark.parametrize("shape", [SHAPE, (1, *SHAPE), (*SHAPE, 1)])
def test_npy(tmp_path: Path, dtype: str, shape: tuple[int, ...]) -> None:
    path = tmp_path / "image.npy"
    values = np.asfortranarray(SCENE.astype(dtype).reshape(shape))
    np.save(path, values)
    np.testing.assert_array_equal(decode_file(path, []), values)


def test_what_a_file_is_does_not_hang_on_its_name(tmp_path: Path) -> None:
    path = tmp_path / "image.tiff"
    path.write_bytes(npy_bytes(SCENE))
    np.testing.assert_array_equal(decode_file(path, []), SCENE)


def test_npz_takes_the_array_called_depth(tmp_path: Path) -> None:
    path = tmp_path / "image.npz"
    notes: list[str] = []
    np.savez_compressed(path, first=SCENE * 0, depth=SCENE)
    np.testing.assert_array_equal(decode_file(path, notes), SCENE)
    assert not notes


def test_npz_takes_the_only_image_or_says_which(tmp_path: Path) -> None:
    path = tmp_path / "image.npz"
    notes: list[str] = []
    np.savez(path, SCENE)
    np.testing.assert_array_equal(decode_file(path, notes), SCENE)
    assert not notes
    np.savez(path, k=np.eye(3)[0], mask=SCENE > 0, grey=SCENE.astype(np.uint8), z=SCENE, other=SCENE * 2)
    np.testing.assert_array_equal(decode_file(path, notes), SCENE)
    assert "'z'" in notes[0]


def exr_reader(monkeypatch: pytest.MonkeyPatch, **answers: Any) -> None:
    """Let imageio answer with these arrays: `pyav` where that plugin is asked for, `other` where none is."""

    def imread(_path: Path, **options: Any) -> NDArray[Any]:
        warnings.warn("a plugin's own warning", UserWarning, stacklevel=1)
        answer = answers.get(options.get("plugin", "other"))
        if answer is None:
            raise OSError("could not find a backend")
        return np.asarray(answer)

    monkeypatch.setattr(iio, "imread", imread)


DEPTH_M = (SCENE / 1000).astype(np.float32)


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ({"pyav": DEPTH_M[None]}, False),
        ({"pyav": np.stack([DEPTH_M] * 3)[None]}, True),
        ({"pyav": np.stack([*[DEPTH_M] * 3, DEPTH_M * 0])[None]}, True),
        ({"other": DEPTH_M}, False),
        ({"other": DEPTH_M[..., None]}, False),
        ({"other": np.stack([DEPTH_M] * 3, axis=-1)}, True),
        ({"pyav": SCENE[None], "other": DEPTH_M}, False),
    ],
)
def test_exr_through_imageio(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answers: dict[str, Any], said: bool
) -> None:
    path = tmp_path / "image.exr"
    notes: list[str] = []
    path.write_bytes(exr_bytes(DEPTH_M))
    exr_reader(monkeypatch, **answers)
    np.testing.assert_array_equal(decode_file(path, notes), DEPTH_M)
    assert bool(notes) == said


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ({}, r"imageio\[pyav\].*convert it to a 32-bit float TIFF or \.npy"),
        ({"other": SCENE.astype(np.uint8)}, "finds no reader"),
        ({"pyav": np.stack([DEPTH_M, DEPTH_M * 2, DEPTH_M])[None]}, "channels differ"),
        ({"pyav": DEPTH_M[:-1]}, r"shape \(23, 32\)"),
    ],
)
def test_exr_that_cannot_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answers: dict[str, Any], message: str
) -> None:
    path = tmp_path / "image.exr"
    path.write_bytes(exr_bytes(DEPTH_M))
    exr_reader(monkeypatch, **answers)
    refused(path, message)


def test_exr_with_the_readers_of_this_machine(tmp_path: Path) -> None:
    """Whether a reader is installed or not: the right depth, or advice."""
    path = tmp_path / "image.exr"
    path.write_bytes(exr_bytes(DEPTH_M).replace(b"Z\0", b"Y\0", 1))
    if importlib.util.find_spec("av"):
        np.testing.assert_array_equal(decode_file(path, []), DEPTH_M)
    else:
        refused(path, "convert it to")


def test_missing_folder_fifo_and_unreadable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused(tmp_path / "missing.png", "does not exist")
    refused(tmp_path, "is a folder")
    os.mkfifo(tmp_path / "pipe.png")
    refused(tmp_path / "pipe.png", "not a regular file")
    refused(tmp_path / ("x" * 5000), "cannot be read")
    path = save_png(tmp_path / "locked.png", SCENE)
    forbid(monkeypatch, path)
    refused(path, "Permission denied")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty"),
        (b"hello, this is text", r"not an image.*16-bit PNG"),
        (b"\x89P", "not an image"),
        (png_bytes(np.zeros((16, 16, 3), np.uint8), "JPEG"), "JPEG"),
        (png_bytes(np.zeros((16, 16), np.uint8), "BMP"), "not an image"),
        (b"\x89PNG\r\n\x1a\n" + b"junk" * 20, "damaged"),
        (b"II*\0" + b"junk" * 20, "damaged"),
        (b"v/1\x01" + b"junk" * 20, "damaged EXR"),
        (b"v/1\x01junkdataWindow\0box2i\0", "damaged EXR"),
        (b"\x93NUMPY", "damaged array header"),
        (b"\x93NUMPY\x01\x00\x10\x00{'descr': '<f4'}", "damaged array header"),
        (b"\x93NUMPY\x02\x00\xff\xff\xff\x7f{'descr'", "damaged array header"),
        (b"\x93NUMPY\x09\x00" + npy_bytes(SCENE)[8:], "damaged"),
        (b"PK\x03\x04" + b"junk" * 20, "damaged"),
        (zipped({}), "no arrays"),
        (zipped({"readme.txt": b"hello"}), "no arrays"),
        (zipped({"a.npy": b"hello"}), "damaged array header"),
        (zipped({"a.npy": npy_bytes(np.eye(3)[0])}), r"no 2D array.*a \(3,\) float64"),
        (zipped({"depth.npy": npy_bytes(np.array([[{}]], object), allow_pickle=True)}), "Python objects"),
        (npy_bytes(np.full(SHAPE, None), allow_pickle=True), "Python objects"),
        (npy_bytes(np.zeros(SHAPE, np.complex64)), "complex64"),
        (npy_bytes(np.zeros(SHAPE, "U3")), "<U3"),
        (npy_bytes(np.zeros(SHAPE, [("z", "f4")])), "values of type"),
        (npy_bytes(np.zeros((2, 3, *SHAPE), np.float32)), r"\(2, 3, 24, 32\)"),
        (npy_bytes(np.zeros((1, 1, *SHAPE), np.float32)), r"\(1, 1, 24, 32\)"),
        (npy_bytes(np.zeros((5, *SHAPE), np.float32)), "expected one image"),
        (npy_bytes(np.zeros((*SHAPE, 3), np.float32)), "3 values of type float32 per pixel"),
        (npy_bytes(np.zeros(100, np.float32)), "at least 8 pixels"),
        (npy_bytes(np.array(3.0)), "at least 8 pixels"),
        (npy_bytes(np.zeros((0, 32), np.float32)), "at least 8 pixels"),
        (npy_bytes(np.zeros((1, 640), np.float32)), "at least 8 pixels"),
        (png_bytes(np.ones((1, 1), np.uint16)), "at least 8 pixels"),
        (png_bytes(SCENE)[:-80], "damaged or cut short"),
        (png_bytes(SCENE, "TIFF")[:700], "damaged or cut short"),
        (npy_bytes(SCENE)[:-80], "damaged or cut short"),
        (zipped({"depth.npy": npy_bytes(SCENE)})[:300], "damaged"),
        (zipped({"depth.npy": npy_bytes(SCENE)[:-80]}), "damaged or cut short"),
        (png_header(16, 16, 16, 2, b"\0" * 16 * 97), "several channels of 16 bits"),
        (png_header(16, 16, 16, 4, b"\0" * 16 * 65), "several channels of 16 bits"),
    ],
)
def test_bad_files(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "bad.png"
    path.write_bytes(data)
    refused(path, message)


def test_a_tiff_of_several_pages(tmp_path: Path) -> None:
    path = tmp_path / "pages.tif"
    pages = [Image.fromarray(SCENE), Image.fromarray(SCENE)]
    pages[0].save(path, save_all=True, append_images=pages[1:])
    refused(path, "several images")


HUGE: list[tuple[str, Callable[[int, int], bytes]]] = [
    ("png", lambda width, height: png_header(width, height, 16, 0, b"\0" * 1000)),
    ("npy", lambda width, height: npy_announcing((height, width))),
    ("npz", lambda width, height: zipped({"depth.npy": npy_announcing((height, width), data=b"\0" * 10**6)})),
    ("exr", lambda width, height: exr_announcing(width, height)),
    ("tiff", lambda width, height: tiff_announcing(width, height)),
]


def exr_announcing(width: int, height: int) -> bytes:
    small = exr_bytes(SCENE.astype(np.float32))
    box = struct.pack("<4i", 0, 0, SHAPE[1] - 1, SHAPE[0] - 1)
    return small.replace(box, struct.pack("<4i", 0, 0, width - 1, height - 1))


def tiff_announcing(width: int, height: int) -> bytes:
    def entry(tag: int, value: int) -> bytes:
        return struct.pack("<HHII", tag, 4, 1, value)

    entries = [(256, width), (257, height), (258, 16), (259, 1), (262, 1), (273, 200), (277, 1), (278, height)]
    entries.append((279, 1000))
    ifd = struct.pack("<H", len(entries)) + b"".join(entry(tag, value) for tag, value in entries) + b"\0" * 4
    return (b"II*\0" + struct.pack("<I", 8) + ifd).ljust(200, b"\0") + b"\0" * 1000


@pytest.mark.parametrize("size", [(8000, 5001), (12_000, 9_000), (60_000, 60_000)])
@pytest.mark.parametrize(("kind", "make"), HUGE)
def test_huge_images_are_refused_undecoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, make: Callable[[int, int], bytes], size: tuple[int, int]
) -> None:
    path = tmp_path / f"huge.{kind}"
    path.write_bytes(make(*size))
    no_decoding(monkeypatch)
    refused(path, "million")


def test_the_largest_image_passes_the_check() -> None:
    decode.check_shape(Path("any"), (5000, 8000))
    with pytest.raises(DepthError, match="40 million"):
        decode.check_shape(Path("any"), (5000, 8001))


def test_a_huge_file_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save_png(tmp_path / "huge.png", SCENE)
    with path.open("r+b") as file:
        file.truncate(decode.MAX_BYTES + 1)
    no_decoding(monkeypatch)
    refused(path, "512 MiB")


def test_an_npz_bomb_is_not_inflated(tmp_path: Path) -> None:
    """64 MB of zeros follow a small array: they are never asked for."""
    path = tmp_path / "bomb.npz"
    path.write_bytes(zipped({"depth.npy": npy_bytes(SCENE) + bytes(1 << 26)}))
    tracemalloc.start()
    try:
        np.testing.assert_array_equal(decode_file(path, []), SCENE)
        assert tracemalloc.get_traced_memory()[1] < 1 << 23
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("make", [lambda: png_bytes(SCENE), lambda: png_bytes(SCENE, "TIFF"), lambda: npy_bytes(SCENE)])
def test_damaged_bytes_raise_nothing_but_depth_errors(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], rng: np.random.Generator, make: Callable[[], bytes]
) -> None:
    path = tmp_path / "fuzz"
    whole = make()
    refusals = []
    for _ in range(150):
        data = bytearray(whole[: rng.integers(len(whole) // 2, len(whole) + 1)])
        for position in rng.integers(0, len(data), rng.integers(1, 4)):
            data[position] = rng.integers(256)
        path.write_bytes(data)
        try:
            decode_file(path, [])
        except DepthError as error:
            refusals.append(str(error))
    assert len(refusals) > 50
    assert all(refusal.startswith(str(path)) for refusal in refusals)
    assert capfd.readouterr() == ("", "")
