"""PGM, TIFF of either byte order, and files without a header."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.commands import run

from handopt.errors import DepthError
from handopt.input.depth import read_depth
from handopt.input.plain_files import raw_layout

COUNTS = np.arange(400, 400 + 20 * 30, dtype=np.uint16).reshape(20, 30)


def test_pgm_of_16_bits_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.pgm"
    path.write_bytes(b"P5\n# a comment\n30 20\n65535\n" + COUNTS.astype(">u2").tobytes())
    assert np.array_equal(read_depth(path, unit=1.0).depth_mm, COUNTS)
    path.write_bytes(b"P5 30 20 255\n" + bytes(600))
    with pytest.raises(DepthError, match="8-bit"):
        read_depth(path)
    for content, problem in (
        (b"P5\n30 20\n65535\n" + bytes(100), "is cut short, it has 100 of 1200 bytes"),
        (b"P5\nwide 20\n", "PGM header is damaged"),
        (b"P5\n30 20\n70000\n" + bytes(1200), "states 70000 as its largest value"),
        (b"P5\n999999 999999\n65535\n", "pixels, the limit is"),
    ):
        path.write_bytes(content)
        with pytest.raises(DepthError, match=problem):
            read_depth(path)


def test_tiff_of_either_byte_order_is_read(tmp_path: Path) -> None:
    import struct

    Image.fromarray(COUNTS).save(tmp_path / "little.tif")
    tags = [
        (256, 30),
        (257, 20),
        (258, 16),
        (259, 1),
        (262, 1),
        (273, 8 + 2 + 12 * 9 + 4),
        (277, 1),
        (278, 20),
        (279, 1200),
    ]
    header = b"MM\0*" + struct.pack(">I", 8) + struct.pack(">H", len(tags))
    header += b"".join(struct.pack(">HHII", tag, 4, 1, value) for tag, value in tags) + bytes(4)
    (tmp_path / "big.tif").write_bytes(header + COUNTS.astype(">u2").tobytes())
    for name in ("little.tif", "big.tif"):
        assert np.array_equal(read_depth(tmp_path / name, unit=1.0).depth_mm, COUNTS), name


def test_files_without_a_header_need_their_layout(tmp_path: Path) -> None:
    path = tmp_path / "a.raw"
    for kind, stored in (("uint16", "<u2"), (">uint16", ">u2"), ("float32", "<f4")):
        path.write_bytes(COUNTS.astype(stored).tobytes())
        assert np.array_equal(read_depth(path, unit=1.0, encoding=f"30x20:{kind}").depth_mm, COUNTS)
    with pytest.raises(DepthError, match="has 2400 bytes, but 30 x 20 of uint16 are 1200"):
        read_depth(path, encoding="30x20:uint16")
    with pytest.raises(DepthError, match="or such as 640x480:uint16"):
        read_depth(path, encoding="30x20:complex64")
    assert raw_layout("0x20:uint16") is None


def test_the_command_says_which_types_there_are(tmp_path: Path) -> None:
    (tmp_path / "a.raw").write_bytes(bytes(1200))
    done = run("fit", tmp_path / "a.raw", "--encoding", "30x20:int4")
    assert done.exit_code == 2
    assert "'30x20:int4' is not WIDTHxHEIGHT:TYPE, such as 640x480:uint16; types are uint16, int16" in done.stderr
