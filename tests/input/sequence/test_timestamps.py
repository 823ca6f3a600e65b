"""Times of frames that sources know."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from handopt.errors import DepthError
from handopt.input.sequence import open_source
from handopt.input.sequence.stream_info import SourceOptions
from handopt.input.timestamps import time_of

ASKED = SourceOptions(camera="200,200,20,15", unit=0.5)
RATED = SourceOptions(camera="200,200,20,15", unit=0.5, fps=15.0)
STACK = np.full((3, 30, 40), 1000, np.uint16)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for index in range(3):
        Image.fromarray(STACK[index]).save(tmp_path / f"{index}.png")
        (tmp_path / f"{index}.json").write_text(json.dumps({"sequence": {"frame": index, "time_s": 0.1 * index**2}}))
    return tmp_path


def npz(path: Path, **arrays: object) -> Path:
    np.savez(path / "stack.npz", depth=STACK, **arrays)
    return path / "stack.npz"


def test_frames_of_a_folder_have_the_times_of_their_labels(folder: Path) -> None:
    assert [frame.time_s for frame in open_source(folder, ASKED)] == pytest.approx([0.0, 0.1, 0.4])
    assert [frame.time_s for frame in open_source(folder, RATED)] == [None] * 3, "--fps overrules them"
    (folder / "1.json").write_text("{")
    assert [frame.time_s for frame in open_source(folder, ASKED)][1] is None


def test_frames_of_an_archive_have_its_times_or_rate(tmp_path: Path) -> None:
    timed = open_source(npz(tmp_path, time_s=np.array([0.0, 0.1, 0.4])), ASKED)
    assert [frame.time_s for frame in timed] == pytest.approx([0.0, 0.1, 0.4])
    rated = open_source(npz(tmp_path, fps=np.array(60)), ASKED)
    assert rated.fps == 60
    assert [frame.time_s for frame in rated] == [None] * 3
    overruled = open_source(npz(tmp_path, fps=np.array(60), time_s=np.arange(3.0)), RATED)
    assert (overruled.fps, next(iter(overruled)).time_s) == (15.0, None)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"time_s": np.arange(2.0)}, "a time for each of its 3 frames"),
        ({"time_s": np.array([0.0, 0.0, 1.0])}, "later than the one before"),
        ({"time_s": np.array(["a", "b", "c"])}, "must hold numbers"),
        ({"fps": np.array(0.0)}, "one number above 0"),
    ],
)
def test_times_that_make_no_sense_are_refused(arrays: dict[str, np.ndarray], message: str, tmp_path: Path) -> None:
    with pytest.raises(DepthError, match=message):
        open_source(npz(tmp_path, **arrays), ASKED)


@pytest.mark.parametrize("document", [None, [], {"time_s": True}, {"time_s": "1"}, {"sequence": 3}, {"time_s": 1e999}])
def test_other_documents_have_no_time(document: object) -> None:
    assert time_of(document) is None
    assert time_of({"time_s": 2}) == 2.0
