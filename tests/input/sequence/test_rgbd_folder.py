"""Folders of TUM and Open3D: names, times, units and cameras, and lists that make no sense."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from handopt.errors import SourceError
from handopt.input.sequence import open_source
from handopt.input.sequence.stream_info import SourceOptions

SIZE = (48, 64)


def image(path: Path, counts: int, size: tuple[int, int] = SIZE) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full(size, counts, np.uint16)).save(path)


def tum(folder: Path, lines: str | None = None, size: tuple[int, int] = (480, 640)) -> Path:
    for place, name in enumerate(("1305031102.160407", "1305031102.194330")):
        image(folder / "depth" / f"{name}.png", 2500 + 5 * place, size)
    listed = "# depth maps\n# timestamp filename\n" + "".join(
        f"{name} depth/{name}.png\n" for name in ("1305031102.160407", "1305031102.194330")
    )
    (folder / "depth.txt").write_text(listed if lines is None else lines)
    return folder


def test_a_tum_folder_has_times_and_fifths_of_millimetres(tmp_path: Path) -> None:
    source = open_source(tum(tmp_path))
    frames = list(source)
    assert [float(frame.depth_mm[0, 0]) for frame in frames] == [500.0, 501.0]
    assert [frame.time_s for frame in frames] == [1305031102.160407, 1305031102.194330]
    assert (source.camera.fx, source.camera.cx, source.unit_mm) == (525.0, 319.5, 0.2)
    assert any("One count is 0.2 mm" in note for note in source.assumptions)
    assert any("default of the TUM" in note for note in source.assumptions)


def test_what_the_user_says_counts_more(tmp_path: Path) -> None:
    source = open_source(tum(tmp_path), SourceOptions(camera="517.3,516.5,318.6,255.3", unit=1.0, fps=10.0))
    frame = next(iter(source))
    assert (frame.depth_mm[0, 0], frame.time_s, source.camera.fx) == (2500.0, None, 517.3)
    assert not any("default of the TUM" in note for note in source.assumptions)


@pytest.mark.parametrize("colour", ["color", "image"])
def test_an_open3d_folder_has_its_intrinsics(colour: str, tmp_path: Path) -> None:
    (tmp_path / colour).mkdir()
    image(tmp_path / "depth" / "000001.png", 700)
    matrix = [60.0, 0, 0, 0, 61.0, 0, 31.0, 24.0, 1]
    document = {"width": SIZE[1], "height": SIZE[0], "intrinsic_matrix": matrix}
    (tmp_path / "camera_intrinsic.json").write_text(json.dumps(document))
    source = open_source(tmp_path)
    assert next(iter(source)).depth_mm[3, 3] == 700.0
    assert (source.camera.fx, source.camera.fy, source.camera.cx, source.camera.cy) == (60.0, 61.0, 31.0, 24.0)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("# nothing\n", "lists no images"),
        ("1.0\n", "line 1 is not a time in seconds"),
        ("nan depth/a.png\n", "line 1 is not a time in seconds"),
        ("1.0 ../../secret.png\n", "line 1 names a file outside"),
        ("1.0 /etc/hosts\n", "line 1 names a file outside"),
        ("2.0 depth/a.png\n1.0 depth/b.png\n", "do not rise"),
    ],
)
def test_a_list_that_makes_no_sense_is_refused(lines: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=message):
        open_source(tum(tmp_path, lines, SIZE))


def test_an_image_that_is_gone_is_a_frame_with_a_problem(tmp_path: Path) -> None:
    (tum(tmp_path) / "depth" / "1305031102.194330.png").unlink()
    assert ["does not exist" in (frame.problem or "") for frame in open_source(tmp_path)] == [False, True]


COLOUR = SourceOptions(colour=True)


def test_the_pictures_of_tum_are_those_of_the_nearest_time(tmp_path: Path) -> None:
    tum(tmp_path)
    with pytest.raises(SourceError, match=r"rgb.txt: .* copy it again"):
        open_source(tmp_path, COLOUR)
    for name, grey in (("1305031102.175304", 90), ("1305031102.211214", 200)):
        (tmp_path / "rgb").mkdir(exist_ok=True)
        Image.fromarray(np.full((480, 640, 3), grey, np.uint8)).save(tmp_path / "rgb" / f"{name}.png")
    (tmp_path / "rgb.txt").write_text("".join(
        f"{name} rgb/{name}.png\n" for name in ("1305031102.175304", "1305031102.211214")
    ))  # fmt: skip
    shown = [frame.colour for frame in open_source(tmp_path, COLOUR)]
    assert [None if each is None else int(each[7, 5, 1]) for each in shown] == [90, 200]
    assert [frame.colour for frame in open_source(tmp_path)] == [None, None], "nobody asked for it"


def test_the_pictures_of_open3d_come_in_order(tmp_path: Path) -> None:
    for number in (1, 2):
        image(tmp_path / "depth" / f"{number:06d}.png", 700)
        (tmp_path / "color").mkdir(exist_ok=True)
        Image.fromarray(np.full((*SIZE, 3), 50 * number, np.uint8)).save(tmp_path / "color" / f"{number:05d}.jpg")
    given = SourceOptions(camera="60,61,31,24", colour=True)
    shown = [frame.colour for frame in open_source(tmp_path, given)]
    assert [None if each is None else int(each[7, 5, 1]) for each in shown] == [50, 100]
    (tmp_path / "color" / "00002.jpg").unlink()
    with pytest.raises(SourceError, match="has 1 pictures for 2 depth images"):
        open_source(tmp_path, given)
    with pytest.raises(SourceError, match="has no colour pictures of the depth camera's view"):
        open_source(tmp_path / "depth", given)
