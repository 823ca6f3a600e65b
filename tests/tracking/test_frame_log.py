"""The frames that a track keeps: the same from memory and from a file, and bounded in memory."""

import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.sequences import CAMERA, FPS, frames

from handopt.input.sequence.base import SequenceFrame
from handopt.storage.track_folder import write_arrays
from handopt.tracking import frame_log
from handopt.tracking.frame_log import FrameLog
from handopt.tracking.frame_residuals import ShapeEstimate
from handopt.tracking.pose_estimate import Placed, PoseEstimate, TrackedFrame
from handopt.tracking.run import Run


def step(index: int, *, found: bool = True) -> TrackedFrame:
    """A frame with numbers of its own, of the size that they have in a track."""
    rng = np.random.default_rng(index)
    frame = SequenceFrame(index, f"{index:05}.png", np.zeros((0, 0), np.float32), index / 30)
    shape = ShapeEstimate(rng.random(14), rng.random((14, 14)))
    pose = PoseEstimate(
        Placed(rng.random((3, 3)), rng.random(3), rng.random((15, 3))), shape, rng.random((21, 3)),
        rng.random(21) > 0.5, float(rng.random()), False, rng.random((32, 32)).astype(np.float32),
    )  # fmt: skip
    return TrackedFrame(frame, pose if found else None, rng.random(3))


def in_a_file(monkeypatch: pytest.MonkeyPatch, held: int = 2) -> None:
    monkeypatch.setattr(frame_log, "IN_MEMORY_BYTES", 1)
    monkeypatch.setattr(frame_log, "HELD", held)


def is_same(one: TrackedFrame, other: TrackedFrame) -> bool:
    """Whether two frames have the same bits."""
    if one.pose is None or other.pose is None:
        return one.frame.name == other.frame.name and one.pose is other.pose
    same = [np.array_equal(one.center_mm, other.center_mm), one.frame.time_s == other.frame.time_s]
    for name in ("joints_mm", "joint_visible", "covariance"):
        ours, theirs = getattr(one.pose, name), getattr(other.pose, name)
        same += [np.array_equal(ours, theirs), ours.dtype == theirs.dtype]
    same += [np.array_equal(one.pose.shape.precision, other.pose.shape.precision)]
    return all(same) and one.pose.unexplained_fraction == other.pose.unexplained_fraction


def test_frames_of_a_file_are_those_that_were_given(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    in_a_file(monkeypatch)
    given, log = [step(index, found=index != 3) for index in range(7)], FrameLog(tmp_path)
    for each in given:
        log.append(each)
    given[5] = log[5] = step(50)
    assert len(log) == 7
    assert all(map(is_same, log, given))
    assert is_same(log[-1], given[6])
    assert is_same(log[0], given[0])
    assert [each.frame.index for each in log[1:6:2]] == [1, 3, 50]
    with pytest.raises(IndexError):
        log[7]
    with pytest.raises(IndexError, match="frame 4 is in the file by now"):
        log[4] = given[4]
    assert not list(tmp_path.iterdir()), "the file has no name"


def test_what_is_looked_back_at_stays_replaceable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    in_a_file(monkeypatch)
    log = FrameLog(tmp_path, least=6)
    for index in range(7):
        log.append(step(index))
    log[1] = step(50)
    assert log[1].frame.index == 50
    with pytest.raises(IndexError, match="frame 0 is in the file by now"):
        log[0] = step(51)


def test_poses_are_forgotten_in_the_file_too(monkeypatch: pytest.MonkeyPatch) -> None:
    in_a_file(monkeypatch)
    log = FrameLog()
    for index in range(5):
        log.append(step(index))
    log.forget(np.ones(3))
    log.append(step(5))
    assert [each.pose is None for each in log] == [True] * 5 + [False]
    assert [each.frame.index for each in log] == list(range(6))
    assert all(np.array_equal(each.center_mm, np.ones(3)) for each in log[:5])


def test_memory_does_not_grow_with_the_frames(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    in_a_file(monkeypatch, held=20)
    log = FrameLog(tmp_path)
    tracemalloc.start()
    try:
        kept = []
        for index in range(1200):
            log.append(step(index))
            if index in (199, 1199):
                kept.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert kept[1] - kept[0] < 1000 * 32, f"1000 frames took {kept[1] - kept[0]} bytes"


def test_a_track_is_the_same_whether_its_frames_are_in_memory_or_not(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    runs = Run(CAMERA, "left", scratch=tmp_path), Run(CAMERA, "left", scratch=tmp_path)
    for each in frames("left")[:5]:
        runs[0].push(each)
    in_a_file(monkeypatch)
    for each in frames("left")[:5]:
        runs[1].push(replace(each, colour=np.zeros((2, 2, 3), np.uint8)))
    for name, run in zip(("memory.npz", "file.npz"), runs, strict=True):
        write_arrays(run.track("frames", FPS), tmp_path / name)
    with np.load(tmp_path / "memory.npz") as memory, np.load(tmp_path / "file.npz") as file:
        different = {name for name in memory if memory[name].tobytes() != file[name].tobytes()}
    assert different <= {"header"}, "the header has the time that tracking took"
    assert all(each.frame.colour is None for each in runs[1]._steps)
