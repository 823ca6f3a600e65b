"""Recordings of Record3D, made with the encoder of pyliblzfse."""

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.recordings import write_record3d

from handopt.errors import CameraError, DepthError, SourceError
from handopt.input.sequence import open_source
from handopt.input.sequence.stream_info import SourceOptions

liblzfse = pytest.importorskip(
    "liblzfse", reason="liblzfse not found: pip install '.[record3d]' in handopt's source folder"
)

ROWS, COLUMNS = 256, 192
FACTS = {"w": 720, "h": 960, "fps": 60, "K": [800.0, 0, 0, 0, 801.0, 0, 360.0, 480.0, 1]}


def depths(count: int = 3) -> list[np.ndarray]:
    rng = np.random.default_rng(6)
    return [rng.uniform(0.3, 0.9, (ROWS, COLUMNS)).astype(np.float32) for _ in range(count)]


def write(path: Path, images: list[Any], facts: Any = FACTS) -> Path:
    return write_record3d(path, images, facts)


def test_frames_are_metres_in_the_camera_at_the_size_of_the_depth(tmp_path: Path) -> None:
    images = depths(11)
    images[0][:] = np.nan
    images[1][5, 7] = np.nan
    source = open_source(write(tmp_path / "a.r3d", images), SourceOptions())
    frames = list(source)
    assert len(frames) == source.length == 11
    for frame, image in zip(frames, images, strict=True):
        assert np.allclose(frame.depth_mm, 1000 * np.nan_to_num(image), atol=1e-3)
    assert (source.camera.width, source.camera.height, source.fps) == (COLUMNS, ROWS, 60.0)
    assert source.camera.fx == pytest.approx(800 * 192 / 720)
    assert source.camera.fy == pytest.approx(801 * 256 / 960)


def test_a_frame_that_is_damaged_says_so_and_the_others_are_read(tmp_path: Path) -> None:
    one, _, three = depths()
    facts = {**FACTS, "dw": COLUMNS, "dh": ROWS}
    frames = list(open_source(write(tmp_path / "a.r3d", [one, b"damaged", three[:9]], facts), SourceOptions()))
    assert [frame.problem is None for frame in frames] == [True, False, False]
    assert "rgbd/1.depth is damaged" in str(frames[1].problem)
    assert f"has {9 * COLUMNS} values" in str(frames[2].problem)


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    with pytest.raises(CameraError, match="have no K, w and h"):
        open_source(write(tmp_path / "a.r3d", depths(1), {"fps": 30}), SourceOptions())
    with pytest.raises(SourceError, match="no JSON object"):
        open_source(write(tmp_path / "b.r3d", depths(1), [1]), SourceOptions())
    with pytest.raises(SourceError, match="holds no depth"):
        open_source(write(tmp_path / "c.r3d", []), SourceOptions())
    with pytest.raises(DepthError, match="of which size nothing is said"):
        open_source(write(tmp_path / "d.r3d", [np.ones((3, 7), np.float32)]), SourceOptions())
    with pytest.raises(DepthError, match="nothing is measured"):
        open_source(write(tmp_path / "e.r3d", [np.zeros((ROWS, COLUMNS), np.float32)]), SourceOptions())


def test_a_file_that_a_later_zip_wrote_is_refused(tmp_path: Path) -> None:
    data = bytearray(write(tmp_path / "a.r3d", depths(1)).read_bytes())
    at = data.index(b"PK\x01\x02") + 6  # the version of zip that is needed, in the directory
    data[at] = 128
    (tmp_path / "a.r3d").write_bytes(data)
    with pytest.raises(DepthError, match="zip file version"):
        open_source(tmp_path / "a.r3d", SourceOptions())


def jpeg(colour: tuple[int, int, int], size: tuple[int, int] = (720, 960)) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, "JPEG", quality=95)
    return file.getvalue()


def test_pictures_have_the_size_of_the_depth(tmp_path: Path) -> None:
    pictures = [jpeg((200, 40, 10)), b"damaged", jpeg((10, 40, 200), (960, 720)), jpeg((10, 40, 200))]
    path = write_record3d(tmp_path / "a.r3d", depths(4), FACTS, pictures)
    shown = [frame.colour for frame in open_source(path, SourceOptions(colour=True))]
    assert shown[0] is not None
    assert shown[0].shape == (ROWS, COLUMNS, 3)
    assert shown[0][5, 7].tolist() == pytest.approx([200, 40, 10], abs=3)
    assert shown[1:3] == [None, None], "damaged, and of another view"
    assert shown[3] is not None
    assert [frame.colour for frame in open_source(path)] == [None] * 4, "nobody asked for it"
    turned = [frame.colour for frame in open_source(path, SourceOptions(colour=True, mirrored=True))]
    assert turned[0] is not None


def test_a_recording_without_pictures_says_so(tmp_path: Path) -> None:
    path = write(tmp_path / "a.r3d", depths(1))
    with zipfile.ZipFile(path) as whole, zipfile.ZipFile(tmp_path / "b.r3d", "w") as bare:
        for name in whole.namelist():
            if not name.endswith(".jpg"):
                bare.writestr(name, whole.read(name))
    with pytest.raises(SourceError, match=r"has no colour pictures \(rgbd/0.jpg\); leave colour out"):
        open_source(tmp_path / "b.r3d", SourceOptions(colour=True))
