"""Headers of .npy streams: read once, bounded, with the stream left at the first value."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from handopt.errors import DepthError
from handopt.input.npy import read_npy_array, read_npy_header

VALUES = np.arange(60, dtype=">u2").reshape(3, 4, 5)


def as_bytes(values: np.ndarray, version: tuple[int, int] = (1, 0)) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, values, version=version)
    return stream.getvalue()


@pytest.mark.parametrize("version", [(1, 0), (2, 0)])
@pytest.mark.parametrize("fortran", [False, True])
def test_the_stream_is_left_at_the_first_value(version: tuple[int, int], fortran: bool) -> None:
    values = np.asfortranarray(VALUES) if fortran else VALUES
    stream = io.BytesIO(b"before" + as_bytes(values, version))
    stream.seek(6)
    header = read_npy_header(Path("a.npy"), stream)
    assert header == ((3, 4, 5), fortran, np.dtype(">u2"))
    assert stream.read(4) == values.tobytes("A")[:4]


def test_a_compressed_member_is_left_at_its_first_value_too(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("depth.npy", as_bytes(VALUES))
    with zipfile.ZipFile(tmp_path / "a.npz") as archive, archive.open("depth.npy") as file:
        assert read_npy_header(tmp_path / "a.npz", file).shape == (3, 4, 5)
        assert file.read() == VALUES.tobytes()


def test_no_more_than_64_kib_are_read_for_a_header() -> None:
    class Counting(io.BytesIO):
        taken = 0

        def read(self, size: int | None = -1) -> bytes:
            data = super().read(size)
            self.taken += len(data)
            return data

    stream = Counting(as_bytes(np.zeros(1 << 18, np.uint8)))
    read_npy_header(Path("a.npy"), stream)
    assert stream.taken == 1 << 16


@pytest.mark.parametrize("data", [b"", b"\x93NUMPY", b"\x93NUMPY\x02\x00\xff\xff\xff\x7f{'descr'", b"text" * 20])
def test_a_damaged_header_names_the_file(data: bytes) -> None:
    with pytest.raises(DepthError, match=r"some/file\.npy: has a damaged array header"):
        read_npy_header(Path("some/file.npy"), io.BytesIO(data))


def test_an_array_that_is_cut_short_names_the_file() -> None:
    np.testing.assert_array_equal(read_npy_array(Path("a.npy"), io.BytesIO(as_bytes(VALUES))), VALUES)
    with pytest.raises(DepthError, match=r"a\.npy: is damaged or cut short"):
        read_npy_array(Path("a.npy"), io.BytesIO(as_bytes(VALUES)[:-7]))
