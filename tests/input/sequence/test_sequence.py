"""Frames from folders and stacks, and what is said of bad ones."""

import errno
import json
import pickle
import time
from collections.abc import Callable, Generator
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from handopt.errors import CameraError, DepthError, HandoptError
from handopt.input.depth import read_depth
from handopt.input.sequence import SourceError, open_source
from handopt.input.sequence.base import SequenceFrame, is_seekable
from handopt.input.sequence.folder import natural
from handopt.input.sequence.prefetch import prefetch
from handopt.input.sequence.stream_info import SourceOptions

ASKED = SourceOptions(camera="200,200,20,15", unit=0.5)
SIZE = (30, 40)


def picture(value: int, size: tuple[int, int] = SIZE) -> NDArray[np.uint16]:
    return np.full(size, 1000 + value, np.uint16)


def write(path: Path, counts: NDArray[np.uint16]) -> None:
    Image.fromarray(counts).save(path)


def stack(count: int = 4) -> NDArray[np.uint16]:
    return np.stack([picture(index) for index in range(count)])


def folder_of(path: Path) -> Path:
    path.mkdir()
    for index in (10, 2, 1):
        write(path / f"frame{index}.png", picture(index))
    return path


def npy(path: Path) -> Path:
    np.save(path / "stack.npy", stack())
    return path / "stack.npy"


def npz(path: Path) -> Path:
    np.savez_compressed(path / "stack.npz", other=np.zeros(3), depth=stack())
    return path / "stack.npz"


def tiff(path: Path) -> Path:
    first, *others = [Image.fromarray(page) for page in stack()]
    first.save(path / "stack.tif", save_all=True, append_images=others)
    return path / "stack.tif"


STACKS = pytest.mark.parametrize("made", [npy, npz, tiff], ids=["npy", "npz", "tiff"])


def test_a_folder_is_read_in_natural_order(tmp_path: Path) -> None:
    source = open_source(folder_of(tmp_path / "frames"), ASKED)
    frames = list(source)
    assert [frame.name for frame in frames] == ["frame1.png", "frame2.png", "frame10.png"]
    assert [frame.depth_mm[0, 0] for frame in frames] == [500.5, 501.0, 505.0]
    assert (source.length, source.fps, source.unit_mm) == (3, None, 0.5)
    assert sorted(["b10", "b9", "a", "10", "9"], key=natural) == ["9", "10", "a", "b9", "b10"]


@STACKS
def test_stacks_give_their_pages(made, tmp_path: Path) -> None:
    source = open_source(made(tmp_path), ASKED)
    for _ in range(2):  # they can be read again
        frames = list(source)
        assert [frame.depth_mm[0, 0] for frame in frames] == [500.0, 500.5, 501.0, 501.5]
        assert all(frame.depth_mm.shape == SIZE and frame.problem is None for frame in frames)
    assert source.length == 4


def test_camera_unit_and_hand_come_from_beside_the_frames(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "frames")
    camera = {"fx": 200, "fy": 200, "cx": 20, "cy": 15, "width": 40, "height": 30}
    (folder / "camera.json").write_text(json.dumps({"camera": camera, "unit_mm": 0.25, "hand": "left"}))
    source = open_source(folder)
    assert (source.unit_mm, source.hand, source.camera.fx) == (0.25, "left", 200)
    assert any("camera.json" in note for note in source.assumptions)


def test_a_stack_without_a_camera_asks_for_one(tmp_path: Path) -> None:
    with pytest.raises(CameraError, match="camera="):
        open_source(npy(tmp_path))


def test_metres_are_told_from_millimetres(tmp_path: Path) -> None:
    np.save(tmp_path / "metres.npy", np.full((2, *SIZE), 0.5, np.float32))
    source = open_source(tmp_path / "metres.npy", SourceOptions(camera="200,200,20,15"))
    assert next(iter(source)).depth_mm[0, 0] == pytest.approx(500)


def test_what_is_no_measurement_becomes_0(tmp_path: Path) -> None:
    values = np.full((1, *SIZE), 500.0, np.float32)
    values[0, 0, :4] = np.nan, np.inf, -3, 1e9
    np.save(tmp_path / "values.npy", values)
    depth = next(iter(open_source(tmp_path / "values.npy", SourceOptions(camera="200,200,20,15", unit=1.0)))).depth_mm
    assert depth[0, :5].tolist() == [0, 0, 0, 0, 500]


@pytest.mark.parametrize(
    ("dtype", "unit"),
    [
        *product(("<u2", ">u2", "<i4"), (1.0, 1000.0)),
        *product(("<f4", ">f4", "<f8"), (0.001, 1.0, 1000.0)),
    ],
)
def test_a_frame_of_a_sequence_has_the_depth_that_the_image_has_alone(dtype: str, unit: float, tmp_path: Path) -> None:
    """Nothing measured, saturated, too far and negative, all told alike; only in a sequence there are no notes."""
    counts = np.full(SIZE, max(1.0, 500.0 / unit))
    counts[0, :2] = 0, 65535
    if dtype[1] != "u":
        counts[0, 2] = -3
    if dtype[1] == "f":
        counts[0, 3:9] = np.nan, np.inf, -np.inf, 3e38, 2e6 / unit, 0.9e6 / unit
    np.save(tmp_path / "image.npy", counts.astype(dtype))
    np.save(tmp_path / "stack.npy", counts.astype(dtype)[None])
    alone = read_depth(tmp_path / "image.npy", unit=unit).depth_mm
    options = SourceOptions(camera="200,200,20,15", unit=unit)
    within = next(iter(open_source(tmp_path / "stack.npy", options))).depth_mm
    np.testing.assert_allclose(within, alone, rtol=2e-7)
    assert ((within > 0) == (alone > 0)).all()
    assert not within[0, 0]
    # In integers 65535 is a constant that means no depth; in floats, among larger numbers, it is one, if not too far.
    assert (within[0, 1] > 0) == (dtype[1] == "f" and unit < 1000)
    if dtype[1] == "f":
        assert not within[0, 2:8].any()
        assert within[0, 8] == pytest.approx(0.9e6)


def test_a_first_frame_without_depth_is_a_frame(tmp_path: Path) -> None:
    pages = stack()
    pages[0] = 0
    np.save(tmp_path / "stack.npy", pages)
    frames = list(open_source(tmp_path / "stack.npy", SourceOptions(camera="200,200,20,15", unit=1.0)))
    assert not frames[0].depth_mm.any()
    assert frames[0].problem is None
    assert frames[1].depth_mm.all()


def test_bad_images_of_a_folder_say_so_and_the_rest_is_read(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "frames")
    (folder / "frame3.png").write_bytes((folder / "frame2.png").read_bytes()[:40])
    (folder / "frame4.png").write_bytes(b"")
    (folder / "frame5.png").write_text("no image")
    write(folder / "frame6.png", picture(6, (20, 20)))
    frames = {frame.name: frame for frame in open_source(folder, ASKED)}
    problems = {name: frame.problem or "" for name, frame in frames.items()}
    assert "damaged" in problems["frame3.png"]
    assert "empty" in problems["frame4.png"]
    assert "not an image" in problems["frame5.png"]
    assert "is 20 x 20 pixels, the first frame 40 x 30" in problems["frame6.png"]
    for name in ("frame3.png", "frame6.png"):
        assert frames[name].depth_mm.shape == SIZE
        assert not frames[name].depth_mm.any()
    assert frames["frame10.png"].depth_mm.all()


def test_a_frame_that_goes_while_the_folder_is_read_says_so(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "frames")
    source = open_source(folder, ASKED)
    (folder / "frame2.png").unlink()
    problems = [frame.problem for frame in source]
    assert problems[0] is None
    assert "does not exist" in str(problems[1])


@pytest.mark.parametrize("made", [npy, tiff], ids=["npy", "tiff"])
def test_a_stack_that_changes_while_it_is_read_ends_with_a_reason(made, tmp_path: Path) -> None:
    path = made(tmp_path)
    source = open_source(path, ASKED)
    taken = []
    with pytest.raises(SourceError, match=r"changed while it was read, at frame 1.*track it again"):  # noqa: PT012
        for frame in source:
            taken.append(frame)
            with path.open("ab") as file:
                file.write(b"more")
    assert len(taken) == 1


def test_a_stack_that_disappears_ends_with_a_reason(tmp_path: Path) -> None:
    path = npy(tmp_path)
    frames = iter(open_source(path, ASKED))
    next(frames)
    path.unlink()
    with pytest.raises(SourceError, match="changed"):
        list(frames)


@pytest.mark.parametrize("made", [npy, tiff], ids=["npy", "tiff"])
def test_a_truncated_stack_gives_what_it_has(made, tmp_path: Path) -> None:
    path = made(tmp_path)
    path.write_bytes(path.read_bytes()[: int(0.6 * path.stat().st_size)])
    frames = list(open_source(path, ASKED))
    assert frames[0].problem is None
    assert "cut short" in str(frames[-1].problem)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty"),
        (b"text, no frames", "not a sequence"),
        (b"\x93NUMPY\x01\x00", "damaged"),
        (b"PK\x03\x04", "damaged"),
    ],
)
def test_files_that_are_no_sequence_are_refused(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "file.npy").write_bytes(content)
    with pytest.raises(HandoptError, match=message):
        open_source(tmp_path / "file.npy", ASKED)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((30, 40), np.uint16), "handopt fit"),
        (np.ones((2, 30, 40), np.uint8), "8-bit"),
        (np.ones((2, 30, 40), complex), "type complex"),
        (np.asfortranarray(stack()), "Fortran"),
        (np.zeros((2, 30, 40), np.uint16), "nothing is measured"),
        (np.ones((2, 3, 4), np.uint16), "at least"),
        (np.zeros((0, 30, 40), np.uint16), "no images"),
    ],
)
def test_arrays_that_are_no_sequence_are_refused(array: NDArray, message: str, tmp_path: Path) -> None:
    np.save(tmp_path / "stack.npy", array)
    with pytest.raises(HandoptError, match=message):
        open_source(tmp_path / "stack.npy", ASKED)


def test_folders_without_depth_and_paths_without_anything_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="does not exist"):
        open_source(tmp_path / "nothing", ASKED)
    with pytest.raises(SourceError, match="no depth images"):
        open_source(tmp_path, ASKED)
    write(tmp_path / "black.png", np.zeros(SIZE, np.uint16))
    with pytest.raises(DepthError, match="nothing is measured"):
        open_source(tmp_path, ASKED)


def test_a_folder_that_may_not_be_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = folder_of(tmp_path / "frames")

    def denied(self: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    monkeypatch.setattr(Path, "iterdir", denied)
    with pytest.raises(SourceError, match=r"the folder .* cannot be read: Permission denied"):
        open_source(folder, ASKED)


def test_reading_ahead_keeps_order_errors_and_stops_early() -> None:
    def items():
        yield from range(5)
        raise SourceError("gone")

    taken = []
    with pytest.raises(SourceError, match="gone"):  # noqa: PT012
        for item in prefetch(items()):
            taken.append(item)
    assert taken == [0, 1, 2, 3, 4]
    made: list[int] = []

    def endless():
        while True:
            made.append(len(made))
            yield made[-1]

    reader = prefetch(endless(), depth=2)
    assert next(reader) == 0
    assert isinstance(reader, Generator)
    reader.close()
    stopped = len(made)
    time.sleep(0.05)
    assert len(made) == stopped <= 5


def test_frames_know_their_place() -> None:
    frame = SequenceFrame(3, "x", np.zeros(SIZE, np.float32))
    assert (frame.time_s, frame.problem) == (None, None)


def test_numbers_in_names_sort_by_value_and_superscripts_are_text() -> None:
    names = ["b", "a10", "a9", "a²1", "a²", "10", "9"]
    assert sorted(names, key=natural) == ["9", "10", "a9", "a10", "a²", "a²1", "b"]


@pytest.mark.parametrize("make", [npy, npz, lambda path: folder_of(path / "frames")])
def test_frames_can_be_read_from_any_one_on(make: Callable[[Path], Path], tmp_path: Path) -> None:
    source = pickle.loads(pickle.dumps(open_source(make(tmp_path), ASKED)))
    every = list(source)
    assert is_seekable(source)
    assert source.length == len(every)
    for first in range(len(every) + 1):
        found = list(source.frames_from(first))
        assert [(each.index, each.name) for each in found] == [(each.index, each.name) for each in every[first:]]
        assert all((one.depth_mm == other.depth_mm).all() for one, other in zip(found, every[first:], strict=True))


def test_pages_of_a_tiff_file_are_read_from_the_first_one_on(tmp_path: Path) -> None:
    assert not is_seekable(open_source(tiff(tmp_path), ASKED))
