"""Fits from scratch beside a track: the same track to the bit, and steps that are taken while they run."""

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from support.sequences import CAMERA, FPS, frames

from handopt.config import FitSettings
from handopt.errors import ObservationError
from handopt.input.sequence.base import SequenceFrame
from handopt.input.sequence.read_ahead import ReadAhead
from handopt.tracking import tracker
from handopt.tracking.beside import Beside, same
from handopt.tracking.config import TrackerConfig, TrackingConfig
from handopt.tracking.run import Run
from handopt.tracking.track import Track

CPU = FitSettings(device="cpu")
# Every frame is doubtful, and is searched for again after one more.
KEPT = TrackerConfig(doubtful=0.0, doubtful_ratio=0.0, first_patience=1, max_patience=1)
TAKEN = replace(KEPT, refit_gain=-100.0)


@pytest.fixture(autouse=True)
def _two_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("handopt.tracking.beside.cpu_threads", lambda: 2)


def slowed(monkeypatch: pytest.MonkeyPatch, seconds: Callable[[], float]) -> None:
    """Let fits from scratch take longer."""
    real = vars(tracker)["fit"]

    def fit(*arguments: Any, **options: Any) -> Any:
        time.sleep(seconds())
        return real(*arguments, **options)

    monkeypatch.setattr(tracker, "fit", fit)


def followed(given: list[SequenceFrame], config: TrackerConfig, *, beside: bool, **options: Any) -> tuple[Run, Track]:
    lookahead = ReadAhead(given)
    run = Run(CAMERA, settings=CPU, tracking=TrackingConfig(config), lookahead=lookahead if beside else None, **options)
    for frame in lookahead:
        run.push(frame)
    return run, run.track("frames", FPS)


def bits(track: Track) -> list[bytes]:
    arrays = (track.joints_mm(), track.confidence, track.unexplained_fraction, track.refitted, track.joint_visible)
    return [each.tobytes() for each in arrays]


@pytest.mark.parametrize("config", [KEPT, TAKEN], ids=["fits are no better", "fits are taken"])
@pytest.mark.parametrize("hand", ["right", "left"])
def test_a_track_is_the_same_to_the_bit_however_long_fits_take(
    config: TrackerConfig, hand: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = frames(hand)[:9]
    _, alone = followed(given, config, beside=False, hand=hand)
    delays = np.random.default_rng(5)
    slowed(monkeypatch, lambda: delays.uniform(0, 0.3))
    _, other = followed(given, config, beside=True, hand=hand)
    assert bits(other) == bits(alone)
    assert alone.refitted.sum() > 2 if config is TAKEN else alone.refitted.sum() <= 2


def test_steps_are_taken_while_a_fit_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Frame 3 is doubtful; its fit is slow, and the frames after it are not doubtful."""
    run = Run(CAMERA, settings=CPU, smooth=False, lookahead=(lookahead := ReadAhead(frames()[:8])))
    for _ in range(3):
        run.push(next(lookahead))
    assert run._state is not None
    run._state = replace(run._state, patience=0)
    monkeypatch.setattr(tracker.Tracker, "_doubtful", lambda _self, state, _found: state.frames == 3)
    beside = run._beside
    assert isinstance(beside, Beside)

    def until_steps_are_taken() -> float:
        until = time.monotonic() + 60
        while len(beside._steps) < 4 and time.monotonic() < until:
            time.sleep(0.01)
        return 0.0

    slowed(monkeypatch, until_steps_are_taken)
    run.push(next(lookahead))
    assert set(beside._steps) == {4, 5, 6, 7}
    monkeypatch.setattr(tracker.Tracker, "_follow", lambda *_: pytest.fail("it was taken before"))
    assert all(run.push(frame).tracked for frame in lookahead)


def test_frames_without_a_hand_are_searched_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    """After the first one, two at a time: each waits for another one."""
    meeting, threads = threading.Barrier(2, timeout=20), set[int]()

    def nothing(*_: Any, **__: Any) -> Any:
        if threading.current_thread() is not threading.main_thread():
            threads.add(meeting.wait())
        raise ObservationError("there is no hand")

    monkeypatch.setattr(tracker, "fit", nothing)
    depth = np.full((CAMERA.height, CAMERA.width), 900, np.float32)
    run = Run(
        CAMERA, settings=CPU, lookahead=(lookahead := ReadAhead([SequenceFrame(at, "", depth) for at in range(5)]))
    )
    assert not any(run.push(frame).tracked for frame in lookahead)
    assert threads == {0, 1}
    assert isinstance(run._beside, Beside)
    assert not run._beside._fits


def test_what_fails_in_a_fit_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(CAMERA, settings=CPU, lookahead=(lookahead := ReadAhead(frames()[:5])), tracking=TrackingConfig(KEPT))
    run.push(next(lookahead))

    def fails(*_: Any, **__: Any) -> Any:
        raise MemoryError("a fit needs more")

    monkeypatch.setattr(tracker, "fit", fails)
    with pytest.raises(MemoryError, match="a fit needs more"):
        list(map(run.push, lookahead))


def test_one_thread_and_frames_of_a_camera_need_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Beside, "_begin", lambda *_: pytest.fail("no other thread is there"))
    followed(frames()[:4], KEPT, beside=False)
    monkeypatch.setattr("handopt.tracking.beside.cpu_threads", lambda: 1)
    followed(frames()[:4], KEPT, beside=True)


def test_states_are_compared_to_the_bit() -> None:
    run, _ = followed(frames()[:3], TrackerConfig(), beside=False)
    state = run._state
    assert state is not None
    assert state.fit is not None
    angles = state.fit.estimate.placed.angles_rad.copy()
    placed = replace(state.fit.estimate.placed, angles_rad=angles)
    other = replace(state, fit=replace(state.fit, estimate=replace(state.fit.estimate, placed=placed)))
    assert same(state, other)
    angles[3, 1] = np.nextafter(angles[3, 1], 9)
    assert not same(state, other)
    assert not same(state, replace(state, patience=state.patience + 1))
    assert not same(state, replace(state, fit=None))
