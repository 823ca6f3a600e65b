"""The depth that a track keeps for pictures: the same from memory and from a file, and bounded in memory."""

import pickle
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.sequences import CAMERA, FPS, frames

from handopt.errors import OutputError
from handopt.storage.track_folder import write_arrays
from handopt.tracking import depth_crops
from handopt.tracking.depth_crops import SHOWN_PX, DepthCrops, StoredCrops
from handopt.tracking.run import Run

SHAPE = (SHOWN_PX, SHOWN_PX)


def random_crops(count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(5)
    return [rng.integers(0, 2000, SHAPE).astype(np.uint16) for _ in range(count)]


def in_a_file(monkeypatch: pytest.MonkeyPatch, limit: int = 1) -> None:
    monkeypatch.setattr(depth_crops, "IN_MEMORY_BYTES", limit)


def test_frames_of_a_file_are_those_that_were_given(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    in_a_file(monkeypatch)
    given, crops = random_crops(7), DepthCrops(2, tmp_path)
    given[3][:] = 0
    for crop in given:
        crops.append(crop)
    changed = np.full(SHAPE, 9, np.uint16)
    crops.change(5, changed)
    given[5] = changed
    stored = crops.frames()
    assert isinstance(stored, StoredCrops)
    assert np.array_equal(stored, given)
    assert np.array_equal(stored[-1], given[6])
    assert np.array_equal(stored[1:6:2], [given[1], given[3], given[5]])
    assert np.array_equal(crops.frames(mirrored=True), np.stack(given)[:, :, ::-1])
    assert np.array_equal(pickle.loads(pickle.dumps(stored)), given)
    with pytest.raises(IndexError):
        stored[7]
    assert not list(tmp_path.iterdir()), "the file has no name"


def test_what_was_taken_stays_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    in_a_file(monkeypatch)
    given, crops = random_crops(4), DepthCrops(2)
    for crop in given[:3]:
        crops.append(crop)
    early = crops.frames()
    crops.change(2, given[0])
    crops.append(given[3])
    crops.restart(4)
    assert np.array_equal(early, given[:3])
    assert not np.asarray(crops.frames()).any()


def test_only_the_last_frames_are_in_memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    in_a_file(monkeypatch)
    crop, crops = random_crops(1)[0], DepthCrops(4, tmp_path)
    tracemalloc.start()
    try:
        for _ in range(200):
            crops.append(crop.copy())
        stored = crops.frames()
        assert sum(int(stored[row][0, 0]) for row in range(200)) == 200 * int(crop[0, 0])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 12 * crop.nbytes, f"200 frames of {crop.nbytes} bytes took {peak}"


def test_a_track_is_the_same_whether_its_depth_is_in_memory_or_not(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run = Run(CAMERA, "left", scratch=tmp_path)
    for frame in frames("left")[:3]:
        run.push(frame)
    in_memory = run.track("frames", FPS)
    assert isinstance(in_memory.windows.depth_mm, np.ndarray)
    assert in_memory.windows.depth_mm.any()
    in_a_file(monkeypatch)
    filed = run.track("frames", FPS)
    assert isinstance(filed.windows.depth_mm, StoredCrops)
    for name, track in (("memory.npz", in_memory), ("file.npz", filed)):
        write_arrays(track, tmp_path / name)
    assert (tmp_path / "memory.npz").read_bytes() == (tmp_path / "file.npz").read_bytes()


def test_a_full_disk_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Full:
        def __init__(self, *_: Any, **__: Any) -> None:
            pass

        def seek(self, place: int) -> None:
            pass

        def write(self, data: bytes) -> None:
            raise OSError(28, "No space left on device")

        def close(self) -> None:
            pass

    monkeypatch.setattr("tempfile.SpooledTemporaryFile", Full)
    crops = DepthCrops(1, tmp_path)
    crops.append(random_crops(1)[0])
    with pytest.raises(OutputError, match=r"cannot be kept in .* \(No space left on device\): free some space there"):
        crops.append(random_crops(1)[0])
